package conformance

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/fault"
	"github.com/varve-lake/varve/tables/store"
	"github.com/varve-lake/varve/testsuite/servers"
)

func TestStoreLocal(t *testing.T) {
	RunStore(t, nil, "file://"+t.TempDir())
}

// TestStoreS3 also runs a whole lake on the store, with a catalog that is but a file.
func TestStoreS3(t *testing.T) {
	s3 := servers.VersityGW(t)
	cfg := s3Store(s3)
	stores := store.NewStores(*cfg)
	defer stores.Close()
	RunStore(t, stores, "s3://"+s3.Bucket+"/files")
	t.Run("sources", func(t *testing.T) { runSources(t, stores, "s3://"+s3.Bucket+"/landing") })
	t.Run("lake", func(t *testing.T) {
		lake := catalog.Config{Type: "sql", URI: t.TempDir() + "/catalog.db", Warehouse: "s3://" + s3.Bucket + "/lake", Store: cfg}
		Run(t, Subject{Config: lake, DeniedStore: wrongKey(lake)})
	})
}

// TestStoreS3Lossy loses answers, breaks them off and refuses, between the store and who writes and reads.
func TestStoreS3Lossy(t *testing.T) {
	s3 := servers.VersityGW(t)
	p := servers.NewProxy(t, s3.Endpoint, func(*http.Request) bool { return true })
	behind := s3
	behind.Endpoint = p.URI
	stores := store.NewStores(*s3Store(behind))
	defer stores.Close()
	folder := "s3://" + s3.Bucket + "/lossy"
	made, err := stores.FS(t.Context(), folder)
	require.NoError(t, err)
	fs := made.(files)
	for name, size := range map[string]int{"small": 100, "large": 20 << 20} {
		content := noise(size)
		for trouble, set := range map[string]func(){
			"lost answers":  func() { p.DropAnswers(2) },
			"503s":          func() { p.Refuse(2, http.StatusServiceUnavailable) },
			"500s":          func() { p.Refuse(2, http.StatusInternalServerError) },
			"broken bodies": func() { p.BreakBodies(2) },
		} {
			if name == "large" && trouble[0] == '5' {
				continue // as for the small one
			}
			began := time.Now()
			uri := folder + "/" + name + "/" + strings.ReplaceAll(trouble, " ", "-")
			set()
			require.NoError(t, fs.WriteFile(uri, content), "%s, %s", name, trouble)
			set()
			got, err := fs.ReadFile(uri)
			require.NoError(t, err, "%s, %s", name, trouble)
			require.True(t, bytes.Equal(content, got), "%s, %s", name, trouble)
			t.Logf("%s, %s: survived in %s", name, trouble, time.Since(began).Round(time.Millisecond))
		}
	}
	// The last request of an upload in parts takes effect, and its answer is lost: asked again, the store knows no such
	// upload.
	last := servers.NewProxy(t, s3.Endpoint, func(r *http.Request) bool {
		return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
	})
	behind.Endpoint = last.URI
	others := store.NewStores(*s3Store(behind))
	defer others.Close()
	last.DropAnswers(1)
	made, err = others.FS(t.Context(), folder)
	require.NoError(t, err)
	content := noise(17 << 20)
	require.NoError(t, made.(files).WriteFile(folder+"/completed", content))
	got, err := fs.ReadFile(folder + "/completed")
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
	require.EqualValues(t, 2, last.Passed())

	p.Refuse(1<<30, http.StatusServiceUnavailable)
	_, err = fs.ReadFile(folder + "/completed")
	require.ErrorIs(t, err, fault.ErrPassing, "in the end it is said, as what may go away")
}

func TestStoreGCS(t *testing.T) {
	gcs := servers.FakeGCS(t)
	cfg := &store.Config{GCS: store.GCS{Endpoint: gcs.Endpoint}}
	stores := store.NewStores(*cfg)
	defer stores.Close()
	RunStore(t, stores, "gs://"+gcs.Bucket+"/files")
	t.Run("sources", func(t *testing.T) { runSources(t, stores, "gs://"+gcs.Bucket+"/landing") })
	t.Run("lake", func(t *testing.T) {
		lake := catalog.Config{Type: "sql", URI: t.TempDir() + "/catalog.db", Warehouse: "gs://" + gcs.Bucket + "/lake", Store: cfg}
		Run(t, Subject{Config: lake, DeniedStore: func(t *testing.T) catalog.Config {
			// The server of the tests asks for no credentials: the proxy refuses, as Google does.
			p := servers.NewProxy(t, gcs.Endpoint, func(*http.Request) bool { return true })
			p.Refuse(1<<30, http.StatusForbidden)
			denied := lake
			denied.Store = &store.Config{GCS: store.GCS{Endpoint: p.URI}}
			return denied
		}})
	})
}

func TestStoreHDFS(t *testing.T) {
	node := servers.HDFS(t)
	cfg := &store.Config{HDFS: store.HDFS{NameNode: node, User: "lake"}}
	stores := store.NewStores(*cfg)
	defer stores.Close()
	RunStore(t, stores, "hdfs://"+node+"/files")
	t.Run("sources", func(t *testing.T) { runSources(t, stores, "hdfs://"+node+"/landing") })
	t.Run("lake", func(t *testing.T) {
		lake := catalog.Config{Type: "sql", URI: t.TempDir() + "/catalog.db", Warehouse: "hdfs://" + node + "/lake", Store: cfg}
		Run(t, Subject{Config: lake, DeniedStore: func(*testing.T) catalog.Config {
			denied := lake
			denied.Store = &store.Config{HDFS: store.HDFS{NameNode: node, User: "somebody-else"}}
			return denied
		}})
	})
}
