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

// seed is VARVE_SEED, or another one each time.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64() % 1_000_000
	if text := os.Getenv("VARVE_SEED"); text != "" {
		var err error
		n, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "VARVE_SEED")
	}
	t.Logf("VARVE_SEED=%d", n)
	return n
}

// commits is how many each writer makes: VARVE_CONTENTION_COMMITS, or few.
func commits(t *testing.T) int {
	t.Helper()
	text := os.Getenv("VARVE_CONTENTION_COMMITS")
	if text == "" {
		return 4
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "VARVE_CONTENTION_COMMITS")
	return n
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

func TestSQLite(t *testing.T)     { everywhere(t, sqlite) }
func TestPostgreSQL(t *testing.T) { everywhere(t, postgres) }
func TestREST(t *testing.T)       { everywhere(t, rest) }

func everywhere(t *testing.T, at func(*testing.T) place) {
	for _, c := range []struct {
		name       string
		make       func(uint64, int) work
		compaction bool
	}{
		{"disjoint partitions", disjointWork, false},
		{"disjoint partitions beside compaction", disjointWork, true},
		{"overlapping keys", overlappingWork, false},
		{"overlapping keys beside compaction", overlappingWork, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := c.make(seed(t), commits(t))
			r := run(t, at(t), w, c.compaction, strategyOf)
			f := figuresOf("varve", r.reports, r.wall)
			t.Log(tableOf(c.name, f))
			r.check(t)
			require.GreaterOrEqual(t, conflicts(r.reports), writers-1, "all first commits but one met another")
			if c.name == "disjoint partitions" {
				require.Zero(t, f.Redone, "a commit to another partition has nothing done again")
			}
			if c.compaction {
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
