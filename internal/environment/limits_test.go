package environment

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/spec"
)

func TestLimits(t *testing.T) {
	configured := spec.Limits{Memory: 4e9, Parallelism: 8}
	for _, c := range []struct {
		name    string
		options Options
		in, out spec.Limits
		err     string
	}{
		{name: "configured", in: configured, out: configured},
		{name: "flags", in: configured, options: Options{Memory: "512MB", Parallelism: 3}, out: spec.Limits{Memory: 512e6, Parallelism: 3}},
		{name: "no size", options: Options{Memory: "lots"}, err: `--memory: expected a size with its unit, such as 512MB or 1.5GiB, found "lots"`},
		{name: "zero", options: Options{Memory: "0B"}, err: "--memory: a worker needs at least 256MiB, found 0 bytes"},
		{name: "too little", in: spec.Limits{Memory: 1e6}, err: "varve.yaml: limits.memory: a worker needs at least 256MiB, found 1000000 bytes"},
		{name: "threads", in: configured, options: Options{Parallelism: -1}, err: "--parallelism: expected 1 to 1024, found -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.options.limits(c.in)
			if c.err != "" {
				require.EqualError(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.out, got)
		})
	}
	got, err := Options{}.limits(spec.Limits{})
	require.NoError(t, err)
	require.GreaterOrEqual(t, got.Memory, int64(smallestMemory))
}

func TestMachineMemoryIsTheSmallestBound(t *testing.T) {
	root := t.TempDir() + "/"
	require.Equal(t, int64(4<<30), machineMemory(root), "nothing is known")
	write := func(path, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(root+path), 0o755))
		require.NoError(t, os.WriteFile(root+path, []byte(text), 0o644))
	}
	write("proc/meminfo", "MemTotal:       24684000 kB\nMemFree: 1 kB\n")
	require.Equal(t, int64(24684000<<10), machineMemory(root))
	write("sys/fs/cgroup/memory.max", "max\n")
	require.Equal(t, int64(24684000<<10), machineMemory(root))
	write("sys/fs/cgroup/memory.max", "1073741824\n")
	require.Equal(t, int64(1<<30), machineMemory(root))
}
