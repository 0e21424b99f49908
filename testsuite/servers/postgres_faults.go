package servers

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// PostgresFaults stands between a client and PostgreSQL, and does to each request of the JDBC catalog what is chosen for
// it. The kinds of requests are "load", the reading of a table's row, and those that look for a namespace or list; "create", "commit"
// and "create namespace", the ends of the transactions that insert and change one.
type PostgresFaults struct {
	Address string

	server string
	choose func(kind string) Fault
	stall  time.Duration
	ended  chan struct{}
}

// NewPostgresFaults starts a proxy before a server. stall is as in FaultOptions.
func NewPostgresFaults(t testing.TB, server string, choose func(kind string) Fault, stall time.Duration) *PostgresFaults {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &PostgresFaults{Address: l.Addr().String(), server: server, choose: choose, stall: stall, ended: make(chan struct{})}
	t.Cleanup(func() { close(p.ended); _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

// postgresSession is one connection of a client's.
type postgresSession struct {
	proxy      *PostgresFaults
	client, up net.Conn
	changing   string       // the kind of the transaction under way
	next       atomic.Value // Fault of the answer that is awaited
	left       chan struct{}
}

func (p *PostgresFaults) serve(client net.Conn) {
	defer client.Close()
	up, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer up.Close()
	s := &postgresSession{proxy: p, client: client, up: up, left: make(chan struct{})}
	s.next.Store(NoFault)
	go s.answers()
	defer close(s.left)
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if n > 0 && !s.request(buf[:n]) || err != nil {
			return
		}
	}
}

// kind tells what a message of the client's is.
func (s *postgresSession) kind(message []byte) string {
	sent := bytes.ToLower(message)
	switch {
	case bytes.Contains(sent, []byte(`insert into "iceberg_tables"`)):
		s.changing = "create"
	case bytes.Contains(sent, []byte(`update "iceberg_tables"`)):
		s.changing = "commit"
	case bytes.Contains(sent, []byte(`insert into "iceberg_namespace_properties"`)):
		s.changing = "create namespace"
	case bytes.Contains(sent, []byte("commit\x00")), bytes.Contains(sent, []byte("rollback\x00")):
		kind := s.changing
		if s.changing = ""; bytes.Contains(sent, []byte("commit\x00")) {
			return kind
		}
	case s.changing == "":
		return readingKind(sent)
	}
	return ""
}

// readingKind tells the catalog's SELECTs apart.
func readingKind(sent []byte) string {
	has := func(text string) bool { return bytes.Contains(sent, []byte(text)) }
	switch {
	case has(" union "):
		return "list namespaces"
	case has("select exists"):
		return "look for namespace"
	case has(`from "iceberg_tables"`) && has("(table_name = "):
		return "load"
	case has(`from "iceberg_tables"`):
		return "list tables"
	}
	return ""
}

// request passes a message on, or does what was chosen for it. It tells whether the connection goes on.
func (s *postgresSession) request(message []byte) bool {
	fault := NoFault
	if kind := s.kind(message); kind != "" {
		fault = s.proxy.choose(kind)
	}
	switch fault {
	case Refused500, Refused503, Refused409, Refused412:
		_, _ = s.client.Write(postgresRefusal(fault))
		return false
	case TornRequest:
		_, _ = s.up.Write(message[:len(message)/2])
		s.reset()
		return false
	case StallBefore, DeliveredLate:
		if s.hold() {
			break
		}
		if fault == DeliveredLate {
			time.Sleep(late)
			_, _ = s.up.Write(message) // which the server carries out, and finds nobody to tell
		}
		return false
	default:
		s.next.Store(fault)
	}
	_, err := s.up.Write(message)
	return err == nil
}

// hold waits as long as a stall takes, or until the client is noticed to have left.
func (s *postgresSession) hold() bool {
	var over <-chan time.Time
	if s.proxy.stall > 0 {
		over = time.After(s.proxy.stall)
	}
	gone := make(chan struct{})
	go func() { // who waits for an answer sends nothing
		defer close(gone)
		_, _ = s.client.Read(make([]byte, 1))
	}()
	select {
	case <-over:
		_ = s.client.SetReadDeadline(time.Now())
		<-gone
		_ = s.client.SetReadDeadline(time.Time{})
		return true
	case <-gone:
	case <-s.proxy.ended:
	}
	return false
}

// answers passes the server's answers on.
func (s *postgresSession) answers() {
	defer s.client.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := s.up.Read(buf)
		if n > 0 && !s.answer(buf[:n], s.next.Swap(NoFault).(Fault)) || err != nil {
			return
		}
	}
}

func (s *postgresSession) answer(message []byte, fault Fault) bool {
	half := len(message) / 2
	switch fault {
	case LostAnswer:
		s.reset()
		return false
	case TornAnswer, ShortAnswer:
		_, _ = s.client.Write(message[:half])
		if fault == TornAnswer {
			s.reset()
		}
		return false
	case StallMidway:
		_, _ = s.client.Write(message[:half])
		message = message[half:]
		fallthrough
	case StallAfter:
		if !s.rest() {
			return false
		}
	}
	_, err := s.client.Write(message)
	return err == nil
}

// rest waits as hold does, beside the reading of the client's messages.
func (s *postgresSession) rest() bool {
	var over <-chan time.Time
	if s.proxy.stall > 0 {
		over = time.After(s.proxy.stall)
	}
	select {
	case <-over:
		return true
	case <-s.left:
	case <-s.proxy.ended:
	}
	return false
}

func (s *postgresSession) reset() {
	_ = s.client.(*net.TCPConn).SetLinger(0)
	_ = s.client.Close()
}

// postgresRefusal is PostgreSQL's nearest word to a status of HTTP, after which it ends the connection and with that the
// transaction.
func postgresRefusal(fault Fault) []byte {
	code := map[Fault]string{Refused500: "XX000", Refused503: "57P03", Refused409: "40001", Refused412: "55000"}[fault]
	body := []byte("SFATAL\x00VFATAL\x00C" + code + "\x00Mas the test asked\x00\x00")
	return append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(len(body)+4)), body...)
}
