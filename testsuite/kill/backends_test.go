package kill

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/store"
	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/servers"
)

// A backend is where the lakes of trials lie. Each trial has one of its own, and its own task queue.
type backend struct {
	name string
	// prepare writes the lab's varve.yaml.
	prepare func(t *testing.T, l *lab.Lab, trial string)
	// landing is what the trial's deliveries are read from, and deliver puts one there.
	landing func(trial string) string
	deliver func(t *testing.T, l *lab.Lab, trial, name string, content []byte)
	// files are the local paths of what lies under URIs.
	files func(t *testing.T, l *lab.Lab, uris []string) []string
	// commits counts the commits of each table in the catalog's own history; nil where the tables' metadata has it all.
	commits func(t *testing.T, trial string) map[string]int
}

const (
	landingFolder = "landing"

	localName  = "local"
	nessieName = "S3 + Nessie"
)

// onLocal is the default: an SQLite catalog and a folder. varve.yaml says no more than the task queue.
func onLocal() *backend {
	return &backend{
		name: localName,
		prepare: func(_ *testing.T, l *lab.Lab, trial string) {
			l.Write("varve.yaml", fmt.Appendf(nil, "environments:\n  local:\n    temporal: {task_queue: %s}\n", trial))
		},
		landing: func(string) string { return landingFolder },
		deliver: func(_ *testing.T, l *lab.Lab, _, name string, content []byte) {
			l.Write(landingFolder+"/"+name, content)
		},
		files: func(t *testing.T, l *lab.Lab, _ []string) []string {
			return walk(t, l.Path(".varve", "warehouse"))
		},
	}
}

// onNessie has the tables in S3, and each trial on a branch of Nessie's.
func onNessie(t *testing.T) *backend {
	s3 := servers.VersityGW(t)
	nessie := servers.Nessie(t, s3)
	stores := store.NewStores(store.Config{S3: store.S3{
		Region: s3.Region, Endpoint: s3.Endpoint, PathStyle: true, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey,
	}})
	t.Cleanup(func() { _ = stores.Close() })
	root := "s3://" + s3.Bucket
	landing := func(trial string) string { return root + "/" + trial + "/" + landingFolder }
	return &backend{
		name: nessieName,
		prepare: func(t *testing.T, l *lab.Lab, trial string) {
			nessie.Branch(t, trial, "main")
			l.Write("access", []byte(s3.AccessKey))
			l.Write("secret", []byte(s3.SecretKey))
			l.Write("varve.yaml", fmt.Appendf(nil, `
environments:
  local:
    temporal: {task_queue: %[1]s}
    catalog: {type: rest, uri: %[2]q, warehouse: %[3]s, branch: %[1]s, staging: %[4]s/%[1]s}
    store: {s3: {region: %[5]s, endpoint: %[6]q, path_style: true, access_key: {file: access}, secret_key: {file: secret}}}
`, trial, nessie.URI, nessie.Warehouse, root, s3.Region, s3.Endpoint))
		},
		landing: landing,
		deliver: func(t *testing.T, _ *lab.Lab, trial, name string, content []byte) {
			files, err := stores.FS(t.Context(), landing(trial))
			require.NoError(t, err)
			require.NoError(t, files.(iceio.WriteFileIO).WriteFile(landing(trial)+"/"+name, content))
		},
		files: func(t *testing.T, _ *lab.Lab, uris []string) []string {
			var out []string
			for _, uri := range uris {
				out = append(out, walk(t, filepath.Join(s3.Folder, "buckets", strings.TrimPrefix(uri, "s3://")))...)
			}
			return out
		},
		commits: func(t *testing.T, trial string) map[string]int { return nessie.Commits(t, trial) },
	}
}

// walk lists the files below a folder, which may not be there.
func walk(t *testing.T, folder string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // gone since its folder was read, or never there
		}
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	})
	require.NoError(t, err)
	return out
}

var (
	temporaryName = regexp.MustCompile(`/\.[^/]+\.tmp$`)
	manifestName  = regexp.MustCompile(`-m\d+\.avro$`)
)

// kindOf tells what a file is by its path.
func kindOf(path string) string {
	path, _, _ = strings.Cut(path, "?")
	switch {
	case strings.Contains(path, "/_staging/"):
		return "staged file"
	case strings.Contains(path, "/_varve/"):
		return "state file"
	case strings.HasSuffix(path, ".metadata.json"), strings.HasSuffix(path, ".metadata.json.gz"):
		return "table metadata"
	case strings.HasSuffix(path, ".avro") && strings.Contains(path, "/snap-"):
		return "manifest list"
	case manifestName.MatchString(path):
		return "manifest"
	case strings.HasSuffix(path, ".avro"):
		return "manifest"
	case strings.HasSuffix(path, ".parquet"):
		return "data or delete file"
	case strings.HasSuffix(path, ".csv"):
		return "delivery"
	case strings.Contains(path, "/"+landingFolder):
		return "landing folder"
	}
	return "folder"
}

// left says what lies in a lake.
type left struct{ Staged, Temporary, All int }

func (b *backend) left(t *testing.T, l *lab.Lab) (out left) {
	t.Helper()
	var locations []string
	b.open(t, l, func(lake *tables.Lake) {
		names, err := lake.Tables(t.Context())
		require.NoError(t, err)
		for _, name := range names {
			table, err := lake.Table(t.Context(), name)
			require.NoError(t, err)
			locations = append(locations, table.Location())
		}
		locations = append(locations, lake.Catalog().Warehouse()) // of what belongs to no one table
	})
	for _, path := range b.files(t, l, locations) {
		switch {
		case temporaryName.MatchString(path):
			out.Temporary++
		case strings.Contains(path, "/_staging/"):
			out.Staged++
		}
		out.All++
	}
	return out
}

// open opens a trial's lake in this process.
func (b *backend) open(t *testing.T, l *lab.Lab, use func(lake *tables.Lake)) {
	t.Helper()
	env, err := environment.Load(environment.Options{Root: l.Dir, Name: "local"})
	require.NoError(t, err)
	lake, err := env.OpenLake(t.Context())
	require.NoError(t, err)
	defer func() { _ = lake.Close() }()
	use(lake)
}

// seen is what a lake's tables hold, as far as it must be the same whether or not someone was killed.
type seen struct {
	history map[string][][]string // of each table, by snapshot, oldest first: the sorted rows
	commits map[string]int        // by the catalog's own history
}

// look reads every snapshot that the catalog shows, whole, and the catalog's history.
func (b *backend) look(t *testing.T, l *lab.Lab, trial string) seen {
	t.Helper()
	out := seen{history: map[string][][]string{}}
	b.open(t, l, func(lake *tables.Lake) {
		for name, columns := range tablesOfOrders {
			table, err := lake.Table(t.Context(), name)
			require.NoError(t, err)
			tokens := map[string]bool{}
			for _, s := range table.Snapshots() {
				token := s.Summary[commit.WriterKey] + " " + s.Summary[commit.TokenKey]
				require.False(t, tokens[token], "%s has two snapshots of the commit %s", name, token)
				tokens[token] = true
				out.history[name] = append(out.history[name], rowsOf(t, table, s.ID, columns))
			}
		}
	})
	if b.commits != nil {
		out.commits = b.commits(t, trial)
	}
	return out
}
