package conformance

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables/store"
	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/reference"
	"github.com/varve-lake/varve/testsuite/servers"
)

// TestLakeOnNessieAndS3 runs the example pipeline, as it is, where catalog, tables and deliveries are all elsewhere, in
// portions.
func TestLakeOnNessieAndS3(t *testing.T) {
	s3 := servers.VersityGW(t)
	nessie := servers.Nessie(t, s3)
	l := lab.New(t, lab.Build(t))
	elsewhere(l, fmt.Sprintf("{type: rest, uri: %q, warehouse: %s}", nessie.URI, nessie.Warehouse), s3)
	landing := landingOf(t, l, s3)
	all := laterDeliveries(t, l)
	for _, portion := range [][]string{all[:12], all[12 : len(all)-1], all[len(all)-1:]} {
		landing.deliver(portion...)
		out := l.Trigger("run", "flights", "-p", "landing="+landing.uri)
		require.Zero(t, out.Code, "%s%s", out.Stdout, out.Stderr)
		reference.Check(t, l, "landing")
	}
	for _, table := range l.Run("flights", "-p", "landing="+landing.uri).Tables {
		if table.State != wire.StateUnchanged {
			t.Errorf("nothing is new, but %s: %s: %s", table.Table, table.State, table.Reason)
		}
	}

	back := l.Trigger("table", "rollback", "silver.flights", "--to", "1234567890", "--yes")
	require.NotZero(t, back.Code)
	require.Contains(t, back.Stderr, "Nessie shows the current snapshot alone")
	require.Empty(t, staged(t, filepath.Join(s3.Folder, "buckets")), "nothing is left staged")
}

// elsewhere has a lab's catalog and store be servers'.
func elsewhere(l *lab.Lab, catalog string, s3 servers.S3) {
	l.Write("varve.yaml", fmt.Appendf(nil, `
environments:
  prod:
    catalog: %s
    store: {s3: {region: %s, endpoint: %q, path_style: true, access_key: {env: VARVE_TEST_KEY}, secret_key: {env: VARVE_TEST_SECRET}}}
`, catalog, s3.Region, s3.Endpoint))
	l.Env = []string{"VARVE_ENVIRONMENT=prod", "VARVE_TEST_KEY=" + s3.AccessKey, "VARVE_TEST_SECRET=" + s3.SecretKey}
}

// landing is a folder of a bucket that deliveries come to.
type landing struct {
	t   *testing.T
	l   *lab.Lab
	fs  files
	uri string
}

func landingOf(t *testing.T, l *lab.Lab, s3 servers.S3) *landing {
	t.Helper()
	stores := store.NewStores(*s3Store(s3))
	t.Cleanup(func() { _ = stores.Close() })
	uri := "s3://" + s3.Bucket + "/landing"
	made, err := iceio.LoadFS(t.Context(), stores.Props(), uri)
	require.NoError(t, err)
	return &landing{t: t, l: l, fs: made.(files), uri: uri}
}

// deliver puts deliveries there, and, for DuckDB's view of them, into the lab's folder "landing".
func (d *landing) deliver(names ...string) {
	d.t.Helper()
	reference.Deliver(d.t, d.l, "landing", names...)
	for _, name := range names {
		content, err := os.ReadFile(d.l.Path("landing", name))
		require.NoError(d.t, err)
		require.NoError(d.t, d.fs.WriteFile(d.uri+"/"+name, content))
	}
}

// laterDeliveries are those from shortly before columns were added on.
func laterDeliveries(t *testing.T, l *lab.Lab) []string {
	all := reference.Deliveries(t, l)
	return all[slices.IndexFunc(all, func(name string) bool { return name >= reference.WiderFrom })-2:]
}

// holding lists the files that hold a text, also compressed.
func holding(t *testing.T, folder, text string) (out []string) {
	t.Helper()
	n := 0
	require.NoError(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if zip, unzipped := gzip.NewReader(bytes.NewReader(content)); unzipped == nil {
			plain, _ := io.ReadAll(zip) // as far as it goes
			content = append(content, plain...)
		}
		if n++; bytes.Contains(content, []byte(text)) {
			out = append(out, path)
		}
		return err
	}))
	require.NotZero(t, n, "nothing was looked at in %s", folder)
	return out
}

func staged(t *testing.T, folder string) (out []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "/_staging/") {
			out = append(out, path)
		}
		return err
	}))
	return out
}
