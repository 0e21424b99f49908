package servers

import (
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
	var mu sync.Mutex // one chunk at a time, so that a copy waits for what becomes of the first
	chunks := map[string]*httptest.ResponseRecorder{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if GCSProtocol.Kind(r) != "upload part" {
			forward.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		chunk := r.URL.Query().Get("upload_id") + " " + r.Header.Get("Content-Range")
		answer, again := chunks[chunk]
		if !again {
			answer = httptest.NewRecorder()
			forward.ServeHTTP(answer, r)
			chunks[chunk] = answer
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(s.Close)
	return s.URL
}
