package conformance

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/varve-lake/varve/internal/objects"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/store"
	"github.com/varve-lake/varve/testsuite/servers"
)

func s3Store(s3 servers.S3) *store.Config {
	return &store.Config{S3: objects.S3{
		Region: s3.Region, Endpoint: s3.Endpoint, PathStyle: true, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey,
	}}
}

// peer adds how PyIceberg reaches the store.
func peer(s3 servers.S3, properties map[string]string) map[string]string {
	maps.Copy(properties, map[string]string{
		"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO", "s3.endpoint": s3.Endpoint, "s3.region": s3.Region,
		"s3.access-key-id": s3.AccessKey, "s3.secret-access-key": s3.SecretKey,
	})
	return properties
}

// wrongKey is the same store with a secret that is not the one.
func wrongKey(cfg catalog.Config) func(*testing.T) catalog.Config {
	return func(*testing.T) catalog.Config {
		wrong := *cfg.Store
		wrong.S3.SecretKey = "not-the-secret-of-s3"
		cfg.Store = &wrong
		return cfg
	}
}

// restCommit tells the requests of Iceberg's REST protocol that commit to a table.
func restCommit(r *http.Request) bool {
	_, table, found := strings.Cut(r.URL.Path, "/tables/")
	return r.Method == http.MethodPost && found && !strings.Contains(table, "/")
}

func restSubject(r servers.REST, s3 servers.S3) Subject {
	cfg := catalog.Config{Type: "rest", URI: r.URI, Warehouse: r.Warehouse, Store: s3Store(s3)}
	return Subject{
		Config: cfg,
		Lossy: func(t *testing.T) (catalog.Config, func(int)) {
			p := servers.NewProxy(t, r.URI, restCommit)
			cfg := cfg
			cfg.URI = p.URI
			return cfg, p.DropAnswers
		},
		Denied: func(t *testing.T) catalog.Config {
			// The servers of the tests ask for no token: the proxy refuses, as servers do that ask for one.
			p := servers.NewProxy(t, r.URI, func(r *http.Request) bool {
				return r.Header.Get("Authorization") != "Bearer the-right-token"
			})
			p.Refuse(1<<30, http.StatusUnauthorized)
			cfg := cfg
			cfg.URI, cfg.Credential = p.URI, "a-wrong-token"
			return cfg
		},
		DeniedStore: wrongKey(cfg),
		PyIceberg:   peer(s3, map[string]string{"type": "rest", "uri": r.URI, "warehouse": r.Warehouse}),
	}
}

func TestCatalogSQLite(t *testing.T) {
	dir := t.TempDir()
	Run(t, Subject{Config: catalog.Config{Type: "sql", URI: dir + "/catalog.db", Warehouse: dir + "/warehouse"}})
}

func TestCatalogIcebergREST(t *testing.T) {
	s3 := servers.VersityGW(t)
	Run(t, restSubject(servers.IcebergREST(t, s3), s3))
}

func TestCatalogNessie(t *testing.T) {
	s3 := servers.VersityGW(t)
	nessie := servers.Nessie(t, s3)
	s := restSubject(nessie, s3)
	s.HeadOnly = true
	Run(t, s)
	t.Run("a branch", func(t *testing.T) { testBranch(t, s) })
	t.Run("a branch that cannot be merged", func(t *testing.T) { testMergeConflict(t, s) })
	t.Run("history", func(t *testing.T) { testHistory(t, s) })
	t.Run("appends around a compaction", func(t *testing.T) { testAppendsAroundCompaction(t, s) })
	t.Run("a query that fails", func(t *testing.T) { testFailingQuery(t, s) })
}

func TestCatalogPostgreSQL(t *testing.T) {
	s3 := servers.VersityGW(t)
	pg := servers.PostgreSQL(t)
	cfg := catalog.Config{
		Type: "sql", URI: pg.URI(), Credential: pg.Password, Warehouse: "s3://" + s3.Bucket + "/postgres", Store: s3Store(s3),
	}
	Run(t, Subject{
		Config: cfg,
		Lossy: func(t *testing.T) (catalog.Config, func(int)) {
			p := servers.NewPostgresProxy(t, fmt.Sprintf("127.0.0.1:%d", pg.Port))
			cfg := cfg
			cfg.URI = pg.At(p.Address)
			return cfg, p.DropAnswers
		},
		Denied: func(*testing.T) catalog.Config {
			cfg := cfg
			cfg.Credential = "not-the-password"
			return cfg
		},
		DeniedStore: wrongKey(cfg),
		PyIceberg: peer(s3, map[string]string{
			"type": "sql", "warehouse": cfg.Warehouse,
			"uri": fmt.Sprintf("postgresql+psycopg2://%s:%s@127.0.0.1:%d/%s", pg.User, pg.Password, pg.Port, pg.Database),
		}),
	})
}

func TestCatalogGlue(t *testing.T) {
	s3 := servers.VersityGW(t)
	glue := servers.NewGlue(t, servers.Moto(t))
	cfg := catalog.Config{
		Type: "glue", URI: glue.URI, Credential: glue.Key, Warehouse: "s3://" + s3.Bucket + "/glue",
		Props: map[string]string{"glue.region": "eu-west-1"}, Store: s3Store(s3),
	}
	Run(t, Subject{
		Config: cfg,
		Lossy:  func(*testing.T) (catalog.Config, func(int)) { return cfg, glue.DropAnswers },
		Denied: func(*testing.T) catalog.Config {
			cfg := cfg
			cfg.Credential = "someone:not-the-secret-of-glue"
			return cfg
		},
		DeniedStore: wrongKey(cfg),
	})
}
