package servers

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Fault is what becomes of one request on its way.
type Fault string

// The faults. Those in the first group leave no effect; those in the second take effect, and the caller does not hear of
// it, or not all.
const (
	NoFault Fault = ""

	Refused500  Fault = "500"
	Refused503  Fault = "503 SlowDown"
	Refused409  Fault = "409"
	Refused412  Fault = "412"
	TornRequest Fault = "reset in the midst of the request"
	StallBefore Fault = "stall before the effect"

	LostAnswer  Fault = "answer dropped after the effect"
	TornAnswer  Fault = "reset in the midst of the answer"
	ShortAnswer Fault = "connection closed in the midst of the answer"
	StallAfter  Fault = "stall after the effect"
	StallMidway Fault = "stall in the midst of the answer"

	// DeliveredLate stalls until the caller has left, and takes effect then. Whether that is before or after what the caller
	// does next is chance, so that it is none of Faults.
	DeliveredLate Fault = "delivered when the caller has left"
)

// late is how long after the caller has left.
const late = 100 * time.Millisecond

// Faults are all of them.
var Faults = []Fault{
	LostAnswer, Refused500, Refused503, Refused409, Refused412, TornRequest, TornAnswer, ShortAnswer, StallBefore, StallAfter, StallMidway,
}

// FaultProxy stands between a client and a server of HTTP, and does to each request what is chosen for it.
type FaultProxy struct {
	URI string

	choose  func(*http.Request) Fault
	refuse  func(w http.ResponseWriter, status int)
	forward http.Handler
	ended   chan struct{}
	stall   time.Duration
	under   sync.WaitGroup // requests under way
}

// Settle waits until no request is under way, also of those whose callers have left.
func (p *FaultProxy) Settle() { p.under.Wait() }

// FaultOptions say how a FaultProxy acts.
type FaultOptions struct {
	// Choose decides about each request.
	Choose func(*http.Request) Fault
	// Refuse answers as the server does that refuses with a status.
	Refuse func(w http.ResponseWriter, status int)
	// Stall is how long a request that stalls is held; then it goes on as if nothing were the matter, and takes effect also
	// where the client has left meanwhile. Zero is for ever: until the client has left, or the test has ended.
	Stall time.Duration
}

// NewFaultProxy starts a proxy before a server. Its URI has the server's path.
func NewFaultProxy(t testing.TB, server string, o FaultOptions) *FaultProxy {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	p := &FaultProxy{choose: o.Choose, refuse: o.Refuse, stall: o.Stall, ended: make(chan struct{})}
	transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Second}
	p.forward = &httputil.ReverseProxy{
		Transport: transport,
		ModifyResponse: func(r *http.Response) error { // an upload goes on where the server says
			if at, err := url.Parse(r.Header.Get("Location")); err == nil && at.Host != "" {
				at.Host = r.Request.Host
				r.Header.Set("Location", at.String())
			}
			return nil
		},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host // the Host header stays: it is signed, and servers answer with it
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { hangUp(w) },
	}
	front := httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() { close(p.ended); front.Close(); transport.CloseIdleConnections() })
	p.URI = front.URL + to.Path
	return p
}

func (p *FaultProxy) serve(w http.ResponseWriter, r *http.Request) {
	p.under.Add(1)
	defer p.under.Done()
	switch fault := p.choose(r); fault {
	case NoFault:
		p.forward.ServeHTTP(w, r)
	case Refused500, Refused503, Refused409, Refused412:
		_, _ = io.Copy(io.Discard, r.Body)
		status, _ := strconv.Atoi(string(fault[:3]))
		p.refuse(w, status)
	case TornRequest:
		_, _ = io.CopyN(io.Discard, r.Body, max(r.ContentLength/2, 0))
		hangUp(w)
	case StallBefore, DeliveredLate:
		p.before(w, r, fault)
	default:
		p.after(w, r, fault)
	}
}

// before holds a request back before it takes effect.
func (p *FaultProxy) before(w http.ResponseWriter, r *http.Request, fault Fault) {
	body, _ := io.ReadAll(r.Body) // after which it is noticed that the client leaves
	r.Body = io.NopCloser(bytes.NewReader(body))
	stayed := p.hold(r)
	whole := int64(len(body)) == r.ContentLength || r.ContentLength < 0
	switch {
	case stayed:
		p.forward.ServeHTTP(w, r)
		return
	case !whole:
	case fault == DeliveredLate:
		time.Sleep(late)
		p.forward.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
	case p.stall > 0:
		select {
		case <-time.After(p.stall):
			p.forward.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		case <-p.ended:
		}
	}
	hangUp(w)
}

// hold waits for as long as a stall takes, and tells whether the request is to go on after it.
func (p *FaultProxy) hold(r *http.Request) bool {
	var over <-chan time.Time
	if p.stall > 0 {
		over = time.After(p.stall)
	}
	select {
	case <-over:
		return true
	case <-r.Context().Done():
	case <-p.ended:
	}
	return false
}

// after lets a request take effect, whether or not its client waits for that, and then does something to the answer.
func (p *FaultProxy) after(w http.ResponseWriter, r *http.Request, fault Fault) {
	answer := httptest.NewRecorder()
	p.forward.ServeHTTP(answer, r.WithContext(context.WithoutCancel(r.Context())))
	body := answer.Body.Bytes()
	if fault == LostAnswer || len(body) == 0 && (fault == TornAnswer || fault == ShortAnswer) {
		hangUp(w)
		return
	}
	if len(body) == 0 && fault == StallMidway {
		fault = StallAfter
	}
	if fault == StallAfter && !p.hold(r) {
		hangUp(w)
		return
	}
	maps.Copy(w.Header(), answer.Header())
	if r.Method != http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	if fault == StallAfter {
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body)
		return
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	switch fault {
	case TornAnswer:
		hangUp(w)
	case ShortAnswer: // the server closes the connection of an answer that is shorter than its length
	case StallMidway:
		if p.hold(r) {
			_, _ = w.Write(body[len(body)/2:])
		}
	}
}
