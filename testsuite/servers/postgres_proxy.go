package servers

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"
)

// PostgresProxy stands between a client and PostgreSQL, and loses the answers to commits of tables as told.
type PostgresProxy struct {
	Address string
	drop    atomic.Int64
}

// DropAnswers lets the next n transactions that commit to an Iceberg table take effect, and hangs up before the answer.
func (p *PostgresProxy) DropAnswers(n int) { p.drop.Store(int64(n)) }

// NewPostgresProxy starts a proxy before a server.
func NewPostgresProxy(t testing.TB, server string) *PostgresProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &PostgresProxy{Address: l.Addr().String()}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client, server)
		}
	}()
	return p
}

func (p *PostgresProxy) serve(client net.Conn, server string) {
	defer client.Close()
	up, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer up.Close()
	var losing atomic.Bool
	go func() { // answers
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := up.Read(buf)
			if losing.Load() { // the answer to the commit has come, so it has taken effect
				return
			}
			if n > 0 {
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	changing := false
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if n > 0 {
			sent := bytes.ToLower(buf[:n])
			changing = changing || bytes.Contains(sent, []byte(`update "iceberg_tables"`))
			if bytes.Contains(sent, []byte("commit\x00")) {
				if changing && p.drop.Add(-1) >= 0 {
					losing.Store(true)
				}
				changing = false
			}
			if _, err := up.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
