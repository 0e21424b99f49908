// Package contention lets sixteen processes write to one table at once, and holds what comes out against the commits
// carried out one after another.
//
// make test-contention runs it on every kind of catalog that it starts servers for, beside PyIceberg and Spark.
package contention

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/testsuite/servers"
)

// variable says how much is done: "short" or "long". Without it nothing is.
const variable = "VARVE_CONTENTION"

// long tells whether there is time.
func long(t *testing.T) bool {
	t.Helper()
	switch how := os.Getenv(variable); how {
	case "":
		t.Skipf("make test-contention installs the servers and the peers, and sets %s", variable)
	case "short":
		return false
	case "long":
		return true
	default:
		t.Fatalf("%s=%q: short or long", variable, how)
	}
	return false
}

// seed is VARVE_SEED; or 1, or another one each time if there is time.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(1)
	if long(t) {
		n = rand.Uint64() % 1_000_000
	}
	if text := os.Getenv("VARVE_SEED"); text != "" {
		var err error
		n, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "VARVE_SEED")
	}
	t.Logf("VARVE_SEED=%d", n)
	return n
}

// commits is how many each writer makes.
func commits(t *testing.T) int {
	if long(t) {
		return 12
	}
	return 4
}

func sqlite(t *testing.T) place {
	dir := t.TempDir()
	return place{Type: "sql", URI: filepath.Join(dir, "catalog.db"), Warehouse: filepath.Join(dir, "warehouse")}
}

func postgres(t *testing.T) place {
	pg := servers.PostgreSQL(t)
	return place{Type: "sql", URI: pg.URI(), Credential: pg.Password, Warehouse: filepath.Join(t.TempDir(), "warehouse")}
}

func rest(t *testing.T) place {
	return place{Type: "rest", URI: servers.IcebergRESTLocal(t, t.TempDir()).URI}
}

func TestSQLite(t *testing.T)     { on(t, sqlite, disjoint, overlappingBesideCompaction) }
func TestPostgreSQL(t *testing.T) { on(t, postgres, overlappingBesideCompaction) }
func TestREST(t *testing.T)       { on(t, rest, overlappingBesideCompaction) }

// The kinds of work.
const (
	disjoint                    = "disjoint partitions"
	disjointBesideCompaction    = "disjoint partitions beside compaction"
	overlapping                 = "overlapping keys"
	overlappingBesideCompaction = "overlapping keys beside compaction"
)

func workFor(kind string, seed uint64, commits int) (w work, compaction bool) {
	if kind == disjoint || kind == disjointBesideCompaction {
		return disjointWork(seed, commits), kind == disjointBesideCompaction
	}
	return overlappingWork(seed, commits), kind == overlappingBesideCompaction
}

// on lets the writers loose in one catalog, for every kind of work if there is time.
func on(t *testing.T, at func(*testing.T) place, kinds ...string) {
	if long(t) {
		kinds = []string{disjoint, disjointBesideCompaction, overlapping, overlappingBesideCompaction}
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			w, compaction := workFor(kind, seed(t), commits(t))
			p := at(t)
			r := run(t, p, w, compaction, strategyOf)
			f := figuresOf("varve", r.reports, r.wall)
			t.Log(tableOf(kind, f))
			r.check(t)
			if p.Type == "rest" {
				readByPyIceberg(t, p, r)
			}
			require.GreaterOrEqual(t, conflicts(r.reports), writers-1, "all first commits but one met another")
			if kind == disjoint {
				require.Zero(t, f.Redone, "of a commit nothing is done again for what happens in other partitions")
			}
			if compaction {
				f.compacted(r.compactor)
				t.Logf("%d compactions, which left %d groups of files to writers", f.Compactions, f.Yields)
				require.NotZero(t, r.history.compactions, "compaction got through too")
				require.Equal(t, f.Compactions, r.history.compactions)
			}
		})
	}
}

func (f *figures) compacted(all []done) {
	for _, d := range all {
		if !d.Nobody {
			f.Compactions++
		}
		f.Yields += d.Redone
	}
}

func conflicts(reports [][]done) (n int) {
	for _, report := range reports {
		for _, d := range report {
			n += d.Tries - 1
		}
	}
	return n
}
