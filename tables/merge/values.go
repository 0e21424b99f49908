package merge

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// clauseOf is the clause of a verdict.
func (b *binding) clauseOf(v verdict) *clause {
	if v.clause >= 0 {
		return &b.matched[v.clause]
	}
	return &b.bySource[^v.clause]
}

func (c *clause) assignOf(column int) (assign, bool) {
	for _, a := range c.assign {
		if a.column == column {
			return a, true
		}
	}
	return assign{}, false
}

// part is the rows of a frame to which one clause applies.
type part struct {
	clause *clause
	frame  *frame
}

// parts splits a frame by clause. refs says where each row went.
func (b *binding) parts(f *frame, verdicts []verdict) (out []part, refs []rows.Ref, err error) {
	var order []int8
	index := map[int8][]int32{}
	for i, v := range verdicts {
		if index[v.clause] == nil {
			order = append(order, v.clause)
		}
		index[v.clause] = append(index[v.clause], int32(i))
	}
	if len(order) == 1 {
		return []part{{clause: b.clauseOf(verdicts[0]), frame: f}}, nil, nil
	}
	refs = make([]rows.Ref, len(verdicts))
	for p, c := range order {
		picked, err := f.pick(index[c])
		if err != nil {
			return nil, nil, err
		}
		out = append(out, part{clause: b.clauseOf(verdicts[index[c][0]]), frame: picked})
		for i, row := range index[c] {
			refs[row] = rows.At(p, i)
		}
	}
	return out, refs, nil
}

// updated computes target columns of rows to which update clauses apply. The
// frame has the source's and the target's columns that this takes.
func (b *binding) updated(ctx context.Context, f *frame, verdicts []verdict, columns []int) ([]arrow.Array, error) {
	parts, refs, err := b.parts(f, verdicts)
	if err != nil {
		return nil, err
	}
	if refs != nil {
		defer func() {
			for _, p := range parts {
				p.frame.release()
			}
		}()
	}
	out := make([]arrow.Array, len(columns))
	for i, c := range columns {
		chunks := make([]arrow.Array, len(parts))
		for p, part := range parts {
			if chunks[p], err = b.value(ctx, part.clause, c, part.frame); err != nil {
				rows.Release(chunks)
				rows.Release(out)
				return nil, err
			}
		}
		if refs == nil {
			out[i] = chunks[0]
			continue
		}
		out[i], err = rows.Gather(chunks, refs)
		rows.Release(chunks)
		if err != nil {
			rows.Release(out)
			return nil, fmt.Errorf("column %s: %w", b.target.Field(c).Name, err)
		}
	}
	return out, nil
}

// value computes one target column for rows to which a clause applies.
func (b *binding) value(ctx context.Context, c *clause, column int, f *frame) (arrow.Array, error) {
	field := b.target.Field(column)
	a, ok := c.assignOf(column)
	if !ok {
		old := f.column(targetScope + field.Name)
		old.Retain()
		return old, nil
	}
	var from arrow.Array
	switch {
	case a.from != "":
		from = f.column(sourceScope + a.from)
		from.Retain()
	case a.value != nil:
		var err error
		if from, err = f.eval(ctx, a.value); err != nil {
			return nil, &ValueError{Table: b.table, Column: field.Name, Err: err}
		}
	case a.preset != nil:
		return rows.Gather([]arrow.Array{a.preset}, make([]rows.Ref, f.n))
	default:
		return array.MakeArrayOfNull(memory.DefaultAllocator, field.Type, f.n), nil
	}
	defer from.Release()
	out, err := rows.Cast(ctx, from, field.Type)
	if err != nil {
		return nil, &ValueError{Table: b.table, Column: field.Name, Err: err}
	}
	if path := missing(field, out); path != "" {
		out.Release()
		return nil, &NullError{Table: b.table, Column: path}
	}
	return out, nil
}

// missing names a required field of a column that is null somewhere where what
// it lies in is not; "" if there is none.
func missing(field arrow.Field, a arrow.Array) string {
	if !field.Nullable && a.NullN() > 0 {
		return field.Name
	}
	var path string
	switch t := field.Type.(type) {
	case *arrow.StructType:
		for i, child := range t.Fields() {
			if path = missingIn(a, child, a.(*array.Struct).Field(i)); path != "" {
				break
			}
		}
	case *arrow.ListType:
		path = missing(t.ElemField(), used(a.(array.ListLike)))
	case *arrow.MapType:
		entries := used(a.(array.ListLike)).(*array.Struct)
		if path = missing(t.KeyField(), entries.Field(0)); path == "" {
			path = missing(t.ItemField(), entries.Field(1))
		}
	}
	if path != "" {
		return field.Name + "." + path
	}
	return ""
}

// missingIn is missing for a struct's field, which counts only where the struct is.
func missingIn(parent arrow.Array, field arrow.Field, a arrow.Array) string {
	if parent.NullN() == 0 {
		return missing(field, a)
	}
	var present []rows.Ref
	for i := range parent.Len() {
		if parent.IsValid(i) {
			present = append(present, rows.At(0, i))
		}
	}
	kept, err := rows.Gather([]arrow.Array{a}, present)
	if err != nil {
		return ""
	}
	defer kept.Release()
	return missing(field, kept)
}

// used is the elements that a list array's rows refer to.
func used(a array.ListLike) arrow.Array {
	if a.Len() == 0 {
		return array.NewSlice(a.ListValues(), 0, 0)
	}
	from, _ := a.ValueOffsets(0)
	_, to := a.ValueOffsets(a.Len() - 1)
	return array.NewSlice(a.ListValues(), from, to)
}

// needs lists the source's and the target's columns that computing some target
// columns takes, for any of the update clauses.
func (b *binding) needs(columns []int) (source, target []string) {
	s, t := columnSet{}, columnSet{}
	for _, clauses := range [][]clause{b.matched, b.bySource} {
		for i := range clauses {
			if clauses[i].action != Update {
				continue
			}
			for _, c := range columns {
				a, ok := clauses[i].assignOf(c)
				if !ok {
					t.name(b.target.Field(c).Name)
					continue
				}
				s.name(a.from)
				s.add(a.value, sourceScope)
				t.add(a.value, targetScope)
			}
		}
	}
	return s.of(b.source), t.of(b.target)
}

// changing lists the columns that some update clause may change, those first
// that are cheap to compare. A key that takes the value of the source column that
// it was matched by is not among them, if keys that match are equal bit for bit.
func (b *binding) changing() []int {
	var out []int
	for c := range b.target.NumFields() {
		for _, clauses := range [][]clause{b.matched, b.bySource} {
			for i := range clauses {
				if a, ok := clauses[i].assignOf(c); ok && !b.matchedBy(a) && !slices.Contains(out, c) {
					out = append(out, c)
				}
			}
		}
	}
	cost := func(c int) int {
		if slices.ContainsFunc(b.keys, func(k key) bool { return k.target == b.target.Field(c).Name }) {
			return math.MaxInt // mostly equal: it was matched by
		}
		switch t := b.target.Field(c).Type.(type) {
		case *arrow.TimestampType: // of all columns the likeliest to change
			return 0
		case arrow.FixedWidthDataType:
			return t.BitWidth()
		case *arrow.StringType, *arrow.BinaryType:
			return 1 << 10
		}
		return 1 << 20
	}
	slices.SortStableFunc(out, func(x, y int) int { return cost(x) - cost(y) })
	return out
}

// matchedBy tells whether an assignment gives a key column the value that the row
// was matched by.
func (b *binding) matchedBy(a assign) bool {
	for i, k := range b.keys {
		if a.from != "" && k.source == a.from && k.target == b.target.Field(a.column).Name && b.layout.Bitwise(i) {
			return true
		}
	}
	return false
}
