// Package cli tests what the commands print and how they end. The scripts are under testdata: a command line, its files
// and what is expected of it.
package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/varve-lake/varve/testsuite/lab"
)

func TestScripts(t *testing.T) {
	bin := lab.Build(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Values[environment{}] = env
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"trigger":  runTrigger,
			"worker":   startWorker,
			"json":     checkJSON,
			"column":   checkColumns,
			"snapshot": findSnapshot,
			"mask":     mask,
		},
	})
}

type environment struct{}

// runTrigger is `trigger ARGS`, which must end well, or `trigger =CODE ARGS`, which must end with that exit code.
func runTrigger(ts *testscript.TestScript, neg bool, args []string) {
	want := 0
	if neg {
		ts.Fatalf("say which exit code: trigger =3 ...")
	}
	if len(args) > 0 && strings.HasPrefix(args[0], "=") {
		n, err := strconv.Atoi(args[0][1:])
		ts.Check(err)
		want, args = n, args[1:]
	}
	err := ts.Exec("trigger", args...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, expected %d", got, want)
	}
}

// startWorker starts `worker --dev` in the script's folder, so that the commands that follow need no server of their own.
func startWorker(ts *testscript.TestScript, _ bool, args []string) {
	env := ts.Value(environment{}).(*testscript.Env)
	c := exec.Command(filepath.Join(strings.SplitN(ts.Getenv("PATH"), string(os.PathListSeparator), 2)[0], "worker"),
		append([]string{"--dev", "--ui-port", "-1"}, args...)...)
	c.Dir, c.Env = ts.MkAbs("."), env.Vars
	log := &logged{}
	c.Stderr = log
	ts.Check(c.Start())
	done := make(chan struct{})
	go func() { _ = c.Wait(); close(done) }()
	ts.Defer(func() {
		_ = c.Process.Signal(syscall.SIGKILL)
		<-done
	})
	deadline := time.After(time.Minute)
	for !strings.Contains(log.String(), "msg=ready") {
		select {
		case <-done:
			ts.Fatalf("the worker ended:\n%s", log)
		case <-deadline:
			ts.Fatalf("the worker is not ready after a minute:\n%s", log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// checkJSON is `json [PATH VALUE]...`: standard output is JSON, one value or one a line, and nothing else; and what is
// found in the first of them by keys and indexes joined by dots is the value.
func checkJSON(ts *testscript.TestScript, _ bool, args []string) {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.UseNumber()
	var first any
	for n := 0; ; n++ {
		var v any
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			if n == 0 {
				ts.Fatalf("standard output is empty, not JSON")
			}
			break
		}
		ts.Check(err)
		if n == 0 {
			first = v
		}
	}
	for i := 0; i+1 < len(args); i += 2 {
		if got := fmt.Sprint(at(first, strings.Split(args[i], "."))); got != args[i+1] {
			ts.Fatalf("%s is %s, expected %s", args[i], got, args[i+1])
		}
	}
}

func at(v any, path []string) any {
	for _, key := range path {
		switch inner := v.(type) {
		case map[string]any:
			v = inner[key]
		case []any:
			i, err := strconv.Atoi(key)
			if key == "#" {
				return len(inner)
			}
			if err != nil || i >= len(inner) {
				return nil
			}
			v = inner[i]
		default:
			return nil
		}
	}
	return v
}

// checkColumns is `column NAME VALUE...`: in the table printed last, the column has these values, from the top.
func checkColumns(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimRight(ts.ReadFile("stdout"), "\n"), "\n")
	header := split(lines[0])
	for i, name := range header {
		if name != args[0] {
			continue
		}
		for row, want := range args[1:] {
			if row+1 >= len(lines) {
				ts.Fatalf("no row %d", row+1)
			}
			cells := split(lines[row+1])
			if len(cells) != len(header) || cells[i] != want {
				ts.Fatalf("row %d: %q, expected %s to be %q", row+1, cells, name, want)
			}
		}
		return
	}
	ts.Fatalf("no column %q in %q", args[0], header)
}

var gap = regexp.MustCompile(` {2,}`)

func split(line string) []string { return gap.Split(strings.TrimSpace(line), -1) }

// findSnapshot is `snapshot VARIABLE TABLE N`: the id of the table's N-th snapshot, counted from 1.
func findSnapshot(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("trigger", "table", "snapshots", args[1], "--json"))
	var all []struct {
		ID json.Number `json:"id"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &all))
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	if n > len(all) {
		ts.Fatalf("%s has %d snapshots", args[1], len(all))
	}
	ts.Setenv(args[0], all[n-1].ID.String())
}

var masks = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`), "TIME"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\b\d{12,19}\b`), "SNAPSHOT"},
	{regexp.MustCompile(`\b\d+\.\d+s\b`), "SECONDS"},
	{regexp.MustCompile(`(?m)\b\d+\.\d$`), "SECONDS"},
	{regexp.MustCompile(`\b\d+(\.\d+)? [KM]?i?B\b`), "SIZE"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(` +`), " "}, // the widths of columns follow what is masked
	{regexp.MustCompile(`(?m) $`), ""},
}

// mask is `mask stdout`: the file masked gets what was printed, without what differs from run to run.
func mask(ts *testscript.TestScript, _ bool, args []string) {
	got := strings.ReplaceAll(ts.ReadFile(args[0]), ts.Getenv("WORK"), "$WORK")
	for _, m := range masks {
		got = m.pattern.ReplaceAllString(got, m.by)
	}
	ts.Check(os.WriteFile(ts.MkAbs("masked"), []byte(got), 0o644))
}
