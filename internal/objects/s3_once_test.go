package objects_test

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/objects"
)

// bucket answers as a store that keeps one object a key, and knows conditions or not.
type bucket struct {
	mu        sync.Mutex
	objects   map[string]string
	knows     bool // If-None-Match
	lies      bool // answers that something is there
	forgets   bool // the next answer to a write
	condition int  // requests that had one
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if r.Method != http.MethodPut {
		content, ok := b.objects[r.URL.Path]
		if !ok {
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		_, _ = io.WriteString(w, content)
		return
	}
	if r.Header.Get("If-None-Match") == "*" {
		b.condition++
		_, there := b.objects[r.URL.Path]
		switch {
		case !b.knows:
			refuse(w, http.StatusNotImplemented, "NotImplemented")
			return
		case there || b.lies:
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
	}
	b.objects[r.URL.Path] = string(body)
	if b.forgets {
		b.forgets = false
		refuse(w, http.StatusInternalServerError, "InternalError")
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
}

func TestObjectsThatAreCreatedOnce(t *testing.T) {
	put := func(t *testing.T, b objects.Bucket, content string) error {
		w, err := b.(objects.Once).CreateNew(t.Context(), "k")
		require.NoError(t, err)
		_, err = io.WriteString(w, content)
		require.NoError(t, err)
		return w.Close()
	}
	open := func(t *testing.T, server *bucket) objects.Bucket {
		server.objects = map[string]string{}
		s := httptest.NewServer(server)
		t.Cleanup(s.Close)
		stores := objects.New(objects.Config{S3: objects.S3{Endpoint: s.URL, PathStyle: true, AccessKey: "a", SecretKey: "b"}})
		t.Cleanup(func() { _ = stores.Close() })
		b, err := stores.Bucket(t.Context(), "s3", "lake")
		require.NoError(t, err)
		return b
	}
	t.Run("nobody replaces it", func(t *testing.T) {
		server := &bucket{knows: true}
		b := open(t, server)
		require.NoError(t, put(t, b, "mine"))
		require.ErrorIs(t, put(t, b, "other"), fs.ErrExist)
		require.ErrorIs(t, put(t, b, "mine too"), fs.ErrExist)
		require.NoError(t, put(t, b, "mine"), "the same again is what a lost answer leads to")
		require.Equal(t, "mine", server.objects["/lake/k"])
	})
	t.Run("a lost answer", func(t *testing.T) {
		server := &bucket{knows: true, forgets: true}
		require.NoError(t, put(t, open(t, server), "mine"))
		require.Equal(t, 2, server.condition)
	})
	t.Run("a store that knows no condition", func(t *testing.T) {
		server := &bucket{}
		b := open(t, server)
		require.NoError(t, put(t, b, "mine"))
		require.NoError(t, put(t, b, "other"))
		require.Equal(t, 1, server.condition, "it is asked once")
		require.Equal(t, "other", server.objects["/lake/k"])
	})
	t.Run("a refusal for nothing", func(t *testing.T) {
		require.ErrorIs(t, put(t, open(t, &bucket{knows: true, lies: true}), "mine"), objects.ErrPassing)
	})
}
