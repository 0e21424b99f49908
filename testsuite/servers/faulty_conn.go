package servers

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
)

// FaultyDial opens connections on which faults befall what is sent, for protocols that no proxy here knows. A refusal is a
// connection that breaks before anything is sent; a stall lasts until the reader's deadline.
func FaultyDial(choose func() Fault) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		f := &faultyConn{Conn: c, choose: choose}
		f.next.Store(NoFault)
		return f, nil
	}
}

type faultyConn struct {
	net.Conn
	choose func() Fault
	next   atomic.Value // Fault of the answer
}

func (c *faultyConn) broken() error {
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	return &net.OpError{Op: "fault", Net: "tcp", Err: syscall.ECONNRESET}
}

func (c *faultyConn) Write(p []byte) (int, error) {
	switch fault := c.choose(); fault {
	case Refused500, Refused503, Refused409, Refused412:
		return 0, c.broken()
	case TornRequest:
		n, _ := c.Conn.Write(p[:len(p)/2])
		return n, c.broken()
	case StallBefore:
		c.next.Store(StallAfter)
		return len(p), nil
	default:
		if fault != NoFault {
			c.next.Store(fault)
		}
		return c.Conn.Write(p)
	}
}

func (c *faultyConn) Read(p []byte) (int, error) {
	fault := c.next.Swap(NoFault).(Fault)
	n, err := c.Conn.Read(p)
	if err != nil {
		return n, err
	}
	switch fault {
	case LostAnswer:
		return 0, c.broken()
	case TornAnswer, ShortAnswer:
		_ = c.broken()
		return n / 2, nil // the next one fails
	case StallAfter, StallMidway, DeliveredLate:
		for err == nil { // until the deadline
			_, err = c.Conn.Read(p)
		}
		return 0, err
	}
	return n, nil
}
