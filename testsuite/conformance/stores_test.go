package conformance

import (
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
