package merge_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/internal/validity"
	"github.com/varve-lake/varve/tables/merge"
)

// TestMergeIsDuckDBs runs random merges on random tables, and the same by joins in DuckDB.
func TestMergeIsDuckDBs(t *testing.T) {
	db, cat := openDuckDB(t), openCatalog(t)
	random.Seeds(t, 200, func(t *testing.T, run *random.Run) {
		d := &differ{Run: run, t: t, w: newWorld(t, cat, fmt.Sprint("t", run.Seed)), temporary: t.TempDir(), valid: validity.New()}
		d.target = &random.Relation{DB: db, Name: "t"}
		d.create()
		for range 1 + d.IntN(3) {
			d.append()
		}
		for range 1 + d.IntN(5) {
			d.step()
			d.check()
		}
	})
}

// differ is one random history of a table, in both systems.
type differ struct {
	*random.Run
	t         *testing.T
	w         *world
	temporary string
	valid     *validity.Checker
	required  string
	target    *random.Relation
	created   int // columns ever
}

// create makes an empty table of random columns, layout and properties.
func (d *differ) create() {
	columns := []random.Column{{Name: "c0", Kind: d.Kind(true)}}
	for i := range 1 + d.IntN(6) {
		columns = append(columns, random.Column{Name: fmt.Sprint("c", i+1), Kind: d.Kind(i == 0)})
	}
	d.created, d.target.Columns = len(columns), columns
	props := iceberg.Properties{table.PropertyFormatVersion: strconv.Itoa(2 + d.IntN(2))}
	if d.IntN(2) == 0 {
		props[table.ParquetRowGroupLimitKey] = strconv.Itoa(1 + d.IntN(12))
		props[table.ReadSplitTargetSizeKey] = "300" // files are planned in parts, as large ones are
	}
	if d.IntN(3) == 0 {
		props[table.WriteTargetFileSizeBytesKey] = "2000"
	}
	var required []string
	if d.IntN(3) == 0 {
		d.required, required = "c0", []string{"c0"}
	}
	var spec []partition
	for range d.IntN(3) {
		if p, ok := d.partition(spec); ok {
			spec = append(spec, p)
		}
	}
	var sort []string
	for _, c := range columns {
		if c.Kind.Key && d.IntN(8) == 0 {
			sort = append(sort, c.Name)
		}
	}
	d.Note("table %v, required %q, partitioned by %v, sorted by %v, %v", random.Describe(columns), d.required, spec, sort, props)
	d.w.create(columns, required, spec, sort, props)
	require.NoError(d.t, d.target.Create(nil))
}

// step is one change of the table: most of them are merges.
func (d *differ) step() {
	switch d.IntN(8) {
	case 0:
		d.append()
	case 1:
		d.evolve()
	case 2:
		d.repartition()
	default:
		d.merge()
	}
}

// partition picks a partition field that the spec has not yet.
func (d *differ) partition(spec []partition) (partition, bool) {
	c := d.target.Columns[d.IntN(len(d.target.Columns))]
	taken := slices.ContainsFunc(spec, func(p partition) bool { return p.column == c.Name })
	if len(c.Kind.Transforms) == 0 || taken {
		return partition{}, false
	}
	return partition{c.Name, c.Kind.Transforms[d.IntN(len(c.Kind.Transforms))]}, true
}

func (d *differ) rows(columns []random.Column, n int) [][]any {
	return random.Rows(d.Rand, columns, n, d.required)
}

func (d *differ) append() {
	rows := d.rows(d.target.Columns, d.IntN(40))
	d.Note("append %d rows", len(rows))
	if len(rows) == 0 {
		return
	}
	d.w.append(d.target.Columns, rows)
	require.NoError(d.t, d.target.Insert(rows))
}

// check compares the rows of both, and what the table's files say of them.
func (d *differ) check() {
	d.t.Helper()
	require.NoError(d.t, d.valid.Check(context.Background(), d.w.load()))
	want, err := d.target.Rows()
	require.NoError(d.t, err)
	require.Equal(d.t, want, d.w.rows())
}

// merge runs one random merge in both.
func (d *differ) merge() { d.carryOut(d.randomMerge()) }

// carryOut runs a merge in both. It says how many target rows two source rows match, and would change.
func (d *differ) carryOut(m *randomMerge) (twice, ambiguous int) {
	ref := &reference{target: d.target, source: &random.Relation{DB: d.target.DB, Name: "s", Columns: m.source.Columns}, opts: m.opts, on: m.on}
	d.Note("%s, %d bytes: %s\n  source %s", m.opts.Strategy, m.opts.MemoryLimit, ref.text(), random.Describe(m.source.Columns))
	for _, row := range m.source.Rows {
		d.Note("    %s", random.Text(random.List(row)))
	}
	require.NoError(d.t, ref.source.Create(m.source.Rows))
	twice, ambiguous = ref.prepare(d.t)
	before := d.w.load().CurrentSnapshot()
	stats, out, err := d.w.merge(m.source, m.opts)
	if ambiguous > 0 {
		var cardinality *merge.CardinalityError
		require.ErrorAs(d.t, err, &cardinality, "%d rows are changed twice", ambiguous)
		require.Equal(d.t, before, d.w.load().CurrentSnapshot())
		d.Note("  changed more than once: %v", err)
		return twice, ambiguous
	}
	require.NoError(d.t, err)
	want := ref.run(d.t)
	d.Note("  %+v, identical %d", want, stats.Identical)
	require.Equal(d.t, want, counts{stats.Inserted, stats.Updated, stats.Deleted, stats.Unchanged})
	require.Equal(d.t, int64(len(m.source.Rows)), stats.SourceRows)
	if stats.Inserted+stats.Updated+stats.Deleted == stats.Identical {
		require.False(d.t, out.Committed, "nothing changed: no snapshot")
		require.Equal(d.t, before, d.w.load().CurrentSnapshot())
	} else {
		require.True(d.t, out.Committed)
	}
	return twice, ambiguous
}
