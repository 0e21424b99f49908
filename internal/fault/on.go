//go:build faults

package fault

import (
	"os"
	"strconv"
	"strings"
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

// Point waits if VARVE_HOLD names it, and kills the process if VARVE_FAULT names it and its time has come. SIGKILL runs
// no deferred call and flushes nothing, which is the point.
func Point(p string) {
	if held != "" && p == held {
		await(release)
	}
	if name == "" || p != name || passed.Add(1) != nth {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
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
