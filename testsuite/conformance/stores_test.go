package conformance

import (
	"net/http"
	"testing"

	"github.com/varve-lake/varve/tables/catalog"
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
