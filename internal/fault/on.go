//go:build faults

package fault

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	name, nth = parse(os.Getenv("VARVE_FAULT"))
	passed    atomic.Int64
)

func parse(s string) (string, int64) {
	name, count, found := strings.Cut(s, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if !found || err != nil || n < 1 {
		n = 1
	}
	return name, n
}

// Point kills the process if VARVE_FAULT names it and its time has come. SIGKILL runs no deferred call and flushes
// nothing, which is the point.
func Point(p string) {
	if name == "" || p != name || passed.Add(1) != nth {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
