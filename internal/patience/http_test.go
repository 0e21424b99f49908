package patience_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/patience"
)

const silence = 10 * time.Second // of the bubble's clock

// served has a handler behind connections in memory, in a bubble with a clock of its own.
func served(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, do func(*http.Request) (*http.Response, error))) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: handler}
		go func() { _ = server.Serve(l) }()
		transport := &http.Transport{DialContext: l.dial}
		test(t, patience.Transport(transport, silence).RoundTrip)
		transport.CloseIdleConnections()
		_ = server.Close()
		time.Sleep(1000 * silence) // until every handler has ended
	})
}

type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func request(t *testing.T, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://server/", body)
	require.NoError(t, err)
	return req
}

func requireSilent(t *testing.T, began time.Time, err error) {
	t.Helper()
	var silent *patience.Error
	require.ErrorAs(t, err, &silent)
	require.NotErrorIs(t, err, context.Canceled, "the caller has not given up")
	var network net.Error
	require.True(t, errors.As(err, &network) && network.Timeout())
	require.Equal(t, silence, time.Since(began))
}

func TestAnAnswerThatDoesNotCome(t *testing.T) {
	served(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }, func(t *testing.T, do func(*http.Request) (*http.Response, error)) {
		began := time.Now()
		_, err := do(request(t, bytes.NewReader([]byte("x"))))
		requireSilent(t, began, err)
	})
}

func TestABodyThatIsNotTaken(t *testing.T) {
	served(t, func(http.ResponseWriter, *http.Request) { time.Sleep(100 * silence) }, func(t *testing.T, do func(*http.Request) (*http.Response, error)) {
		began := time.Now()
		_, err := do(request(t, bytes.NewReader(make([]byte, 1<<20))))
		requireSilent(t, began, err)
	})
}

func TestAnAnswerThatStopsMidway(t *testing.T) {
	served(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("half"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, func(t *testing.T, do func(*http.Request) (*http.Response, error)) {
		resp, err := do(request(t, nil))
		require.NoError(t, err)
		time.Sleep(5 * silence) // the reader's own time is not the server's
		half := make([]byte, 4)
		_, err = io.ReadFull(resp.Body, half)
		require.NoError(t, err)
		began := time.Now()
		_, err = io.ReadAll(resp.Body)
		requireSilent(t, began, err)
		require.NoError(t, resp.Body.Close())
	})
}

// TestWhatMovesIsNotCut sends and receives for longer than the patience, and never pauses for as long.
func TestWhatMovesIsNotCut(t *testing.T) {
	const n, pause = 5, silence - time.Second
	served(t, func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 100<<10)
		for range n {
			time.Sleep(pause)
			if _, err := io.ReadFull(r.Body, piece); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(pause)
		for range n {
			_, _ = w.Write(piece)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(pause)
		}
	}, func(t *testing.T, do func(*http.Request) (*http.Response, error)) {
		resp, err := do(request(t, bytes.NewReader(make([]byte, n*100<<10))))
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Len(t, got, n*100<<10)
		require.NoError(t, resp.Body.Close())
	})
}

func TestACallerWhoGivesUpIsTheCaller(t *testing.T) {
	served(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(t *testing.T, do func(*http.Request) (*http.Response, error)) {
		ctx, cancel := context.WithTimeout(t.Context(), silence/2)
		defer cancel()
		_, err := do(request(t, nil).WithContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorAs(t, err, new(*patience.Error))
	})
}

func TestConnectionsThatAreSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c, err := patience.Dial(func(context.Context, string, string) (net.Conn, error) { return ours, nil }, silence)(t.Context(), "", "")
		require.NoError(t, err)
		time.Sleep(5 * silence) // nobody waits
		go func() { time.Sleep(silence - time.Second); _, _ = theirs.Write([]byte("a")) }()
		_, err = c.Read(make([]byte, 1))
		require.NoError(t, err)

		require.NoError(t, c.SetDeadline(time.Now().Add(time.Second)))
		began := time.Now()
		_, err = c.Read(make([]byte, 1))
		require.NotErrorAs(t, err, new(*patience.Error), "the caller's own deadline")
		require.Equal(t, time.Second, time.Since(began))
		require.NoError(t, c.SetDeadline(time.Time{}))

		began = time.Now()
		_, err = c.Write([]byte("nobody reads"))
		requireSilent(t, began, err)
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.ErrClosedPipe, "what comes late is no answer to another question")
	})
}
