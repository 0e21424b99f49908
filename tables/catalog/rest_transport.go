package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	injected "github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/internal/patience"
	"github.com/varve-lake/varve/tables/fault"
)

// transport carries the requests of one REST catalog. It tells a request that never left from one whose answer was lost,
// reads answers whole, so that a body that breaks off is a lost answer too, and puts the branch, and the commit that a
// request is pinned to, into Nessie's paths.
type transport struct {
	inner *http.Transport
	send  http.RoundTripper // inner, but for servers that are silent
	base  string            // of the paths: /iceberg/v1/

	mu     sync.Mutex
	config map[string]string // what the server's configuration said
	prefix string            // of the catalog's paths, as it stands in them
	ref    string            // Nessie's branch; empty for other servers
	place  string            // Nessie's warehouse, with its bar
}

func newTransport(at *url.URL, silence time.Duration) *transport {
	inner := http.DefaultTransport.(*http.Transport).Clone()
	inner.MaxIdleConnsPerHost = 32
	patience.Watched(inner, patience.Or(silence))
	return &transport{inner: inner, send: patience.Transport(inner, patience.Or(silence)), base: strings.TrimRight(at.EscapedPath(), "/") + "/v1/"}
}

func (t *transport) close() { t.inner.CloseIdleConnections() }

// transportError says that no whole answer came.
type transportError struct {
	sent bool // the request may have reached the server
	err  error
}

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	connected := false
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}
	req = req.Clone(httptrace.WithClientTrace(req.Context(), trace))
	t.address(req)
	injected.Sending(req)
	resp, err := t.send.RoundTrip(req)
	injected.Answered(req)
	if err != nil {
		return nil, &transportError{connected, err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, &transportError{true, fmt.Errorf("read the answer: %w", err)}
	}
	if to := resp.Header.Get("Location"); resp.StatusCode > http.StatusMultipleChoices && resp.StatusCode < 400 && to != "" {
		// Go would follow: with the credentials, also to another host, and with a GET in place of a commit's POST, whose answer
		// then looks like one.
		return nil, fmt.Errorf("the server answers %s and points to %s: give the catalog's own address as uri", resp.Status, redacted(to))
	}
	if req.Method == http.MethodPost && resp.StatusCode == http.StatusOK && !json.Valid(body) {
		return nil, &transportError{true, fmt.Errorf("the server answers %s with what is not JSON", resp.Status)}
	}
	if resp.StatusCode == http.StatusRequestTimeout { // of a gateway's patience: what is behind it may go on
		return nil, &transportError{true, fmt.Errorf("the server answers %s", resp.Status)}
	}
	if resp.StatusCode == http.StatusTooManyRequests { // it was turned away, so nothing was changed
		return nil, &fault.Error{Class: fault.ErrPassing, Op: req.Method, Err: fmt.Errorf("the server answers %s", resp.Status)}
	}
	if req.Method == http.MethodGet && resp.StatusCode == http.StatusOK && strings.HasSuffix(req.URL.Path, "/v1/config") {
		t.learn(body)
	}
	if resp.StatusCode >= 300 && len(body) > 0 {
		body = withoutCredential(req, body)
		if !enveloped(body) {
			body = plainAnswer(resp, body)
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	return resp, nil
}

// enveloped tells whether an error's body has the form of the protocol. Of a body of another form, as gateways give it, the
// library forgets the status, by which a passing fault, or an answer that says nothing of the outcome, is known.
func enveloped(body []byte) bool {
	var form struct {
		Error *struct {
			Message, Type string
			Code          int
			Stack         []string
		}
		Message, Type string
	}
	return json.Unmarshal(body, &form) == nil
}

// plainAnswer puts what something between here and the server answers, a page of HTML for one, into the form that the
// library reads the status beside.
func plainAnswer(resp *http.Response, body []byte) []byte {
	const most = 200
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body[:min(len(body), most)]), "?")), " ")
	out, _ := json.Marshal(map[string]any{"error": map[string]any{"message": text, "type": resp.Status, "code": resp.StatusCode}})
	return out
}

// learn keeps what a server's configuration says, overrides before defaults.
func (t *transport) learn(body []byte) {
	var config struct{ Defaults, Overrides map[string]string }
	if json.Unmarshal(body, &config) != nil {
		return // the library says so
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.config = map[string]string{}
	for _, layer := range []map[string]string{config.Defaults, config.Overrides} {
		for k, v := range layer {
			t.config[k] = v
		}
	}
	if at, err := url.Parse(t.config["uri"]); err == nil && t.config["uri"] != "" {
		t.base = strings.TrimRight(at.EscapedPath(), "/") + "/v1/"
	}
}

func (t *transport) server() map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.config
}

// begin ends the opening: from here on Nessie's paths name the branch.
func (t *transport) begin(branch string, nessie bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !nessie {
		if branch != "" {
			return fmt.Errorf("branch %q: %w", branch, ErrNoBranches)
		}
		return nil
	}
	t.prefix = t.config["prefix"]
	name, err := url.PathUnescape(t.prefix)
	if err != nil || name == "" {
		return fmt.Errorf("the server's prefix %q has no branch in it", t.prefix)
	}
	t.ref = name
	if bar := strings.IndexByte(name, '|'); bar >= 0 {
		t.ref, t.place = name[:bar], name[bar:]
	}
	if branch != "" {
		t.ref = branch
	}
	return nil
}

type pinKey struct{}

// pinned makes requests go to the catalog as it was at a commit of Nessie's. One that changes it is refused if what it
// changes has changed since.
func pinned(ctx context.Context, hash string) context.Context {
	return context.WithValue(ctx, pinKey{}, hash)
}

// address puts Nessie's reference into the path of a request.
func (t *transport) address(req *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ref == "" {
		return
	}
	old := t.base + t.prefix + "/"
	rest, found := strings.CutPrefix(req.URL.EscapedPath(), old)
	if !found {
		return
	}
	ref := t.ref
	if branch, ok := req.Context().Value(branchKey{}).(string); ok {
		ref = branch
	}
	if hash, ok := req.Context().Value(pinKey{}).(string); ok {
		ref += "@" + hash
	}
	raw := t.base + url.PathEscape(ref+t.place) + "/" + rest
	if plain, err := url.PathUnescape(raw); err == nil {
		req.URL.Path, req.URL.RawPath = plain, raw
	}
}
