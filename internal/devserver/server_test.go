package devserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

func TestRestartKeepsWorkflows(t *testing.T) {
	dir := t.TempDir()
	run := func(id string) string {
		s, err := Start(context.Background(), Options{Dir: dir, Port: 0})
		require.NoError(t, err)
		defer s.Stop()
		found, ok := Find(dir)
		require.True(t, ok)
		require.Equal(t, s.Info(), found)
		_, err = Start(context.Background(), Options{Dir: dir})
		require.ErrorIs(t, err, ErrRunning)

		resp, err := http.Get(s.Info().UI)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)

		c, err := client.Dial(client.Options{HostPort: s.Info().Address, Namespace: Namespace})
		require.NoError(t, err)
		defer c.Close()
		w := worker.New(c, "q", worker.Options{})
		w.RegisterWorkflowWithOptions(func(ctx workflow.Context) (string, error) { return "sediment", nil }, workflow.RegisterOptions{Name: "W"})
		require.NoError(t, w.Start())
		defer w.Stop()
		_, err = c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: id, TaskQueue: "q"}, "W")
		require.NoError(t, err)
		var first, this string
		require.NoError(t, c.GetWorkflow(context.Background(), id, "").Get(context.Background(), &this))
		require.NoError(t, c.GetWorkflow(context.Background(), "first", "").Get(context.Background(), &first))
		return first + this
	}
	require.Equal(t, "sedimentsediment", run("first"))
	require.Equal(t, "sedimentsediment", run("second"))
	_, ok := Find(dir)
	require.False(t, ok, "a stopped server is not found")
}

// TestKilledDuringSetup leaves what a kill during the first start leaves: a half-made database without its marker.
func TestKilledDuringSetup(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "temporal.db"), []byte("half"), 0o644))
	s, err := Start(context.Background(), Options{Dir: dir, UIPort: -1})
	require.NoError(t, err)
	require.Empty(t, s.Info().UI)
	s.Stop()
}

// TestStartingAtOnce: servers of different folders that start at once take different ports.
func TestStartingAtOnce(t *testing.T) {
	const n = 4
	servers := make(chan *Server, n)
	for range n {
		go func() {
			s, err := Start(context.Background(), Options{Dir: t.TempDir()})
			if err != nil {
				t.Error(err)
			}
			servers <- s
		}()
	}
	seen := map[string]bool{}
	for range n {
		if s := <-servers; s != nil {
			defer s.Stop()
			seen[s.Info().Address], seen[s.Info().UI] = true, true
		}
	}
	require.Len(t, seen, 2*n)
}

// TestPortsStayClaimedUntilTheyAreInUse: also by servers that have temporary folders of their own, as a test or a service manager
// gives them.
func TestPortsStayClaimedUntilTheyAreInUse(t *testing.T) {
	first, release, err := choosePorts(Options{})
	require.NoError(t, err)
	t.Setenv("TMPDIR", t.TempDir())
	second, alsoRelease, err := choosePorts(Options{})
	require.NoError(t, err)
	for _, port := range first.each() {
		require.NotContains(t, second.each(), port)
	}
	_, _, err = choosePorts(Options{Port: first.frontend, UIPort: -1})
	require.ErrorIs(t, err, errClaimed)
	require.ErrorContains(t, err, fmt.Sprint("port ", first.frontend))
	release()
	third, releaseThird, err := choosePorts(Options{Port: first.frontend, UIPort: -1})
	require.NoError(t, err)
	require.Equal(t, first.frontend, third.frontend)
	require.Zero(t, third.ui)
	releaseThird()
	alsoRelease()
	left, err := os.ReadDir(filepath.Join(claimFolder, fmt.Sprintf("varve-ports-%d", os.Getuid())))
	require.NoError(t, err)
	for _, f := range left {
		require.NotEqual(t, strconv.Itoa(first.frontend), f.Name())
	}
}

// TestLockOfAKilledProcess: the kernel frees the lock of a killed process.
func TestLockOfAKilledProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	holder := exec.Command("flock", path, "sleep", "60")
	if err := holder.Start(); errors.Is(err, exec.ErrNotFound) {
		t.Skip("util-linux's flock is not installed")
	}
	require.Eventually(t, func() bool {
		f, err := acquireLock(path)
		if err == nil {
			_ = f.Close()
		}
		return errors.Is(err, ErrRunning)
	}, 5*time.Second, 10*time.Millisecond)
	_ = exec.Command("pkill", "-9", "-P", strconv.Itoa(holder.Process.Pid)).Run()
	require.NoError(t, holder.Process.Kill())
	_ = holder.Wait()
	require.Eventually(t, func() bool {
		f, err := acquireLock(path)
		if err == nil {
			_ = f.Close()
		}
		return err == nil
	}, 5*time.Second, 10*time.Millisecond)
}
