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
	"sync"
	"testing"
)

// ResumableGCS stands before fake-gcs-server and does what Google documents of uploads in chunks and the fake does not: a
// chunk that comes again is not taken twice. It returns its address.
func ResumableGCS(t testing.TB, gcs GCS) string {
	t.Helper()
	to, err := url.Parse(gcs.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(to)
	var chunks sync.Map // upload and range -> *chunk
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if GCSProtocol.Kind(r) != "upload part" {
			forward.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // it has not come whole
		}
		key := r.URL.Query().Get("upload_id") + " " + r.Header.Get("Content-Range")
		found, _ := chunks.LoadOrStore(key, &chunk{})
		found.(*chunk).serve(w, r, body, forward)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// chunk is one of an upload, with the answer that it got.
type chunk struct {
	mu     sync.Mutex // a copy waits for what becomes of the first
	answer *httptest.ResponseRecorder
}

func (c *chunk) serve(w http.ResponseWriter, r *http.Request, body []byte, forward http.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answer == nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		forward.ServeHTTP(answer, r.WithContext(context.WithoutCancel(r.Context())))
		if answer.Code < http.StatusInternalServerError {
			c.answer = answer
		} else {
			w.WriteHeader(answer.Code)
			return
		}
	}
	maps.Copy(w.Header(), c.answer.Header())
	w.WriteHeader(c.answer.Code)
	_, _ = w.Write(c.answer.Body.Bytes())
}
