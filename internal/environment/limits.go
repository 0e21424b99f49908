package environment

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/varve-lake/varve/spec"
)

// smallestMemory is what a worker can do with: DuckDB, the runtime and two activities have to find a place in it.
const smallestMemory = 256 << 20

// limits are the configured ones, with what the flags say in their place. A worker that nobody gave a memory takes half
// of the machine's, or of the container's.
func (o Options) limits(configured spec.Limits) (spec.Limits, error) {
	out := configured
	place := "varve.yaml: limits.memory"
	if o.Memory != "" {
		n, err := spec.ParseSize(o.Memory)
		if err != nil {
			return out, fmt.Errorf("--memory: %w", err)
		}
		out.Memory, place = n, "--memory"
	}
	if out.Memory == 0 && o.Memory == "" {
		out.Memory = max(machineMemory("/")/2, smallestMemory)
	}
	if out.Memory < smallestMemory {
		return out, fmt.Errorf("%s: a worker needs at least 256MiB, found %d bytes", place, out.Memory)
	}
	if o.Parallelism < 0 || o.Parallelism > 1024 {
		return out, fmt.Errorf("--parallelism: expected 1 to 1024, found %d", o.Parallelism)
	}
	if o.Parallelism > 0 {
		out.Parallelism = o.Parallelism
	}
	if o.FanOut != "" {
		n, err := spec.ParseSize(o.FanOut)
		if err != nil {
			return out, fmt.Errorf("--fan-out: %w", err)
		}
		out.FanOut = n
	}
	return out, nil
}

// machineMemory is the memory that this process may take at most: the machine's or, where that is less, its control
// group's (version 2, then 1). Where the system tells neither, it is 4 GiB.
func machineMemory(root string) int64 {
	memory := int64(4 << 30)
	if text, err := os.ReadFile(root + "proc/meminfo"); err == nil {
		if n, ok := totalIn(text); ok {
			memory = n
		}
	}
	for _, path := range []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(root + path)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // or "max"
			memory = min(memory, n)
		}
	}
	return memory
}

// totalIn finds MemTotal, which /proc/meminfo counts in KiB.
func totalIn(meminfo []byte) (int64, bool) {
	for lines := bufio.NewScanner(bytes.NewReader(meminfo)); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) >= 2 && words[0] == "MemTotal:" {
			n, err := strconv.ParseInt(words[1], 10, 64)
			return n << 10, err == nil && n > 0
		}
	}
	return 0, false
}
