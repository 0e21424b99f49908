package devserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"golang.org/x/sys/unix"
	"log/slog"
)

const infoFile = "dev.json"

// Info says where an embedded server listens. A running one writes it to dev.json in its folder, so that other processes
// on this machine find it.
type Info struct {
	Address string `json:"address"`      // gRPC, host:port
	UI      string `json:"ui,omitempty"` // URL
	PID     int    `json:"pid"`
}

// Find returns the address of the embedded server that runs on the folder, and false when none does.
func Find(dir string) (Info, bool) {
	data, err := os.ReadFile(filepath.Join(dir, infoFile))
	if err != nil {
		return Info{}, false
	}
	var info Info
	if json.Unmarshal(data, &info) != nil || info.Address == "" {
		return Info{}, false
	}
	// A killed server leaves the file behind; its lock is gone with it, and the port does not answer.
	lock, err := acquireLock(filepath.Join(dir, "temporal.lock"))
	if err == nil {
		_ = lock.Close()
		return Info{}, false
	}
	conn, err := net.DialTimeout("tcp", info.Address, time.Second)
	if err != nil {
		return Info{}, false
	}
	_ = conn.Close()
	return info, true
}

func writeInfo(dir string, info Info) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, infoFile)
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// acquireLock takes an advisory lock that the kernel gives free when the process ends, however it ends.
func acquireLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrRunning, filepath.Dir(path))
		}
		return nil, err
	}
	return f, nil
}

// clusterID is kept beside the database: Temporal refuses a database whose cluster has another id.
func clusterID(db string) string {
	path := strings.TrimSuffix(db, ".db") + ".cluster"
	if data, err := os.ReadFile(path); err == nil {
		if id, err := uuid.ParseBytes(data); err == nil {
			return id.String()
		}
	}
	id := uuid.NewString()
	_ = os.WriteFile(path, []byte(id), 0o644)
	return id
}

// awaitReady waits until the frontend answers; with static hosts that is within a second.
func awaitReady(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		c, err := client.DialContext(ctx, client.Options{HostPort: address, Namespace: Namespace, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))})
		if err == nil {
			_, err = c.WorkflowService().GetSystemInfo(ctx, nil)
			c.Close()
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer from %s: %w", address, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
