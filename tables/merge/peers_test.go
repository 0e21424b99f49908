package merge_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the catalog's database

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/internal/peers"
	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/internal/validity"
)

// duel is one merge that Spark carries out on a clone of the table that Varve carries it out on.
type duel struct {
	sql   string
	table peers.Table // as Varve left it

	seed             uint64
	clone            *world
	twice, ambiguous int
}

// TestPeers: Spark's MERGE comes to the same rows as Varve's on the same Iceberg table; and Spark, PyIceberg and DuckDB's
// iceberg extension read the rows of tables that Varve has merged into.
func TestPeers(t *testing.T) {
	p := &peersTest{Peers: peers.Install(t, filepath.Join("..", "..")), t: t, db: openDuckDB(t)}
	p.cat = openCatalogIn(t, p.Dir)
	var duels []*duel
	var all []peers.Table
	random.Seeds(t, 36, func(t *testing.T, run *random.Run) {
		run.Allowed = func(k *random.Kind) bool { return k.Spark != "" }
		d := p.prepare(t, run)
		duels, all = append(duels, d), append(all, d.table)
	})
	// Of all types, for those that read more of them than Spark
	random.Seeds(t, 24, func(t *testing.T, run *random.Run) { all = append(all, p.corpus(t, run)) })
	t.Run("spark", func(t *testing.T) { p.spark(t, duels) })
	for _, peer := range []string{"pyiceberg", "duckdb"} {
		t.Run(peer, func(t *testing.T) { p.Read(t, peer, all) })
	}
}

type peersTest struct {
	*peers.Peers
	t   *testing.T
	db  *sql.DB
	cat *catalog.Catalog
}

func (p *peersTest) differ(t *testing.T, run *random.Run, name string) *differ {
	d := &differ{Run: run, t: t, w: newWorld(t, p.cat, name), temporary: t.TempDir(), valid: validity.New()}
	d.target = &random.Relation{DB: p.db, Name: "t"}
	d.create()
	for range 1 + d.IntN(3) {
		d.append()
	}
	for range d.IntN(4) {
		d.step()
	}
	return d
}

// prepare builds a table and its clone, and merges into the table.
func (p *peersTest) prepare(t *testing.T, run *random.Run) *duel {
	name := fmt.Sprint("duel", run.Seed)
	d := p.differ(t, run, name)
	m := d.randomMerge()
	source := newWorld(t, p.cat, name+"_source")
	source.create(m.source.Columns, nil, nil, nil, nil)
	if len(m.source.Rows) > 0 {
		source.append(m.source.Columns, m.source.Rows)
	}
	out := &duel{
		sql: sparkSQL(m, d.target.Columns, "ns."+name+"_clone", "ns."+name+"_source"), seed: run.Seed,
		table: peers.Table{Name: "ns." + name, Columns: d.target.Columns},
	}
	p.clone(t, name)
	out.clone = newWorld(t, p.cat, name+"_clone")
	out.twice, out.ambiguous = d.carryOut(m)
	d.check()
	var err error
	out.table.Rows, err = d.target.Rows()
	require.NoError(t, err)
	d.Note("%s", out.sql)
	return out
}

// corpus builds a table.
func (p *peersTest) corpus(t *testing.T, run *random.Run) peers.Table {
	name := fmt.Sprint("table", run.Seed)
	d := p.differ(t, run, name)
	for range 3 {
		d.merge()
	}
	d.check()
	want, err := d.target.Rows()
	require.NoError(t, err)
	return peers.Table{Name: "ns." + name, Columns: d.target.Columns, Rows: want}
}

// clone gives a table's metadata another name. From there on the two go their own ways: files are never written twice.
func (p *peersTest) clone(t *testing.T, name string) {
	db, err := sql.Open("sqlite", filepath.Join(p.Dir, "catalog.db"))
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	_, err = db.Exec(`INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
		SELECT catalog_name, table_namespace, table_name || '_clone', metadata_location, NULL, iceberg_type FROM iceberg_tables WHERE table_name = ?`, name)
	require.NoError(t, err)
}

func (p *peersTest) spark(t *testing.T, duels []*duel) {
	var statements []peers.Statement
	for _, d := range duels {
		statements = append(statements, peers.Statement{SQL: d.sql, Read: d.table.Name})
	}
	out, errors := p.Spark(t, statements)
	strict, doubled := 0, 0
	for i, d := range duels {
		t.Run(fmt.Sprint("seed", d.seed), func(t *testing.T) {
			require.Equal(t, d.table.Rows, peers.SparkRows(t, out, d.table), "the table that Varve merged into, as Spark reads it")
			violated := strings.Contains(errors[i], "MERGE_CARDINALITY_VIOLATION")
			switch {
			case d.ambiguous > 0:
				require.True(t, violated, "%d rows are changed twice: %s\n%s", d.ambiguous, errors[i], d.sql)
			case violated && d.twice > 0:
				// Spark refuses a row that matches twice, also where no clause applies to it; Varve, as Delta Lake does,
				// one that is changed twice.
				strict++
			case errors[i] == "" && d.twice > 0 && !strings.Contains(d.sql, "WHEN MATCHED"):
				// Without a WHEN MATCHED clause Spark does not look for rows that match twice, and copies them twice.
				doubled++
			default:
				require.Empty(t, errors[i], d.sql)
				require.Equal(t, d.table.Rows, d.clone.rows(), "the table that Spark merged into\n%s", d.sql)
			}
		})
	}
	t.Logf("%d merges; of rows that match twice Spark alone refused %d and doubled %d", len(duels), strict, doubled)
}
