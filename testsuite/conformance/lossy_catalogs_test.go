package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/store"
	"github.com/varve-lake/varve/testsuite/servers"
)

// lossySubject is a catalog, and the same behind something that does to its requests what is chosen for them.
type lossySubject struct {
	name     string
	config   catalog.Config
	kinds    []string
	peer     map[string]string // PyIceberg's properties
	headOnly bool
	atOnce   int // cells of its matrix; zero is as many as usual
	// first is the catalog behind a proxy that has a fault befall the first request of a kind.
	first func(t testing.TB, kind string, f servers.Fault) (cfg catalog.Config, met func() bool)
	// often is the same with faults by chance; stalls last for so long, or until whoever waits has left.
	often func(t testing.TB, choose func() servers.Fault, stall time.Duration) catalog.Config
	// store is where the tables' files lie; or dialed, behind connections on which faults befall what is sent.
	store  lossyStore
	dialed func(choose func() servers.Fault) *store.Config
}

// files is the store with faults by chance.
func (s lossySubject) files(t testing.TB, c *chance) *store.Config {
	if s.dialed != nil {
		return s.dialed(c.ofSending)
	}
	return s.store.behind(t, c.ofStore, 0)
}

// lossyStore is a store whose protocol is one of HTTP.
type lossyStore struct {
	endpoint string
	protocol servers.Protocol
	config   func(endpoint string) store.Config
}

func onS3(s3 servers.S3) lossyStore {
	return lossyStore{s3.Endpoint, servers.S3Protocol, func(endpoint string) store.Config {
		behind := s3
		behind.Endpoint = endpoint
		return *s3Store(behind)
	}}
}

func onGCS(t testing.TB, gcs servers.GCS) lossyStore {
	return lossyStore{servers.ResumableGCS(t, gcs), servers.GCSProtocol, func(endpoint string) store.Config {
		return store.Config{GCS: store.GCS{Endpoint: endpoint}}
	}}
}

// behind is the store behind a proxy that chooses about every request.
func (s lossyStore) behind(t testing.TB, choose func() servers.Fault, stall time.Duration) *store.Config {
	cfg := s.config(servers.NewFaultProxy(t, s.endpoint, servers.FaultOptions{
		Choose: func(*http.Request) servers.Fault { return choose() }, Refuse: s.protocol.Refuse, Stall: stall,
	}).URI)
	return &cfg
}

// overHTTP is a catalog whose protocol is one of HTTP.
func overHTTP(name string, cfg catalog.Config, protocol servers.Protocol, kinds ...string) lossySubject {
	s := lossySubject{name: name, config: cfg, kinds: kinds}
	behind := func(t testing.TB, o servers.FaultOptions) catalog.Config {
		out := cfg
		out.URI = servers.NewFaultProxy(t, cfg.URI, o).URI
		return out
	}
	s.first = func(t testing.TB, kind string, f servers.Fault) (catalog.Config, func() bool) {
		choose, met := protocol.First(kind, f)
		return behind(t, servers.FaultOptions{Choose: choose, Refuse: protocol.Refuse}), met
	}
	s.often = func(t testing.TB, choose func() servers.Fault, stall time.Duration) catalog.Config {
		return behind(t, servers.FaultOptions{Refuse: protocol.Refuse, Stall: stall, Choose: func(r *http.Request) servers.Fault {
			if protocol.Kind(r) == "" {
				return servers.NoFault
			}
			return choose()
		}})
	}
	return s
}

// kindsOfCatalogs are those of requests that every catalog over HTTP knows.
var kindsOfCatalogs = []string{
	"look for namespace", "create namespace", "list namespaces", "list tables", "load", "create", "commit",
}

func lossyREST(t testing.TB) lossySubject {
	s3 := servers.VersityGW(t)
	r := servers.IcebergREST(t, s3)
	s := overHTTP("Iceberg REST", restSubject(r, s3).Config, servers.RESTProtocol, append([]string{"open"}, kindsOfCatalogs...)...)
	s.peer, s.store = restSubject(r, s3).PyIceberg, onS3(s3)
	return s
}

func lossyNessie(t testing.TB) lossySubject {
	s3 := servers.VersityGW(t)
	r := servers.Nessie(t, s3)
	s := overHTTP("Nessie", restSubject(r, s3).Config, servers.RESTProtocol, append([]string{"open"}, kindsOfCatalogs...)...)
	s.peer, s.store, s.headOnly = restSubject(r, s3).PyIceberg, onS3(s3), true
	return s
}

func lossyGlue(t testing.TB) lossySubject {
	s3 := servers.VersityGW(t)
	glue := servers.NewGlue(t, servers.Moto(t))
	id, secret, _ := strings.Cut(glue.Key, ":")
	s := overHTTP("Glue", catalog.Config{
		Type: "glue", URI: glue.URI, Credential: glue.Key, Warehouse: "s3://" + s3.Bucket + "/glue",
		Props: map[string]string{"glue.region": "eu-west-1"}, Store: s3Store(s3),
	}, servers.GlueProtocol, kindsOfCatalogs...)
	s.store = onS3(s3)
	s.peer = peer(s3, map[string]string{
		"type": "glue", "glue.endpoint": glue.URI, "glue.region": "eu-west-1", "glue.access-key-id": id, "glue.secret-access-key": secret,
	})
	return s
}

func lossyPostgres(t testing.TB) lossySubject {
	s3 := servers.VersityGW(t)
	pg := servers.PostgreSQL(t)
	cfg := catalog.Config{
		Type: "sql", URI: pg.URI(), Credential: pg.Password, Warehouse: "s3://" + s3.Bucket + "/postgres", Store: s3Store(s3),
	}
	behind := func(t testing.TB, choose func(string) servers.Fault, stall time.Duration) catalog.Config {
		out := cfg
		out.URI = pg.At(servers.NewPostgresFaults(t, fmt.Sprintf("127.0.0.1:%d", pg.Port), choose, stall).Address)
		return out
	}
	return lossySubject{
		name: "PostgreSQL", config: cfg, kinds: kindsOfCatalogs,
		store: onS3(s3), atOnce: 3, // its serializable transactions stand in each other's way
		first: func(t testing.TB, kind string, f servers.Fault) (catalog.Config, func() bool) {
			var seen atomic.Bool
			return behind(t, func(k string) servers.Fault {
				if k == kind && seen.CompareAndSwap(false, true) {
					return f
				}
				return servers.NoFault
			}, 0), seen.Load
		},
		often: func(t testing.TB, choose func() servers.Fault, stall time.Duration) catalog.Config {
			return behind(t, func(string) servers.Fault { return choose() }, stall)
		},
		peer: peer(s3, map[string]string{
			"type": "sql", "warehouse": cfg.Warehouse,
			"uri": fmt.Sprintf("postgresql+psycopg2://%s:%s@127.0.0.1:%d/%s", pg.User, pg.Password, pg.Port, pg.Database),
		}),
	}
}

// catalogCell has one operation on a table of its own meet a fault: the opening of the lake, the listing of its tables, the
// loading of a table, its creation, that of its namespace, or an append.
func catalogCell(s lossySubject, clear *tables.Lake) cell {
	return func(t testing.TB, kind string, f servers.Fault, try int) (string, bool) {
		name := strings.ToLower(strings.ReplaceAll(fmt.Sprint(s.name, "_", kind, "_", f, "_", try), " ", "_"))
		ofNamespace := strings.HasSuffix(kind, " namespace")
		if ofNamespace {
			name += ".t"
		} else {
			name = "matrix." + name
		}
		def := tables.Definition{Name: name, Schema: columns, FormatVersion: 2}
		if !ofNamespace && kind != "create" {
			_, _, err := clear.Ensure(ctx, def)
			require.NoError(t, err)
		}
		cfg, met := s.first(t, kind, f)
		cfg.Patience = shortPatience
		operation := func() error {
			lake, err := tables.OpenLake(ctx, tables.Config{Catalog: cfg, TempDir: t.TempDir(), Parallelism: 1})
			if err != nil {
				return err
			}
			defer lake.Close()
			return catalogOperation(t, kind, lake, clear, def)
		}
		err := operation()
		outcome := outcomeOf(err)
		if err != nil {
			t.Logf("%s: %s: %s: %v", s.name, kind, f, err)
			require.NoError(t, operation(), "%s: %s: %s: the same again", s.name, kind, f)
		}
		tbl, err := clear.Table(ctx, name)
		require.NoError(t, err)
		if kind == "commit" {
			require.Equal(t, texts(row{"a", 1}), contents(t, tbl, tables.Version{}), "%s: %s", s.name, f)
			requireWhole(t, tbl)
		}
		return outcome, met()
	}
}

// catalogOperation is what sends a kind of request.
func catalogOperation(t testing.TB, kind string, lake, clear *tables.Lake, def tables.Definition) error {
	switch kind {
	case "commit":
		return appendOnce(t, lake, clear, def.Name)
	case "list namespaces", "list tables":
		names, err := lake.Tables(ctx)
		if err == nil && !slices.Contains(names, def.Name) {
			return fmt.Errorf("%s is not among %v", def.Name, names)
		}
		return err
	case "open", "load":
		_, err := lake.Table(ctx, def.Name)
		return err
	}
	_, _, err := lake.Ensure(ctx, def)
	return err
}

// appendOnce appends one row as one commit.
func appendOnce(t testing.TB, lake, clear *tables.Lake, name string) error {
	tbl, err := lake.Table(ctx, name)
	if err != nil {
		return err
	}
	staged := stage(t, tbl, row{"a", 1})
	r, err := tbl.Append(ctx, by("w", 1), staged)
	if err != nil && commit.Safe(err) {
		now, loadErr := clear.Table(ctx, name)
		require.NoError(t, loadErr)
		require.Empty(t, contents(t, now, tables.Version{}), "an error that says that nothing was committed: %v", err)
	}
	if err != nil && commit.Safe(err) || r.AlreadyCommitted && !r.Sent {
		err = errors.Join(err, tbl.Discard(ctx, staged))
	}
	return err
}

func testLossyCatalog(t *testing.T, s lossySubject) {
	clear := Subject{}.open(t, s.config)
	_, _, err := clear.Ensure(ctx, tables.Definition{Name: "matrix.first", Schema: columns})
	require.NoError(t, err)
	m := &matrix{name: s.name, kinds: s.kinds, atOnce: s.atOnce}
	m.run(t, servers.Faults, catalogCell(s, clear))
}

func TestLossyCatalogIcebergREST(t *testing.T) { t.Parallel(); testLossyCatalog(t, lossyREST(t)) }

func TestLossyCatalogNessie(t *testing.T) { t.Parallel(); testLossyCatalog(t, lossyNessie(t)) }

func TestLossyCatalogGlue(t *testing.T) { t.Parallel(); testLossyCatalog(t, lossyGlue(t)) }

func TestLossyCatalogPostgreSQL(t *testing.T) { t.Parallel(); testLossyCatalog(t, lossyPostgres(t)) }
