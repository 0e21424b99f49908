package devserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// The ports that Temporal's own development server uses, so that its CLI finds this one too.
const (
	defaultPort   = 7233
	defaultUIPort = 8233
)

type ports struct{ frontend, http, history, matching, worker, ui int }

// each are those in use.
func (p ports) each() []int {
	return slices.DeleteFunc([]int{p.frontend, p.ui, p.http, p.history, p.matching, p.worker}, func(port int) bool { return port == 0 })
}

// choosePorts takes the ports asked for, the usual ones where they are free, and any free ones for the rest. All are held
// open until all are chosen, so that no two are the same; and they are claimed until the function that it gives is called, once
// somebody listens on them, so that no other server of this user takes one in between.
func choosePorts(o Options) (p ports, _ func(), err error) {
	var held []net.Listener
	var claims []*os.File
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	release := func() {
		for _, c := range claims {
			_ = errors.Join(os.Remove(c.Name()), c.Close())
		}
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	for _, c := range []struct {
		port          *int
		wanted, usual int
	}{{&p.frontend, o.Port, defaultPort}, {&p.ui, o.UIPort, defaultUIPort}, {&p.http, 0, 0}, {&p.history, 0, 0}, {&p.matching, 0, 0}, {&p.worker, 0, 0}} {
		for usual := c.usual; c.wanted >= 0 && *c.port == 0; usual = 0 {
			l, err := listen(c.wanted, usual)
			if err != nil {
				return p, nil, err
			}
			held = append(held, l)
			port := l.Addr().(*net.TCPAddr).Port
			claim, err := claimPort(port)
			if errors.Is(err, errClaimed) && c.wanted == 0 {
				continue // another server is about to listen there: some other port, while this one is held
			}
			if err != nil {
				return p, nil, fmt.Errorf("port %d: %w", port, err)
			}
			claims, *c.port = append(claims, claim), port
		}
	}
	return p, release, nil
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

// claimFolder is where all servers of this machine find each other's claims, wherever each has its own temporary files.
const claimFolder = "/tmp"

var errClaimed = errors.New("another embedded server is about to listen there")

// claimPort is errClaimed if another server of this user has claimed the port. A claim ends with its process.
func claimPort(port int) (*os.File, error) {
	folder := claimFolder
	if _, err := os.Stat(folder); err != nil {
		folder = os.TempDir()
	}
	folder = filepath.Join(folder, fmt.Sprintf("varve-ports-%d", os.Getuid()))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	claim, err := acquireLock(filepath.Join(folder, strconv.Itoa(port)))
	if errors.Is(err, ErrRunning) {
		return nil, errClaimed
	}
	return claim, err
}

// awaitPort waits until someone listens on the port.
func awaitPort(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
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
}
