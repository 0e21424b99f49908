package tables_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/internal/validity"
)

// TestScansFilterExactly scans what the model's random operations leave, over all types, evolved schemas and partitionings,
// deletes of each kind and files without statistics, with random filters: each scan gives the rows that evaluating the filter
// over the model gives, whatever was pruned.
func TestScansFilterExactly(t *testing.T) {
	ctx := context.Background()
	lake, err := tables.OpenLake(ctx, tables.Local(t.TempDir()))
	require.NoError(t, err)
	others, err := tables.OpenLake(ctx, lake.Config())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, errors.Join(others.Close(), lake.Close())) })
	through := &fateful{Catalog: lake.Catalog()}
	lake.CommitThrough(through)
	var pruned tables.ReadStats
	random.Seeds(t, 30, func(t *testing.T, run *random.Run) {
		m := &machine{
			Run: run, t: t, lake: lake, others: others, through: through, name: fmt.Sprint("ns.f", run.Seed),
			valid: validity.New(), past: map[int64]*moment{},
		}
		m.create()
		m.bloomAndStatistics()
		for range 3 + run.IntN(8) {
			m.step()
			for range 8 {
				m.filtered(&pruned)
			}
		}
	})
	if !t.Failed() && !testing.Short() { // else the test would not have tested much
		require.Positive(t, pruned.ManifestsPruned)
		require.Positive(t, pruned.FilesPrunedByPart)
		require.Positive(t, pruned.FilesPrunedByValue)
		require.Positive(t, pruned.FilesPruned)
		require.Positive(t, pruned.BloomNegatives)
		require.Positive(t, pruned.RowGroupsPruned)
		require.Positive(t, pruned.DeleteFiles)
	}
}

// bloomAndStatistics gives some columns Bloom filters, and takes some columns' statistics away.
func (m *machine) bloomAndStatistics() {
	for _, c := range m.now.model.columns {
		if c.Kind.Key && m.IntN(2) == 0 {
			m.def.Properties["write.parquet.bloom-filter-enabled.column."+c.Name] = "true"
		}
		switch m.IntN(5) {
		case 0:
			m.def.Properties["write.metadata.metrics.column."+c.Name] = "none"
		case 1:
			m.def.Properties["write.metadata.metrics.column."+c.Name] = "truncate(2)"
		}
	}
	m.ensure()
}

func (m *machine) filtered(total *tables.ReadStats) {
	model, version := m.now.model, tables.Version{}
	if len(m.past) > 0 && m.IntN(4) == 0 {
		ids := make([]int64, 0, len(m.past))
		for id := range m.past {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		id := ids[m.IntN(len(ids))]
		model, version = m.past[id].model, tables.Version{SnapshotID: &id}
	}
	p := m.predicate(model, 2)
	want := []int64{}
	for key, row := range model.rows {
		if p.eval(row) == yes {
			want = append(want, key)
		}
	}
	slices.Sort(want)
	rows, err := m.table().Scan(context.Background(), tables.ScanOptions{Version: version, Columns: []string{"k"}, Filter: p.expr})
	require.NoError(m.t, err, "%s at %s", p.expr, version)
	defer rows.Release()
	got := []int64{}
	for rows.Next() {
		got = append(got, rows.RecordBatch().Column(0).(*array.Int64).Int64Values()...)
	}
	require.NoError(m.t, rows.Err(), "%s at %s", p.expr, version)
	slices.Sort(got)
	require.Equal(m.t, want, got, "%s at %s", p.expr, version)
	s := rows.Stats()
	total.ManifestsPruned += s.ManifestsPruned
	total.FilesPrunedByPart += s.FilesPrunedByPart
	total.FilesPrunedByValue += s.FilesPrunedByValue
	total.FilesPruned += s.FilesPruned
	total.BloomNegatives += s.BloomNegatives
	total.RowGroupsPruned += s.RowGroupsPruned
	total.DeleteFiles += s.DeleteFiles
}

// truth is a value of SQL's logic; the least of two is their AND.
type truth int

const (
	no truth = iota
	maybe
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// rowPredicate is a filter, and what it is of a model's row.
type rowPredicate struct {
	expr iceberg.BooleanExpression
	eval func(row map[int]any) truth
}

func (m *machine) predicate(model *model, depth int) rowPredicate {
	if depth > 0 && m.IntN(3) > 0 {
		l, r := m.predicate(model, depth-1), m.predicate(model, depth-1)
		switch m.IntN(3) {
		case 0:
			return rowPredicate{iceberg.NewAnd(l.expr, r.expr), func(row map[int]any) truth { return min(l.eval(row), r.eval(row)) }}
		case 1:
			return rowPredicate{iceberg.NewOr(l.expr, r.expr), func(row map[int]any) truth { return max(l.eval(row), r.eval(row)) }}
		}
		return rowPredicate{iceberg.NewNot(l.expr), func(row map[int]any) truth { return yes - l.eval(row) }}
	}
	var able []modelColumn
	for _, c := range model.columns {
		if c.Kind.Key {
			able = append(able, c)
		}
	}
	c := able[m.IntN(len(able))]
	ref := iceberg.Reference(c.Name)
	constant := c.Kind.Gen(m.Rand)
	f, isFloat := constant.(float64)
	switch op := m.IntN(10); {
	case op == 0:
		return rowPredicate{iceberg.IsNull(ref), func(row map[int]any) truth { return truthOf(row[c.id] == nil) }}
	case op == 1:
		return rowPredicate{iceberg.NotNull(ref), func(row map[int]any) truth { return truthOf(row[c.id] != nil) }}
	case isFloat && (op < 4 || math.IsNaN(f)):
		return rowPredicate{iceberg.IsNaN(ref), known(c.id, func(v any) bool { return math.IsNaN(v.(float64)) })}
	case c.Kind.Name == "string" && op < 4:
		prefix := constant.(string)
		prefix = prefix[:min(len(prefix), 3)]
		if prefix = strings.ToValidUTF8(prefix, ""); op == 2 {
			return rowPredicate{iceberg.NotStartsWith(ref, prefix), known(c.id, func(v any) bool { return !strings.HasPrefix(v.(string), prefix) })}
		}
		return rowPredicate{iceberg.StartsWith(ref, prefix), known(c.id, func(v any) bool { return strings.HasPrefix(v.(string), prefix) })}
	case op < 6:
		return m.membership(c, constant)
	}
	op := []iceberg.Operation{iceberg.OpLT, iceberg.OpLTEQ, iceberg.OpGT, iceberg.OpGTEQ, iceberg.OpEQ, iceberg.OpEQ, iceberg.OpNEQ}[m.IntN(7)]
	return rowPredicate{iceberg.LiteralPredicate(op, ref, literal(c.Kind, constant)), func(row map[int]any) truth {
		x, isFloat := row[c.id].(float64)
		if row[c.id] == nil || isFloat && math.IsNaN(x) && op != iceberg.OpEQ && op != iceberg.OpNEQ {
			return maybe // a NaN is neither less than anything nor not
		}
		d := order(row[c.id], constant)
		return truthOf(map[iceberg.Operation]bool{iceberg.OpLT: d < 0, iceberg.OpLTEQ: d <= 0, iceberg.OpGT: d > 0, iceberg.OpGTEQ: d >= 0, iceberg.OpEQ: d == 0, iceberg.OpNEQ: d != 0}[op])
	}}
}

func (m *machine) membership(c modelColumn, constant any) rowPredicate {
	values := []any{constant}
	for range m.IntN(3) {
		values = append(values, c.Kind.Gen(m.Rand))
	}
	op, in := iceberg.OpIn, m.IntN(4) > 0
	if !in {
		op = iceberg.OpNotIn
	}
	literals := make([]iceberg.Literal, 0, len(values))
	for _, v := range values {
		if f, ok := v.(float64); !ok || !math.IsNaN(f) {
			literals = append(literals, literal(c.Kind, v))
		}
	}
	return rowPredicate{iceberg.SetPredicate(op, iceberg.Reference(c.Name), literals), known(c.id, func(v any) bool {
		return slices.ContainsFunc(values, func(x any) bool { return order(v, x) == 0 }) == in
	})}
}

// known is unknown for nulls.
func known(id int, test func(any) bool) func(map[int]any) truth {
	return func(row map[int]any) truth {
		if row[id] == nil {
			return maybe
		}
		return truthOf(test(row[id]))
	}
}

func order(a, b any) int {
	switch a := a.(type) {
	case bool:
		return cmp.Compare(truthOf(a), truthOf(b.(bool)))
	case int64:
		return cmp.Compare(a, b.(int64))
	case float64:
		if b := b.(float64); math.IsNaN(a) || math.IsNaN(b) {
			return -2 // not equal
		} else if a == b {
			return 0 // zeros, whatever their sign
		} else {
			return cmp.Compare(a, b)
		}
	case decimal128.Num:
		return a.Cmp(b.(decimal128.Num))
	case string:
		return strings.Compare(a, b.(string))
	case uuid.UUID:
		x := b.(uuid.UUID)
		return bytes.Compare(a[:], x[:])
	case []byte:
		return bytes.Compare(a, b.([]byte))
	}
	panic(fmt.Sprintf("no order of %T", a))
}

func literal(k *random.Kind, v any) iceberg.Literal {
	switch v := v.(type) {
	case float64:
		if k.Name == "float" {
			return iceberg.NewLiteral(float32(v))
		}
		return iceberg.NewLiteral(v)
	case []byte:
		if strings.HasPrefix(k.Name, "fixed") {
			return iceberg.FixedLiteral(v)
		}
		return iceberg.NewLiteral(v)
	}
	return random.Literals(k, v).Val
}
