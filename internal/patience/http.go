package patience

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// Watched makes a transport of HTTP notice connections that are dead: those that many requests share, which the end of one
// of them does not close.
func Watched(t *http.Transport, patience time.Duration) {
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: patience / 2, PingTimeout: patience / 2}
}

// Transport is an http.RoundTripper whose requests are given up when nothing has moved for so long.
func Transport(inner http.RoundTripper, patience time.Duration) http.RoundTripper {
	return roundTripper{inner, patience}
}

type roundTripper struct {
	inner    http.RoundTripper
	patience time.Duration
}

func (t roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	return Do(req, t.patience, t.inner.RoundTrip)
}

// Do sends a request, and gives it up when for so long nothing of its body was taken, no answer came, or nothing of the
// answer's body came that was asked for. A caller who takes his time between two reads is not meant.
func Do(req *http.Request, patience time.Duration, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	w := &watch{patience: patience, cancel: cancel, sending: true}
	w.timer = time.AfterFunc(patience, w.fire)
	out := req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &sentBody{req.Body, w}
		if again := req.GetBody; again != nil {
			out.GetBody = func() (io.ReadCloser, error) {
				body, err := again()
				return &sentBody{body, w}, err
			}
		}
	}
	resp, err := send(out)
	w.answered()
	if err != nil {
		cancel()
		return nil, w.meaning(err)
	}
	if resp.Body == nil || resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, nil
	}
	resp.Body = &answerBody{resp.Body, w}
	return resp, nil
}

// watch is the clock of one request. It runs while the request is sent and its answer waited for, and while a read of the
// answer's body waits.
type watch struct {
	patience time.Duration
	cancel   context.CancelFunc
	timer    *time.Timer

	mu      sync.Mutex
	sending bool // until the answer's header is there
	fired   bool
}

func (w *watch) fire() {
	w.mu.Lock()
	w.fired = true
	w.mu.Unlock()
	w.cancel()
}

// moved starts the clock anew while the request is sent.
func (w *watch) moved() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sending && !w.fired {
		w.timer.Reset(w.patience)
	}
}

func (w *watch) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sending = false
	w.timer.Stop()
}

// meaning is the error of a request: where the clock ended it, what that means, and not that the caller has given up.
func (w *watch) meaning(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fired {
		return &Error{w.patience}
	}
	return err
}

// sentBody tells the watch that the connection takes more.
type sentBody struct {
	io.ReadCloser
	watch *watch
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.watch.moved()
	return b.ReadCloser.Read(p)
}

// answerBody is watched while it is read.
type answerBody struct {
	io.ReadCloser
	watch *watch
}

func (b *answerBody) Read(p []byte) (int, error) {
	b.watch.timer.Reset(b.watch.patience)
	n, err := b.ReadCloser.Read(p)
	b.watch.timer.Stop()
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
	default:
		if err = b.watch.meaning(err); errors.Is(err, io.ErrUnexpectedEOF) {
			err = &broken{err}
		}
	}
	b.watch.cancel()
	return n, err
}

func (b *answerBody) Close() error {
	err := b.ReadCloser.Close()
	b.watch.cancel()
	return err
}
