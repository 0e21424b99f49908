package conformance

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/store"
	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/servers"
)

const everywhere = `pipeline: stock
parameters: {landing: {type: string}}
tables:
  bronze.stock:
    source: {files: "${landing}/*.csv", format: csv}
    columns: {id: int, value: int}
    write: append
  silver.stock:
    from: bronze.stock
    write: {merge: {on: [id], when_matched: [{update: "*"}], when_not_matched: [{insert: "*"}]}}
  gold.stock:
    sql: SELECT count(*) AS rows, sum(value) AS value FROM silver.stock
    write: replace
`

// place is where a lake is, as varve.yaml says it.
type place struct {
	catalog, store string
	stranger       string        // lines of the environment of somebody with a wrong secret; none where no secret is asked for
	env            []string      // that the configuration names
	landing        string        // where deliveries come to
	files          *store.Config // how the test reaches it; nil is the lab's folder
	peer           map[string]string
	secrets        []string
	kept           string // a folder in which the store keeps its objects
}

// TestLakeEverywhere runs one pipeline's file, byte for byte, on every catalog and store, each as varve.yaml names it, and
// looks for each place's secrets in all that anybody could read.
func TestLakeEverywhere(t *testing.T) {
	bin := lab.Build(t)
	s3 := servers.VersityGW(t)
	for _, at := range []struct {
		name string // without a comma, which would end a path of HDFS's server
		make func(*testing.T, servers.S3) place
	}{
		{"SQLite and local", func(*testing.T, servers.S3) place { return place{landing: "landing"} }},
		{"PostgreSQL and S3", lakeOnPostgreSQL}, {"Glue and S3", lakeOnGlue}, {"REST and S3", lakeOnREST}, {"Nessie and S3", lakeOnNessie},
		{"SQLite and GCS", lakeOnGCS}, {"SQLite and HDFS", lakeOnHDFS},
	} {
		t.Run(at.name, func(t *testing.T) {
			p := at.make(t, s3)
			l := lab.Empty(t, bin)
			l.Env = append(p.env, "VARVE_ENVIRONMENT=prod")
			l.Write("pipelines/stock.yaml", []byte(everywhere))
			l.Write("varve.yaml", []byte(p.config()))
			runEverywhere(t, l, p)
		})
	}
}

func (p place) config() string {
	if p.catalog == "" {
		return "environments: {prod: {}}\n"
	}
	text := fmt.Sprintf("environments:\n  prod:\n    catalog: %s\n    store: %s\n", p.catalog, p.store)
	if p.stranger != "" {
		text += "  stranger:\n" + p.stranger
	}
	return text
}

// deliver puts a file where deliveries come to.
func (p place) deliver(t *testing.T, l *lab.Lab, file, content string) {
	t.Helper()
	if p.files == nil {
		l.Write(p.landing+"/"+file, []byte(content))
		return
	}
	stores := store.NewStores(*p.files)
	defer stores.Close()
	fs, err := stores.FS(t.Context(), p.landing)
	require.NoError(t, err)
	require.NoError(t, fs.(iceio.WriteFileIO).WriteFile(p.landing+"/"+file, []byte(content)))
}

// runEverywhere runs the pipeline three times: on its first files, on one with changes, and on nothing new.
func runEverywhere(t *testing.T, l *lab.Lab, p place) {
	w := l.StartWorker("--metrics", "127.0.0.1:0", "--log-level", "debug")
	said := told{t: t, l: l}
	p.deliver(t, l, "1.csv", "id,value\n1,1\n2,1\n")
	said.well("run", "stock", "-p", "landing="+p.landing)
	p.deliver(t, l, "2.csv", "id,value\n1,5\n9,2\n")
	said.well("run", "stock", "-p", "landing="+p.landing)
	require.Equal(t, "rows,value\n3,8\n", l.Must("query", "--format", "csv", "SELECT * FROM gold.stock"))
	said.well("run", "stock", "-p", "landing="+p.landing)
	require.Contains(t, said.String(), "3 unchanged")
	if p.peer != nil {
		properties, err := json.Marshal(p.peer)
		require.NoError(t, err)
		require.Equal(t, []string{"1=5", "2=1", "9=2"}, servers.PyIceberg(t, catalog.Name, string(properties), "silver.stock"))
	}
	if p.stranger != "" {
		said.well("table", "show", "silver.stock", "--json")
		said.well("plan", "stock", "-p", "landing="+p.landing, "--json")
		said.badly("table", "head", "silver.stock", "--env", "stranger")
	}
	tellsNone(t, l, w, p, said.String())
}

// tellsNone looks for a place's secrets in what commands said, in the worker's log and metrics, in the server's histories
// and in the objects of the store.
func tellsNone(t *testing.T, l *lab.Lab, w *lab.Worker, p place, said string) {
	metrics := metricsOf(t, w)
	require.Contains(t, metrics, "varve_commit_attempts_total")
	w.Terminate()
	if len(p.secrets) == 0 {
		return
	}
	require.NotEmpty(t, holding(t, l.Path(".varve"), p.landing), "what a history says can be found there")
	for _, secret := range p.secrets {
		for name, text := range map[string]string{"commands": said, "logs": w.Log(), "metrics": metrics} {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s tell %s: %s", name, secret, text[max(at-500, 0):at+len(secret)])
			}
		}
		require.Empty(t, holding(t, l.Path(".varve"), secret))
		if p.kept != "" {
			require.Empty(t, holding(t, p.kept, secret))
		}
	}
}

// lakeOnS3 is a place whose files are in a folder of a bucket.
func lakeOnS3(s3 servers.S3, folder string) place {
	return place{
		store: fmt.Sprintf("{s3: {region: %s, endpoint: %q, path_style: true, access_key: {env: VARVE_TEST_KEY}, secret_key: {env: VARVE_TEST_SECRET}}}",
			s3.Region, s3.Endpoint),
		env:     []string{"VARVE_TEST_KEY=" + s3.AccessKey, "VARVE_TEST_SECRET=" + s3.SecretKey, "VARVE_TEST_WRONG=" + plantedWrong},
		landing: "s3://" + s3.Bucket + "/landing-" + folder, files: s3Store(s3),
		secrets: []string{s3.SecretKey, plantedWrong}, kept: filepath.Join(s3.Folder, "buckets"),
	}
}

// strangerIn is the lines of an environment with another catalog and the same store.
func (p place) strangerIn(catalog string) string {
	return fmt.Sprintf("    catalog: %s\n    store: %s\n", catalog, p.store)
}
