//go:build faults

package fault

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	name, nth = parse(os.Getenv("VARVE_FAULT"))
	passed    atomic.Int64

	held, release, _ = strings.Cut(os.Getenv("VARVE_HOLD"), "=")
)

func parse(s string) (string, int64) {
	name, count, found := strings.Cut(s, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if !found || err != nil || n < 1 {
		n = 1
	}
	return name, n
}

// Point waits if VARVE_HOLD names it, and kills if VARVE_FAULT names it and its time has come.
func Point(p string) {
	if held != "" && p == held {
		await(release)
	}
	if p == CompileBefore {
		counting.Store(true)
	}
	note(0, SidePoint, p, "")
	if name != "" && p == name && passed.Add(1) == nth {
		kill()
	}
}

// await waits until a file exists.
func await(path string) {
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// kill sends SIGKILL, which runs no deferred call and flushes nothing. Who kills itself does not return.
func kill() {
	victims := os.Getenv("VARVE_VICTIM")
	if victims == "" {
		victims = Self
	}
	for _, v := range strings.Split(victims, ",") {
		if v == Self {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		if pid, err := strconv.Atoi(v); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

var (
	counting atomic.Bool // a run has begun

	mu    sync.Mutex
	edges int64
	trace *os.File
)

func init() {
	if path := os.Getenv("VARVE_TRACE"); path != "" {
		trace, _ = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	}
}

// edge counts one side of an I/O and writes it to the trace. While one goroutine kills, no other comes further.
func edge(side, op, at string) {
	if !counting.Load() {
		return
	}
	mu.Lock()
	defer mu.Unlock()
	edges++
	note(edges, side, op, at)
	if name == IO && edges == nth || Matches(name, side, op, at) && passed.Add(1) == nth {
		kill()
	}
}

func note(n int64, side, op, at string) {
	if trace != nil {
		_, _ = trace.WriteString(strconv.FormatInt(n, 10) + "\t" + side + "\t" + op + "\t" + at + "\n")
	}
}

// Before comes before an I/O: an operation, and the file or table that it is on.
func Before(op, at string) { edge(SideBefore, op, at) }

// After comes after an I/O, whether it worked or not.
func After(op, at string) { edge(SideAfter, op, at) }

// Sending is Before for a request over the network.
func Sending(r *http.Request) { edge(SideBefore, r.Method, r.URL.RequestURI()) }

// Answered is After for a request over the network: its effect has happened, and nobody here knows yet.
func Answered(r *http.Request) { edge(SideAfter, r.Method, r.URL.RequestURI()) }

type client struct{ Doer }

func (c client) Do(r *http.Request) (*http.Response, error) {
	Sending(r)
	defer Answered(r)
	return c.Doer.Do(r)
}

// Client counts each request of a client as an I/O.
func Client(c Doer) Doer { return client{c} }
