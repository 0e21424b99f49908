// Package servers starts the catalogs and stores that suites run against, as processes of their own on this machine,
// each on a free port of the loopback interface and with its state in a folder of the test.
//
// testsuite/servers/install puts them into a cache and prints its folder, which VARVE_SERVERS names; make test-catalogs
// and make test-stores do both.
package servers

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Variable names the folder that the servers are installed in.
const Variable = "VARVE_SERVERS"

// patience is how long a server may take to answer for the first time, on a machine that is busy with others.
const patience = 2 * time.Minute

// Folder is where the servers are installed. Without one the test is skipped, and says how to run it.
func Folder(t testing.TB) string {
	t.Helper()
	dir := os.Getenv(Variable)
	if dir == "" {
		t.Skipf("%s is not set: make test-catalogs and make test-stores install the servers and set it", Variable)
	}
	if _, err := os.Stat(filepath.Join(dir, "installed")); err != nil {
		t.Fatalf("%s=%s: the servers are not installed there: %v", Variable, dir, err)
	}
	return dir
}

// Port finds a free port. Nothing keeps another process from taking it first; none of the servers can say which it took.
func Port(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// process is a server, which ends with the test, and with the test's own process however that ends.
type process struct {
	cmd  *exec.Cmd
	name string
	log  log
	done chan struct{}
}

// log collects what a server prints, for the report of a test that fails.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() > 1<<20 {
		l.buf.Reset()
	}
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buf.Bytes()
	return string(b[max(0, len(b)-16000):])
}

// start runs a command until the test ends. env comes on top of this process's own.
func start(t testing.TB, name string, env []string, path string, args ...string) *process {
	t.Helper()
	return startAs(t, name, nil, "", env, path, args...)
}

// startAs is start as another user, in a folder.
func startAs(t testing.TB, name string, as *syscall.Credential, dir string, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(path, args...), name: name, done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: as}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() { defer close(p.done); _ = p.cmd.Wait() }()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s, at its end:\n%s", name, p.log.String())
		}
	})
	return p
}

func (p *process) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}

// await waits until ready answers nil.
func (p *process) await(t testing.TB, ready func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-p.done:
			t.Fatalf("%s ended:\n%s", p.name, p.log.String())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v\n%s", p.name, err, p.log.String())
		}
	}
}

// answers tells whether a server answers an HTTP request, with whatever status below 500.
func answers(url string) func() error {
	client := &http.Client{Timeout: 5 * time.Second}
	return func() error {
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode >= 500 {
			return fmt.Errorf("%s", resp.Status)
		}
		return nil
	}
}
