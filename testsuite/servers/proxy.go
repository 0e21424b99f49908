package servers

import (
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
)

// Proxy stands between a client and a server of HTTP, and does as told with the requests that match.
type Proxy struct {
	URI string

	match  func(*http.Request) bool
	drop   atomic.Int64
	breaks atomic.Int64
	refuse atomic.Value // of refusal
	passed atomic.Int64
}

type refusal struct {
	n      *atomic.Int64
	status int
}

// NewProxy starts a proxy before a server. Its URI has the server's path; match chooses the requests that the faults are
// for.
func NewProxy(t testing.TB, server string, match func(*http.Request) bool) *Proxy {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{match: match}
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	forward := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host // the Host header stays: servers answer with URIs made of it
			r.Out.Host = r.In.Host
		},
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.serve(w, r, forward)
	}))
	t.Cleanup(func() { front.Close(); transport.CloseIdleConnections() })
	p.URI = front.URL + to.Path
	return p
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	if !p.match(r) {
		forward.ServeHTTP(w, r)
		return
	}
	p.passed.Add(1)
	if now, ok := p.refuse.Load().(refusal); ok && now.n.Add(-1) >= 0 {
		http.Error(w, `{"error":{"message":"as the test asked","type":"Refused","code":0}}`, now.status)
		return
	}
	if p.drop.Add(-1) >= 0 {
		forward.ServeHTTP(httptest.NewRecorder(), r) // it takes effect, and nobody hears of it
		hangUp(w)
		return
	}
	if p.breaks.Add(-1) >= 0 {
		answer := httptest.NewRecorder()
		forward.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		hangUp(w)
		return
	}
	forward.ServeHTTP(w, r)
}

func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset, not an orderly end
	}
	_ = conn.Close()
}

// DropAnswers lets the next n requests that match take effect, and their answers be lost.
func (p *Proxy) DropAnswers(n int) { p.drop.Store(int64(n)) }

// BreakBodies lets the next n answers to requests that match break off in the midst of their bodies.
func (p *Proxy) BreakBodies(n int) { p.breaks.Store(int64(n)) }

// Refuse answers the next n requests that match with a status, and lets none of them through.
func (p *Proxy) Refuse(n, status int) {
	left := &atomic.Int64{}
	left.Store(int64(n))
	p.refuse.Store(refusal{left, status})
}

// Passed counts the requests that matched.
func (p *Proxy) Passed() int64 { return p.passed.Load() }
