package catalog_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/fault"
)

// restServer answers everything but the configuration by answer.
func restServer(t *testing.T, config string, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/v1/config") {
			fmt.Fprint(w, config)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

// TestClassesOfRESTErrors holds the class of a load and of a commit against what the server does.
func TestClassesOfRESTErrors(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			fmt.Fprintf(w, `{"error":{"message":"no","type":"SomeException","code":%d}}`, code)
		}
	}
	for name, c := range map[string]struct {
		answer       http.HandlerFunc
		load, commit error
	}{
		"400":         {status(400), nil, nil},
		"401":         {status(401), fault.ErrDenied, fault.ErrDenied},
		"403":         {status(403), fault.ErrDenied, fault.ErrDenied},
		"404":         {status(404), fault.ErrAbsent, fault.ErrAbsent},
		"409":         {status(409), nil, fault.ErrConflict},
		"419":         {status(419), fault.ErrDenied, fault.ErrDenied},
		"429":         {status(429), fault.ErrPassing, fault.ErrPassing},
		"500":         {status(500), fault.ErrPassing, fault.ErrUnknownOutcome},
		"501":         {status(501), nil, nil},
		"502":         {status(502), fault.ErrPassing, fault.ErrUnknownOutcome},
		"503":         {status(503), fault.ErrPassing, fault.ErrUnknownOutcome},
		"504":         {status(504), fault.ErrPassing, fault.ErrUnknownOutcome},
		"500 in HTML": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); fmt.Fprint(w, "<html>") }, fault.ErrPassing, fault.ErrUnknownOutcome},
		"524, and an error that is a text": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(524)
			fmt.Fprint(w, `{"error":"a timeout occurred"}`)
		}, fault.ErrPassing, fault.ErrUnknownOutcome},
		"599, and a list": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599); fmt.Fprint(w, `["no"]`) }, fault.ErrPassing, fault.ErrUnknownOutcome},
		"408":             {status(408), fault.ErrPassing, fault.ErrUnknownOutcome},
		"no answer":       {func(w http.ResponseWriter, _ *http.Request) { hangUp(w) }, fault.ErrPassing, fault.ErrUnknownOutcome},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"metadata":`)
			w.(http.Flusher).Flush()
			hangUp(w)
		}, fault.ErrPassing, fault.ErrUnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			cat, err := catalog.Open(t.Context(), catalog.Config{Type: "rest", URI: restServer(t, `{}`, c.answer)})
			require.NoError(t, err)
			defer cat.Close()
			_, err = cat.LoadTable(t.Context(), ident)
			require.Error(t, err)
			require.Equal(t, c.load, fault.Class(err), "load: %v", err)
			_, _, err = cat.CommitTable(t.Context(), ident, nil, []table.Update{table.NewSetPropertiesUpdate(map[string]string{"a": "b"})})
			require.Error(t, err)
			require.Equal(t, c.commit, fault.Class(err), "commit: %v", err)
		})
	}
}

func TestNobodyListens(t *testing.T) {
	uri := restServer(t, `{}`, nil)
	cat, err := catalog.Open(t.Context(), catalog.Config{Type: "rest", URI: uri})
	require.NoError(t, err)
	defer cat.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = catalog.Open(t.Context(), catalog.Config{Type: "rest", URI: "http://" + l.Addr().String()})
	require.Equal(t, fault.ErrPassing, fault.Class(err), "%v", err)
}

func TestTokensAndClientCredentials(t *testing.T) {
	var seen []string
	refusal := 401
	uri := restServer(t, `{}`, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/oauth/tokens") {
			if r.FormValue("client_secret") != "hunter2" {
				w.WriteHeader(refusal)
				fmt.Fprintf(w, `{"error":"invalid_client","error_description":"not %s"}`, r.FormValue("client_secret"))
				return
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"made","token_type":"bearer","expires_in":3600}`)
			return
		}
		seen = append(seen, r.Header.Get("Authorization"))
		w.WriteHeader(404)
	})
	for credential, want := range map[string]string{"a-token": "Bearer a-token", "me:hunter2": "Bearer made"} {
		seen = nil
		cat, err := catalog.Open(t.Context(), catalog.Config{Type: "rest", URI: uri, Credential: credential})
		require.NoError(t, err)
		_, err = cat.LoadTable(t.Context(), ident)
		require.ErrorIs(t, err, fault.ErrAbsent)
		require.Equal(t, []string{want}, seen)
		require.NoError(t, cat.Close())
	}
	for status, class := range map[int]error{401: fault.ErrDenied, 503: fault.ErrPassing} {
		refusal = status
		_, err := catalog.Open(t.Context(), catalog.Config{Type: "rest", URI: uri, Credential: "me:hunter3"})
		require.ErrorIs(t, err, class)
		require.ErrorContains(t, err, strconv.Itoa(status))
		require.NotContains(t, err.Error(), "hunter3", "not even where the server repeats it")
	}
}

// TestNoPasswordOfAURIIsTold: whoever opens a lake without varve.yaml may write one into a URI, in whatever form.
func TestNoPasswordOfAURIIsTold(t *testing.T) {
	for kind, uris := range map[string][]string{
		"sql":  {"postgresql://me:hunter2@127.0.0.1:1/lake", "jdbc:postgresql://me:hunter2@127.0.0.1:1/lake", "postgresql:me:hunter2@127.0.0.1:1/lake", "postgresql://127.0.0.1:1/lake?user=me&password=hunter2", "mysql://me:hunter2@db/lake", "jdbc:mysql://me:hunter2@db/lake"},
		"rest": {"ftp://me:hunter2@catalog.example", "jdbc:me:hunter2@catalog.example", "http://me:hunter2@127.0.0.1:1"},
	} {
		for _, uri := range uris {
			cfg := catalog.Config{Type: kind, URI: uri, Warehouse: t.TempDir()}
			cat, err := catalog.Open(t.Context(), cfg)
			require.Error(t, err, uri)
			require.Nil(t, cat)
			require.NotContains(t, err.Error()+cfg.String(), "hunter2")
		}
	}
}

func TestARefusalThatRepeatsTheTokenDoesNotTellIt(t *testing.T) {
	uri := restServer(t, `{}`, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(401)
		fmt.Fprintf(w, `{"error":{"message":%q,"type":"NotAuthorizedException","code":401}}`, "not "+r.Header.Get("Authorization"))
	})
	cat, err := catalog.Open(t.Context(), catalog.Config{Type: "rest", URI: uri, Credential: `hunter2"<&`})
	require.NoError(t, err)
	defer cat.Close()
	_, err = cat.LoadTable(t.Context(), ident)
	require.ErrorIs(t, err, fault.ErrDenied)
	require.ErrorContains(t, err, "not Bearer [the credential]")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestABranchNeedsNessie(t *testing.T) {
	_, err := catalog.Open(t.Context(), catalog.Config{Type: "rest", URI: restServer(t, `{}`, nil), Branch: "work"})
	require.ErrorContains(t, err, `branch "work": only Nessie has branches`)
}

// TestNessiesBranchStandsInThePath looks at the paths that a server sees which says that it is Nessie.
func TestNessiesBranchStandsInThePath(t *testing.T) {
	const config = `{"defaults":{"prefix":"main%7Clake","warehouse":"s3://lake/wh"},"overrides":{"nessie.is-nessie-catalog":"true"}}`
	for branch, want := range map[string]string{"": "main%7Clake", "work/one": "work%2Fone%7Clake"} {
		var path string
		uri := restServer(t, config, func(w http.ResponseWriter, r *http.Request) { path = r.URL.EscapedPath(); w.WriteHeader(404) })
		cat, err := catalog.Open(t.Context(), catalog.Config{Type: "rest", URI: uri + "/iceberg", Warehouse: "lake", Branch: branch})
		require.NoError(t, err)
		require.True(t, cat.HeadOnly())
		require.Equal(t, "s3://lake/wh", cat.Warehouse())
		_, err = cat.LoadTable(t.Context(), ident)
		require.ErrorIs(t, err, fault.ErrAbsent)
		require.Equal(t, "/iceberg/v1/"+want+"/namespaces/"+ident[0]+"/tables/"+ident[1], path)
		require.NoError(t, cat.Close())
	}
}

// TestNamespacesWithinOthersAreListed: a REST catalog gives only those of one parent at a time.
func TestNamespacesWithinOthersAreListed(t *testing.T) {
	lists := map[string]string{"": `[["a"],["b"]]`, "a": `[["a","x"]]`, "a\x1fx": `[["a","x","y"]]`}
	uri := restServer(t, `{}`, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		list := lists[r.URL.Query().Get("parent")]
		if list == "" {
			list = "[]"
		}
		fmt.Fprintf(w, `{"namespaces":%s}`, list)
	})
	cat, err := catalog.Open(t.Context(), catalog.Config{Type: "rest", URI: uri})
	require.NoError(t, err)
	defer cat.Close()
	all, err := cat.AllNamespaces(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []table.Identifier{{"a"}, {"b"}, {"a", "x"}, {"a", "x", "y"}}, all)
}
