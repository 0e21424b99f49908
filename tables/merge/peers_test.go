package merge_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the catalog's database

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/internal/validity"
)

// duel is one merge that Spark carries out on a clone of the table that Varve carries it out on.
type duel struct {
	SQL  string `json:"sql"`
	Read string `json:"read"` // the table as Varve left it, which Spark reads

	seed             uint64
	clone            *world
	want             []string
	columns          []random.Column
	twice, ambiguous int
}

// TestPeers: Spark's MERGE comes to the same rows as Varve's on the same Iceberg table; and Spark, PyIceberg and DuckDB's
// iceberg extension read the rows of tables that Varve has merged into.
func TestPeers(t *testing.T) {
	if os.Getenv("VARVE_PEERS") == "" {
		t.Skip("make test-differential installs the peers and sets VARVE_PEERS")
	}
	p := &peers{t: t, root: filepath.Join("..", ".."), dir: t.TempDir(), db: openDuckDB(t)}
	p.install()
	p.cat = openCatalogIn(t, p.dir)
	var duels []*duel
	random.Seeds(t, 36, func(t *testing.T, run *random.Run) {
		run.Allowed = func(k *random.Kind) bool { return k.Spark != "" }
		duels = append(duels, p.prepare(t, run))
	})
	var others []*duel // of all types, for those that read more of them than Spark
	random.Seeds(t, 24, func(t *testing.T, run *random.Run) { others = append(others, p.corpus(t, run)) })
	t.Run("spark", func(t *testing.T) { p.spark(t, duels) })
	for _, peer := range []string{"pyiceberg", "duckdb"} {
		t.Run(peer, func(t *testing.T) { p.read(t, peer, slices.Concat(duels, others)) })
	}
}

type peers struct {
	t               *testing.T
	root, dir, home string
	db              *sql.DB
	cat             *catalog.Catalog
}

func (p *peers) install() {
	var stderr bytes.Buffer
	c := exec.Command(filepath.Join(p.root, "testsuite", "peers", "install"))
	c.Stderr = &stderr
	out, err := c.Output()
	require.NoError(p.t, err, stderr.String())
	p.home = strings.TrimSpace(string(out))
}

func (p *peers) python(t *testing.T, script string, args ...string) {
	t.Helper()
	c := exec.Command(filepath.Join(p.home, "venv", "bin", "python"), append([]string{filepath.Join(p.root, "testsuite", "peers", script)}, args...)...)
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s: %s", script, out)
}

func (p *peers) differ(t *testing.T, run *random.Run, name string) *differ {
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
func (p *peers) prepare(t *testing.T, run *random.Run) *duel {
	name := fmt.Sprint("duel", run.Seed)
	d := p.differ(t, run, name)
	m := d.randomMerge()
	source := newWorld(t, p.cat, name+"_source")
	source.create(m.source.Columns, nil, nil, nil, nil)
	if len(m.source.Rows) > 0 {
		source.append(m.source.Columns, m.source.Rows)
	}
	out := &duel{SQL: sparkSQL(m, d.target.Columns, "ns."+name+"_clone", "ns."+name+"_source"), Read: "ns." + name, seed: run.Seed, columns: d.target.Columns}
	p.clone(t, name)
	out.clone = newWorld(t, p.cat, name+"_clone")
	out.twice, out.ambiguous = d.carryOut(m)
	d.check()
	var err error
	out.want, err = d.target.Rows()
	require.NoError(t, err)
	d.Note("%s", out.SQL)
	return out
}

// corpus builds a table.
func (p *peers) corpus(t *testing.T, run *random.Run) *duel {
	name := fmt.Sprint("table", run.Seed)
	d := p.differ(t, run, name)
	for range 3 {
		d.merge()
	}
	d.check()
	want, err := d.target.Rows()
	require.NoError(t, err)
	return &duel{Read: "ns." + name, seed: run.Seed, columns: d.target.Columns, want: want}
}

// clone gives a table's metadata another name. From there on the two go their own ways: files are never written twice.
func (p *peers) clone(t *testing.T, name string) {
	db, err := sql.Open("sqlite", filepath.Join(p.dir, "catalog.db"))
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	_, err = db.Exec(`INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
		SELECT catalog_name, table_namespace, table_name || '_clone', metadata_location, NULL, iceberg_type FROM iceberg_tables WHERE table_name = ?`, name)
	require.NoError(t, err)
}

func (p *peers) warehouse() string { return "file://" + filepath.Join(p.dir, "warehouse") }

func (p *peers) spark(t *testing.T, duels []*duel) {
	out := t.TempDir()
	cases := filepath.Join(out, "cases.json")
	writeJSON(t, cases, duels)
	p.python(t, "merge_spark.py", filepath.Join(p.dir, "catalog.db"), p.warehouse(), cases, out, filepath.Join(p.home, "jars"))
	errors := readStrings(t, filepath.Join(out, "results.json"))
	strict, doubled := 0, 0
	for i, d := range duels {
		t.Run(fmt.Sprint("seed", d.seed), func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(out, d.Read, "*.parquet"))
			require.NoError(t, err)
			require.Equal(t, d.want, parquetRows(t, d.columns, files...), "the table that Varve merged into, as Spark reads it")
			violated := strings.Contains(errors[i], "MERGE_CARDINALITY_VIOLATION")
			switch {
			case d.ambiguous > 0:
				require.True(t, violated, "%d rows are changed twice: %s\n%s", d.ambiguous, errors[i], d.SQL)
			case violated && d.twice > 0:
				// Spark refuses a row that matches twice, also where no clause applies to it; Varve, as Delta Lake does,
				// one that is changed twice.
				strict++
			case errors[i] == "" && d.twice > 0 && !strings.Contains(d.SQL, "WHEN MATCHED"):
				// Without a WHEN MATCHED clause Spark does not look for rows that match twice, and copies them twice.
				doubled++
			default:
				require.Empty(t, errors[i], d.SQL)
				require.Equal(t, d.want, d.clone.rows(), "the table that Spark merged into\n%s", d.SQL)
			}
		})
	}
	t.Logf("%d merges; of rows that match twice Spark alone refused %d and doubled %d", len(duels), strict, doubled)
}

// read lets a peer read tables.
func (p *peers) read(t *testing.T, peer string, tables []*duel) {
	out := t.TempDir()
	var names []string
	for _, d := range tables {
		names = append(names, d.Read)
	}
	list := filepath.Join(out, "tables.json")
	writeJSON(t, list, names)
	p.python(t, "read_tables.py", peer, filepath.Join(p.dir, "catalog.db"), p.warehouse(), list, out)
	errors := readStrings(t, filepath.Join(out, "results.json"))
	for i, d := range tables {
		t.Run(d.Read, func(t *testing.T) {
			require.Empty(t, errors[i])
			found := parquetRows(t, d.columns, filepath.Join(out, d.Read+".parquet"))
			if want := d.want; peer == "duckdb" {
				// DuckDB takes a column chunk whose least and greatest values are equal for a constant, and -0.0, which is
				// how Parquet wants a least value of zero to be written, equals 0.0.
				require.Equal(t, unsigned(want), unsigned(found))
			} else {
				require.Equal(t, want, found)
			}
		})
	}
}

// unsigned are rows with -0.0 as 0.0.
func unsigned(rows []string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = negativeZero.ReplaceAllString(r, "${1}0${2}")
	}
	slices.Sort(out)
	return out
}

var negativeZero = regexp.MustCompile(`([\[ ])-0([\] ])`)

func writeJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o644))
}

func readStrings(t *testing.T, path string) (out []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &out))
	return out
}

// parquetRows are the rows of Parquet files as text, sorted, with the columns' own types.
func parquetRows(t *testing.T, columns []random.Column, paths ...string) []string {
	t.Helper()
	var out []string
	for _, path := range paths {
		f, err := file.OpenParquetFile(path, false)
		require.NoError(t, err)
		r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		require.NoError(t, err)
		tbl, err := r.ReadTable(context.Background())
		require.NoError(t, err)
		rows := make([]random.List, tbl.NumRows())
		for _, c := range columns {
			at := tbl.Schema().FieldIndices(c.Name)
			require.Len(t, at, 1, c.Name)
			row := 0
			for _, chunk := range tbl.Column(at[0]).Data().Chunks() {
				for i := range chunk.Len() {
					rows[row] = append(rows[row], random.Normal(random.ValueAt(chunk, i), c.Kind))
					row++
				}
			}
		}
		for _, row := range rows {
			out = append(out, random.Text(row))
		}
		tbl.Release()
		require.NoError(t, f.Close())
	}
	slices.Sort(out)
	return out
}
