// Package lab runs Varve's own binaries in a project folder of their own, for the suites that look at Varve from outside.
package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/varve-lake/varve/workflows"
)

// Lab is a project folder with the example pipelines and a copy of their data, and nothing else.
type Lab struct {
	t   testing.TB
	Dir string
	Bin string
	Env []string // added to the environment of every command
}

// Root is the repository's folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "go.mod")); e == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod above the working directory")
	return ""
}

var (
	buildOnce sync.Map // tags: func() (string, error)
)

// Build compiles the binaries, with extra build tags if any, once a test process. VARVE_BIN names ready ones.
func Build(t testing.TB, tags ...string) string {
	t.Helper()
	if dir := os.Getenv("VARVE_BIN"); dir != "" && len(tags) == 0 {
		return dir
	}
	all := strings.Join(append([]string{"duckdb_arrow"}, tags...), ",")
	root := Root(t)
	once, _ := buildOnce.LoadOrStore(all, sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp("", "varve-bin-")
		if err != nil {
			return "", err
		}
		c := exec.Command("go", "build", "-tags", all, "-o", dir+string(filepath.Separator), "./cmd/trigger", "./cmd/worker")
		c.Dir = root
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build: %w\n%s", err, out)
		}
		return dir, nil
	}))
	dir, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// New makes a lab with all example pipelines and their data.
func New(t testing.TB, bin string) *Lab {
	t.Helper()
	l := &Lab{t: t, Dir: t.TempDir(), Bin: bin}
	l.CopyTree(filepath.Join(Root(t), "pipelines"), "pipelines")
	return l
}

// Empty makes a lab with nothing in it.
func Empty(t testing.TB, bin string) *Lab {
	t.Helper()
	return &Lab{t: t, Dir: t.TempDir(), Bin: bin}
}

// Write writes a file of the lab, and the folders above it.
func (l *Lab) Write(path string, data []byte) {
	l.t.Helper()
	if err := os.MkdirAll(filepath.Dir(l.Path(path)), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(l.Path(path), data, 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// CopyTree copies a folder into the lab.
func (l *Lab) CopyTree(from, to string) {
	l.t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(l.Dir, to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// Path is a path in the lab.
func (l *Lab) Path(elem ...string) string { return filepath.Join(append([]string{l.Dir}, elem...)...) }

// Output is what a command printed and how it ended.
type Output struct {
	Stdout, Stderr string
	Code           int
}

func (l *Lab) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(l.Bin, name), args...)
	c.Dir = l.Dir
	c.Env = append(append(os.Environ(), "TEMPORAL_ADDRESS=", "TEMPORAL_CONFIG_FILE="), l.Env...)
	return c
}

// Trigger runs the CLI to its end, however that is.
func (l *Lab) Trigger(args ...string) Output {
	l.t.Helper()
	return l.Ended("trigger", args...)
}

// Ended runs one of the binaries to its end, however that is.
func (l *Lab) Ended(name string, args ...string) Output {
	l.t.Helper()
	var stdout, stderr bytes.Buffer
	c := l.command(name, args...)
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatalf("%s %v: %v", name, args, err)
	}
	return Output{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
}

// Must runs the CLI and fails the test unless it ends well. It returns standard output.
func (l *Lab) Must(args ...string) string {
	l.t.Helper()
	out := l.Trigger(args...)
	if out.Code != 0 {
		l.t.Fatalf("trigger %s: exit code %d\n%s%s", strings.Join(args, " "), out.Code, out.Stdout, out.Stderr)
	}
	return out.Stdout
}

// Run runs a pipeline and returns its result.
func (l *Lab) Run(args ...string) workflows.RunResult {
	l.t.Helper()
	var r workflows.RunResult
	l.decode(l.Must(append([]string{"run", "--json"}, args...)...), &r)
	return r
}

// Query returns the rows of a query, an object a row.
func (l *Lab) Query(query string) []map[string]any {
	l.t.Helper()
	var rows []map[string]any
	d := json.NewDecoder(strings.NewReader(l.Must("query", "--format", "json", query)))
	d.UseNumber()
	for d.More() {
		var row map[string]any
		if err := d.Decode(&row); err != nil {
			l.t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// Snapshots counts a table's snapshots.
func (l *Lab) Snapshots(table string) int {
	l.t.Helper()
	var s []json.RawMessage
	l.decode(l.Must("table", "snapshots", table, "--json"), &s)
	return len(s)
}

// Tables lists the lake's tables.
func (l *Lab) Tables() []string {
	l.t.Helper()
	var infos []struct{ Name string }
	l.decode(l.Must("table", "list", "--json"), &infos)
	names := make([]string, len(infos))
	for i, info := range infos {
		names[i] = info.Name
	}
	return names
}

// Await waits until a run completes, through restarts of the server; a run that ends in another way fails the test.
func (l *Lab) Await(id string, limit time.Duration) {
	l.t.Helper()
	var status struct{ Status string }
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(300 * time.Millisecond) {
		out := l.Trigger("status", id, "--json")
		if out.Code != 0 {
			continue // no server or no worker just now
		}
		l.decode(out.Stdout, &status)
		switch status.Status {
		case "completed":
			return
		case "running":
		default:
			l.t.Fatalf("the run %s is %s: %s", id, status.Status, out.Stdout)
		}
	}
	l.t.Fatalf("the run %s is not done after %s", id, limit)
}

func (l *Lab) decode(data string, v any) {
	l.t.Helper()
	if err := json.Unmarshal([]byte(data), v); err != nil {
		l.t.Fatalf("%v in %s", err, data)
	}
}

// Worker is a running worker.
type Worker struct {
	cmd  *exec.Cmd
	log  *bytes.Buffer
	mu   *sync.Mutex
	done chan struct{}
}

// StartWorker starts `worker --dev` with more flags, and waits until it is ready. The test's end kills it.
func (l *Lab) StartWorker(flags ...string) *Worker {
	l.t.Helper()
	return l.startWorker(append([]string{"--dev", "--ui-port", "-1"}, flags...))
}

// JoinWorker starts a worker beside one that has the server. The test's end kills it.
func (l *Lab) JoinWorker(first *Worker, flags ...string) *Worker {
	l.t.Helper()
	return l.startWorker(append([]string{"--address", first.Address()}, flags...))
}

func (l *Lab) startWorker(flags []string) *Worker {
	l.t.Helper()
	w := &Worker{cmd: l.command("worker", flags...), log: &bytes.Buffer{}, mu: &sync.Mutex{}, done: make(chan struct{})}
	w.cmd.Stderr = lockedWriter{w.mu, w.log}
	if err := w.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() { _ = w.cmd.Wait(); close(w.done) }()
	l.t.Cleanup(w.Kill)
	deadline := time.After(3 * time.Minute)
	for !strings.Contains(w.Log(), "msg=ready") {
		select {
		case <-w.done:
			l.t.Fatalf("worker ended before it was ready:\n%s", w.Log())
		case <-deadline:
			_ = w.cmd.Process.Signal(syscall.SIGQUIT) // Go tells then what each goroutine waits for
			<-w.done
			l.t.Fatalf("worker is not ready after three minutes:\n%s", w.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return w
}

// Log is what the worker logged so far.
func (w *Worker) Log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// Address is that of the server that the worker embeds.
func (w *Worker) Address() string {
	_, rest, _ := strings.Cut(w.Log(), "msg=Temporal address=")
	address, _, _ := strings.Cut(rest, " ")
	return address
}

// Identity tells the worker apart from others in the events of a history.
func (w *Worker) Identity() string { return fmt.Sprintf("%d@", w.PID()) }

// PID is the process's id.
func (w *Worker) PID() int { return w.cmd.Process.Pid }

// Kill is kill -9, and waits for the end.
func (w *Worker) Kill() {
	_ = w.cmd.Process.Signal(syscall.SIGKILL)
	<-w.done
}

// Terminate is SIGTERM; it waits for the end and returns the exit code.
func (w *Worker) Terminate() int {
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	<-w.done
	return w.cmd.ProcessState.ExitCode()
}

// Ended is closed when the process has ended.
func (w *Worker) Ended() <-chan struct{} { return w.done }

// KilledItself tells whether the process ended by SIGKILL.
func (w *Worker) KilledItself() bool {
	s, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == syscall.SIGKILL
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
