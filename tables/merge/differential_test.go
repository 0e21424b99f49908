//go:build differential

package merge_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/merge"
)

// The tag differential keeps it out of `make test`: DuckDB 1.5.5 itself crashes on some random merges (out of memory
// bounds in its MERGE), and keeps -0.0 where 0.0 is assigned. Run one seed at a time by VARVE_SEED=n.
//
// TestMergeIsDuckDBsMerge runs random merges on random tables, and the same in
// DuckDB. VARVE_SEED=n replays one seed, VARVE_SEEDS=n runs that many.
func TestMergeIsDuckDBsMerge(t *testing.T) {
	from, seeds := uint64(0), uint64(150)
	if s := os.Getenv("VARVE_SEEDS"); s != "" {
		seeds, _ = strconv.ParseUint(s, 10, 64)
	}
	if s := os.Getenv("VARVE_SEED"); s != "" {
		from, _ = strconv.ParseUint(s, 10, 64)
		seeds = 1
	}
	db := openDuckDB(t)
	for seed := from; seed < from+seeds; seed++ {
		ok := t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			d := &differ{t: t, r: rand.New(rand.NewPCG(seed, 4)), db: db, w: newWorld(t)}
			defer func() {
				if t.Failed() {
					t.Logf("replay with VARVE_SEED=%d\n%s", seed, strings.Join(d.log, "\n"))
				}
			}()
			d.run()
		})
		if !ok {
			break
		}
	}
}

// differ is one random history of a table, in both systems.
type differ struct {
	t        *testing.T
	r        *rand.Rand
	db       *sql.DB
	w        *world
	log      []string
	required string
	target   *relation
	version  int
	created  int
}

func (d *differ) note(format string, args ...any) {
	d.log = append(d.log, fmt.Sprintf(format, args...))
}

func (d *differ) kind(keysOnly bool) *kind {
	for {
		if k := &kinds[d.r.IntN(len(kinds))]; k.key || !keysOnly {
			return k
		}
	}
}

func (d *differ) run() {
	columns := []column{{"c0", d.kind(true)}}
	for i := range 1 + d.r.IntN(6) {
		columns = append(columns, column{fmt.Sprint("c", i+1), d.kind(i == 0)})
	}
	d.created = len(columns)
	d.target = &relation{db: d.db, name: "t", columns: columns}
	d.version = 2 + d.r.IntN(2)
	props := iceberg.Properties{table.PropertyFormatVersion: strconv.Itoa(d.version)}
	if d.r.IntN(2) == 0 {
		props[table.ParquetRowGroupLimitKey] = strconv.Itoa(1 + d.r.IntN(12))
	}
	if d.r.IntN(3) == 0 {
		props[table.WriteTargetFileSizeBytesKey] = "2000"
	}
	if d.r.IntN(3) == 0 {
		d.required = "c0"
	}
	var spec []partition
	for range d.r.IntN(3) {
		if p, ok := d.partition(spec); ok {
			spec = append(spec, p)
		}
	}
	d.note("table %v, required %q, partitioned by %v, %v", describe(columns), d.required, spec, props)
	var required []string
	if d.required != "" {
		required = []string{d.required}
	}
	d.w.create(columns, required, spec, props)
	require.NoError(d.t, d.target.create(nil))
	for range 1 + d.r.IntN(3) {
		d.append()
	}
	for range 1 + d.r.IntN(5) {
		switch d.r.IntN(8) {
		case 0:
			d.append()
		case 1:
			d.evolve()
		case 2:
			d.repartition()
		default:
			d.merge()
		}
		d.check()
	}
}

func describe(columns []column) string {
	var out []string
	for _, c := range columns {
		out = append(out, c.name+" "+c.kind.name)
	}
	return strings.Join(out, ", ")
}

// partition picks a partition field that the spec has not yet.
func (d *differ) partition(spec []partition) (partition, bool) {
	c := d.target.columns[d.r.IntN(len(d.target.columns))]
	taken := slices.ContainsFunc(spec, func(p partition) bool { return p.column == c.name })
	if len(c.kind.transforms) == 0 || taken {
		return partition{}, false
	}
	return partition{c.name, c.kind.transforms[d.r.IntN(len(c.kind.transforms))]}, true
}

func (d *differ) randomRows(columns []column, n int) [][]any {
	out := make([][]any, n)
	for i := range out {
		for _, c := range columns {
			v := c.kind.gen(d.r)
			if c.name != d.required {
				v = maybe(d.r, v)
			}
			out[i] = append(out[i], v)
		}
	}
	return out
}

func (d *differ) append() {
	rows := d.randomRows(d.target.columns, d.r.IntN(40))
	d.note("append %d rows", len(rows))
	if len(rows) == 0 {
		return
	}
	d.w.append(d.target.columns, rows)
	require.NoError(d.t, d.target.insert(rows))
}

// evolve changes the schema: a column more, less, renamed or promoted.
func (d *differ) evolve() {
	at := d.r.IntN(len(d.target.columns))
	c := &d.target.columns[at]
	var err error
	switch d.r.IntN(4) {
	case 0:
		added := column{fmt.Sprint("c", d.created), d.kind(false)}
		d.created++
		d.note("add column %s %s", added.name, added.kind.name)
		d.w.alter(func(tx *table.Transaction) error {
			t, err := table.ArrowTypeToIceberg(added.kind.t, false)
			if err != nil {
				t, err = nestedType(added.kind), nil
			}
			if err != nil {
				return err
			}
			return tx.UpdateSchema(true, false).AddColumn([]string{added.name}, t, "", false, nil).Commit()
		})
		err = d.target.exec("ALTER TABLE t ADD COLUMN " + added.name + " " + added.kind.sql)
		d.target.columns = append(d.target.columns, added)
	case 1:
		if at < 2 || d.partitions(c.name) {
			return
		}
		d.note("drop column %s", c.name)
		d.w.alter(func(tx *table.Transaction) error {
			return tx.UpdateSchema(true, false).DeleteColumn([]string{c.name}).Commit()
		})
		err = d.target.exec("ALTER TABLE t DROP COLUMN " + c.name)
		d.target.columns = slices.Delete(d.target.columns, at, at+1)
	case 2:
		if c.name == d.required {
			return
		}
		to := fmt.Sprint("c", d.created)
		d.created++
		d.note("rename column %s to %s", c.name, to)
		d.w.alter(func(tx *table.Transaction) error {
			return tx.UpdateSchema(true, false).RenameColumn([]string{c.name}, to).Commit()
		})
		err = d.target.exec("ALTER TABLE t RENAME COLUMN " + c.name + " TO " + to)
		c.name = to
	default:
		if c.kind.promoted == "" || d.partitions(c.name) {
			return
		}
		k := kindNamed(c.kind.promoted)
		d.note("promote column %s to %s", c.name, k.name)
		d.w.alter(func(tx *table.Transaction) error {
			t, err := table.ArrowTypeToIceberg(k.t, false)
			if err != nil {
				return err
			}
			return tx.UpdateSchema(true, false).UpdateColumn([]string{c.name}, table.ColumnUpdate{FieldType: iceberg.Optional[iceberg.Type]{Val: t, Valid: true}}).Commit()
		})
		err = d.target.exec("ALTER TABLE t ALTER COLUMN " + c.name + " TYPE " + k.sql)
		c.kind = k
	}
	require.NoError(d.t, err)
}

func nestedType(k *kind) iceberg.Type {
	switch k.name {
	case "list<int>":
		return &iceberg.ListType{ElementID: 1001, Element: iceberg.PrimitiveTypes.Int32}
	case "struct":
		return &iceberg.StructType{FieldList: []iceberg.NestedField{
			{ID: 1001, Name: "a", Type: iceberg.PrimitiveTypes.Int32}, {ID: 1002, Name: "b", Type: iceberg.PrimitiveTypes.String}}}
	}
	return &iceberg.MapType{KeyID: 1001, KeyType: iceberg.PrimitiveTypes.String, ValueID: 1002, ValueType: iceberg.PrimitiveTypes.Int64}
}

// partitions tells whether some partition spec, old or new, uses a column.
func (d *differ) partitions(name string) bool {
	tbl := d.w.load()
	f, _ := tbl.Schema().FindFieldByName(name)
	for _, spec := range tbl.Metadata().PartitionSpecs() {
		if len(spec.FieldsBySourceID(f.ID)) > 0 {
			return true
		}
	}
	return false
}

// repartition changes the partition spec.
func (d *differ) repartition() {
	spec := d.w.load().Spec()
	if spec.NumFields() > 0 && d.r.IntN(2) == 0 {
		f := spec.Field(d.r.IntN(spec.NumFields()))
		d.note("remove partition field %s", f.Name)
		d.w.alter(func(tx *table.Transaction) error { return tx.UpdateSpec(true).RemoveField(f.Name).Commit() })
		return
	}
	p, ok := d.partition(nil)
	if !ok || d.partitions(p.column) || p.transform == "void" {
		return
	}
	d.note("add partition field %v", p)
	transform, err := iceberg.ParseTransform(p.transform)
	require.NoError(d.t, err)
	d.created++
	d.w.alter(func(tx *table.Transaction) error {
		return tx.UpdateSpec(true).AddField(p.column, transform, fmt.Sprintf("q%d_%s", d.created, p.column)).Commit()
	})
}

// check compares the rows of both.
func (d *differ) check() {
	d.t.Helper()
	want, err := d.target.rows()
	require.NoError(d.t, err)
	require.Equal(d.t, want, d.w.rows())
}

// merge runs one random merge in both.
func (d *differ) merge() {
	m := d.randomMerge()
	d.note("%s, %d bytes: %s\n  source %s", m.opts.Strategy, m.opts.MemoryLimit, m.sql, describe(m.source.columns))
	for _, row := range m.source.rows {
		d.note("    %s", text(list(row)))
	}
	s := &relation{db: d.db, name: "s", columns: m.source.columns}
	require.NoError(d.t, s.create(m.source.rows))

	ambiguous := 0
	if m.ambiguous != "" {
		require.NoError(d.t, d.db.QueryRow(m.ambiguous).Scan(&ambiguous), m.ambiguous)
	}
	before := d.w.load().CurrentSnapshot()
	stats, out, err := d.w.merge(m.source, m.opts)
	if ambiguous > 0 {
		var cardinality *merge.CardinalityError
		require.ErrorAs(d.t, err, &cardinality, "%d rows are matched twice", ambiguous)
		d.note("  matched more than once: %v", err)
		return
	}
	require.NoError(d.t, err)
	counts := map[string]int64{}
	found, err := d.db.Query(m.sql + " RETURNING merge_action")
	require.NoError(d.t, err, m.sql)
	for found.Next() {
		var action string
		require.NoError(d.t, found.Scan(&action))
		counts[action]++
	}
	require.NoError(d.t, found.Err())
	d.note("  inserted %d, updated %d, deleted %d, identical %d", stats.Inserted, stats.Updated, stats.Deleted, stats.Identical)
	require.Equal(d.t, counts, nonZero(map[string]int64{"INSERT": stats.Inserted, "UPDATE": stats.Updated, "DELETE": stats.Deleted}))
	require.Equal(d.t, int64(len(m.source.rows)), stats.SourceRows)
	if stats.Inserted+stats.Updated+stats.Deleted == stats.Identical {
		require.False(d.t, out.Committed, "nothing changed: no snapshot")
		require.Equal(d.t, before, d.w.load().CurrentSnapshot())
	} else {
		require.True(d.t, out.Committed)
	}
}

func nonZero(m map[string]int64) map[string]int64 {
	for k, v := range m {
		if v == 0 {
			delete(m, k)
		}
	}
	return m
}
