package patience

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// DialFunc opens a connection.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Dial is a DialFunc whose connections are closed when a read or a write of theirs waits for so long, for protocols in
// which nothing is read but what was asked for. A nil dial is the net package's.
func Dial(dial DialFunc, patience time.Duration) DialFunc {
	if dial == nil {
		dial = (&net.Dialer{Timeout: patience}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c, patience: patience}, nil
	}
}

// conn keeps the caller's own deadlines: whichever comes first holds.
type conn struct {
	net.Conn
	patience time.Duration

	mu          sync.Mutex
	read, write time.Time
}

func (c *conn) Read(p []byte) (int, error) {
	began := c.begin(&c.read, c.Conn.SetReadDeadline)
	n, err := c.Conn.Read(p)
	return n, c.meaning(began, err)
}

func (c *conn) Write(p []byte) (int, error) {
	began := c.begin(&c.write, c.Conn.SetWriteDeadline)
	n, err := c.Conn.Write(p)
	return n, c.meaning(began, err)
}

// begin sets the deadline of one call. A caller who cancels by a deadline that is past, before or after, is heeded.
func (c *conn) begin(own *time.Time, set func(time.Time) error) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if ours := now.Add(c.patience); own.IsZero() || ours.Before(*own) {
		_ = set(ours)
	} else {
		_ = set(*own)
	}
	return now
}

// meaning closes a connection that was silent: what still comes on it is no answer to what is asked next.
func (c *conn) meaning(began time.Time, err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < c.patience {
		return err
	}
	_ = c.Conn.Close()
	return &Error{c.patience}
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read, c.write = t, t
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = t
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = t
	return c.Conn.SetWriteDeadline(t)
}
