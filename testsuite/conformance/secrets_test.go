package conformance

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/reference"
	"github.com/varve-lake/varve/testsuite/servers"
)

// TestLakeTellsNoSecret runs the example pipeline against a catalog that asks for a token and a store that asks for a key,
// lets it fail in several ways, and looks for both in all that anybody could read: histories, logs, what commands say and
// explain, errors, metrics, every object that was ever written, also those that were staged and are gone, and properties.
func TestLakeTellsNoSecret(t *testing.T) {
	const token, wrong, inlined = "planted-token-of-the-catalog", "planted-wrong-secret", "planted-where-it-should-be-named"
	s3 := servers.VersityGW(t)
	secrets := []string{token, s3.SecretKey, wrong, inlined}
	bodies := &witness{secrets: secrets}
	storeDoor := door(t, s3.Endpoint, bodies.look)
	nessie := servers.Nessie(t, s3)
	var revoked atomic.Bool
	catalogDoor := door(t, nessie.URI, func(w http.ResponseWriter, r *http.Request) bool {
		if given := r.Header.Get("Authorization"); given != "Bearer "+token || revoked.Load() {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized) // with an answer that says too much
			fmt.Fprintf(w, `{"error":{"message":"not %s","type":"NotAuthorizedException","code":401}}`, given)
			return false
		}
		return bodies.look(w, r)
	})
	l := lab.New(t, lab.Build(t))
	l.Write("token", []byte(token+"\n"))
	l.Write("wrong", []byte(wrong+"\n"))
	environment := fmt.Sprintf("store: {s3: {region: %s, endpoint: %q, path_style: true, access_key: {env: VARVE_TEST_KEY}, secret_key: {env: %%s}}}", s3.Region, storeDoor)
	catalog := fmt.Sprintf("catalog: {type: rest, uri: %q, warehouse: %s, credential: {file: %%s}}", catalogDoor, nessie.Warehouse)
	l.Write("varve.yaml", fmt.Appendf(nil, "environments:\n  prod:\n    %s\n    %s\n  stranger:\n    %s\n    %s\n  thief:\n    %s\n    %s\n",
		fmt.Sprintf(catalog, "token"), fmt.Sprintf(environment, "VARVE_TEST_SECRET"),
		fmt.Sprintf(catalog, "wrong"), fmt.Sprintf(environment, "VARVE_TEST_SECRET"),
		fmt.Sprintf(catalog, "token"), fmt.Sprintf(environment, "VARVE_TEST_WRONG")))
	l.Env = []string{"VARVE_ENVIRONMENT=prod", "VARVE_TEST_KEY=" + s3.AccessKey, "VARVE_TEST_SECRET=" + s3.SecretKey, "VARVE_TEST_WRONG=" + wrong}
	deliveries := landingOf(t, l, s3)
	deliveries.deliver(reference.Deliveries(t, l)[:4]...)
	landing := deliveries.uri

	w := l.StartWorker("--metrics", "127.0.0.1:0", "--log-level", "debug")
	said := told{t: t, l: l}
	said.well("run", "flights", "-p", "landing="+landing)
	said.well("plan", "flights", "-p", "landing="+landing, "--explain")
	said.well("plan", "flights", "-p", "landing="+landing, "--json")
	said.well("table", "show", "silver.flights", "--json")
	said.well("table", "snapshots", "silver.flights", "--json")
	said.well("status")
	l.Write("pipelines/broken.yaml", fmt.Appendf(nil, "pipeline: broken\ntables:\n  bronze.broken:\n    source: {files: %q, format: parquet}\n    write: append\n", landing+"/*.csv.gz"))
	said.badly("run", "broken", "--id", "broken")
	said.inlined(inlined)
	stranger := l.Ended("worker", "--env", "stranger", "--address", w.Address(), "--log-level", "debug")
	require.NotZero(t, stranger.Code)
	require.Contains(t, stranger.Stderr, "not Bearer [the credential]")
	said.WriteString(stranger.Stdout + stranger.Stderr)
	said.badly("status", "broken", "--env", "nowhere")
	said.badly("table", "head", "silver.flights", "--env", "stranger")
	said.badly("table", "head", "silver.flights", "--env", "thief")
	said.badly("query", "SELECT * FROM silver.flights", "--env", "thief")
	metrics := metricsOf(t, w)
	require.Contains(t, metrics, "varve_commit_attempts_total")
	revoked.Store(true) // so that a run under way is turned away, and its history says why
	said.badly("run", "flights", "--id", "revoked", "-p", "landing="+landing)
	require.NotEmpty(t, holding(t, l.Path(".varve"), "not Bearer [the credential]"))
	w.Terminate()

	require.True(t, strings.Contains(said.String(), "not Bearer [the credential]"), "the catalog's refusal has come through")
	require.True(t, strings.Contains(said.String(), "SignatureDoesNotMatch"), "and the store's")
	require.Positive(t, bodies.staged, "staged files have been looked at on their way")
	require.Empty(t, bodies.found)
	require.NotEmpty(t, holding(t, l.Path(".varve"), landing), "what a history says can be found there")
	for _, secret := range secrets {
		for name, text := range map[string]string{"commands": said.String(), "logs": w.Log(), "metrics": metrics} {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s tell %s: %s", name, secret, text[max(at-500, 0):at+len(secret)])
			}
		}
		for _, kept := range []string{l.Path(".varve"), filepath.Join(s3.Folder, "buckets")} { // histories, logs; tables with their properties
			require.Empty(t, holding(t, kept, secret))
		}
	}
}

// told is all that commands said.
type told struct {
	strings.Builder
	t *testing.T
	l *lab.Lab
}

func (s *told) well(args ...string) {
	s.t.Helper()
	out := s.l.Trigger(args...)
	require.Zero(s.t, out.Code, "%v: %s%s", args, out.Stdout, out.Stderr)
	s.WriteString(out.Stdout + out.Stderr)
}

func (s *told) badly(args ...string) {
	s.t.Helper()
	out := s.l.Trigger(args...)
	require.NotZero(s.t, out.Code, "%v: %s%s", args, out.Stdout, out.Stderr)
	s.WriteString(out.Stdout + out.Stderr)
}

// inlined has pipelines hold a secret, and be given one, in the places of a file's and a table's address. They are refused, also by
// the worker, before anything is made of them.
func (s *told) inlined(secret string) {
	s.t.Helper()
	for name, source := range map[string]string{
		"inlined-uri":      fmt.Sprintf("source: {files: \"s3://id:%s@lake/*.csv\", format: csv}", secret),
		"inlined-variable": "sql: SELECT '${env:VARVE_TEST_WRONG}' AS secret", // which varve.yaml names, and nothing else tells
		"inlined-default":  "source: {files: \"${landing}/*.csv\", format: csv}",
		"inlined-property": fmt.Sprintf("from: bronze.flights\n    properties: {s3.secret-access-key: %s}", secret),
	} {
		s.l.Write("pipelines/"+name+".yaml", fmt.Appendf(nil,
			"pipeline: %s\nparameters: {landing: {type: string, default: \"s3://id:%s@lake\"}}\ntables:\n  bronze.inlined:\n    %s\n", name, secret, source))
		s.badly("validate", "pipelines/"+name+".yaml")
		s.badly("plan", name)
		s.badly("run", name, "--id", name)
		require.NoError(s.t, os.Remove(s.l.Path("pipelines", name+".yaml")))
	}
	s.badly("run", "flights", "-p", "landing=s3://id:"+secret+"@lake")
}

// witness looks for secrets in the bodies of requests.
type witness struct {
	secrets []string
	mu      sync.Mutex
	staged  int // files written below _staging
	found   []string
}

func (x *witness) look(w http.ResponseWriter, r *http.Request) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	x.mu.Lock()
	defer x.mu.Unlock()
	if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/_staging/") {
		x.staged++
	}
	for _, secret := range x.secrets {
		if bytes.Contains(body, []byte(secret)) || strings.Contains(r.URL.String(), secret) {
			x.found = append(x.found, fmt.Sprintf("%s %s holds %s", r.Method, r.URL, secret))
		}
	}
	return true
}

// door stands before a server and lets through what may pass. It returns its own address, with the server's path.
func door(t *testing.T, server string, may func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	to, err := url.Parse(server)
	require.NoError(t, err)
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host // which the signature covers
	}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if may(w, r) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + to.Path
}

func metricsOf(t *testing.T, w *lab.Worker) string {
	t.Helper()
	url := regexp.MustCompile(`url=(http://\S+/metrics)`).FindStringSubmatch(w.Log())
	require.NotNil(t, url, w.Log())
	response, err := http.Get(url[1])
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(body)
}
