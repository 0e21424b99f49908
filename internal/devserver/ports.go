package devserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The ports that Temporal's own development server uses, so that its CLI finds this one too.
const (
	defaultPort   = 7233
	defaultUIPort = 8233
)

type ports struct{ frontend, http, history, matching, worker, ui int }

// choosePorts takes the ports asked for, the usual ones where they are free, and any free ones for the rest. All are held
// open until all are chosen, so that no two are the same.
func choosePorts(o Options) (ports, error) {
	var p ports
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	hold := func(wanted, usual int) (int, error) {
		l, err := listen(wanted, usual)
		if err != nil {
			return 0, err
		}
		held = append(held, l)
		return l.Addr().(*net.TCPAddr).Port, nil
	}
	for _, c := range []struct {
		port          *int
		wanted, usual int
	}{{&p.frontend, o.Port, defaultPort}, {&p.ui, o.UIPort, defaultUIPort}, {&p.http, 0, 0}, {&p.history, 0, 0}, {&p.matching, 0, 0}, {&p.worker, 0, 0}} {
		if c.wanted < 0 {
			continue
		}
		var err error
		if *c.port, err = hold(c.wanted, c.usual); err != nil {
			return p, err
		}
	}
	return p, nil
}

func listen(wanted, usual int) (net.Listener, error) {
	if wanted > 0 {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", loopback, wanted))
		if err != nil {
			return nil, fmt.Errorf("port %d: %w", wanted, err)
		}
		return l, nil
	}
	if usual > 0 {
		if l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", loopback, usual)); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", loopback+":0")
}

// lockFolder is where all servers of this machine find the lock, wherever each has its own temporary files.
const lockFolder = "/tmp"

// lockPorts waits its turn among the servers of this user that are starting.
func lockPorts(ctx context.Context) (*os.File, error) {
	folder := lockFolder
	if _, err := os.Stat(folder); err != nil {
		folder = os.TempDir()
	}
	path := filepath.Join(folder, fmt.Sprintf("varve-ports-%d.lock", os.Getuid()))
	for {
		f, err := acquireLock(path)
		if !errors.Is(err, ErrRunning) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// awaitPort waits until someone listens on the port; none is awaited for a port of 0.
func awaitPort(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for port > 0 {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", loopback, port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing listens on port %d: %w", port, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
