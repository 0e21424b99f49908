package datafile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// filter is a row filter bound to a schema. Comparisons with null are unknown, as in SQL, and a row passes where the whole is
// true; comparisons with NaN are false, which is what statistics, that leave NaNs out, must assume.
type filter struct {
	columns []string // top-level columns that it reads
	root    *filterNode
}

// filterNode is AND, OR, a constant, or a comparison. There is no NOT: it is worked into the comparisons, which under
// three-valued logic means the same.
type filterNode struct {
	op          iceberg.Operation
	left, right *filterNode
	leaf        *comparison
}

// comparison compares one column with constants.
type comparison struct {
	op       iceberg.Operation
	column   string    // top-level
	path     fieldPath // within the top-level column; its first step is unused
	field    iceberg.NestedField
	arrow    arrow.DataType
	constant arrow.Array     // one value
	members  arrow.Array     // of a set
	set      map[string]bool // their keys
}

// bindFilter binds expr to a schema; nil where every row passes.
func bindFilter(schema *iceberg.Schema, expr iceberg.BooleanExpression) (*filter, error) {
	if expr == nil {
		return nil, nil
	}
	fail := func(err error) (*filter, error) { return nil, fmt.Errorf("filter %s: %w", expr, err) }
	plain, err := iceberg.RewriteNotExpr(expr)
	if err != nil {
		return fail(err)
	}
	bound, err := iceberg.BindExpr(schema, plain, true)
	if err != nil {
		return fail(err)
	}
	f := &filter{}
	f.root, err = iceberg.VisitExpr(bound, &filterBuilder{schema, f})
	if err != nil {
		return fail(err)
	}
	if f.root.op == iceberg.OpTrue {
		return nil, nil
	}
	return f, nil
}

// filterBuilder is the visitor that builds a filter; errors travel as panics, as VisitExpr expects.
type filterBuilder struct {
	schema *iceberg.Schema
	filter *filter
}

func (*filterBuilder) VisitTrue() *filterNode  { return &filterNode{op: iceberg.OpTrue} }
func (*filterBuilder) VisitFalse() *filterNode { return &filterNode{op: iceberg.OpFalse} }
func (*filterBuilder) VisitNot(*filterNode) *filterNode {
	panic(fmt.Errorf("%w: NOT was not rewritten", iceberg.ErrInvalidArgument))
}

func (*filterBuilder) VisitAnd(l, r *filterNode) *filterNode {
	return &filterNode{op: iceberg.OpAnd, left: l, right: r}
}

func (*filterBuilder) VisitOr(l, r *filterNode) *filterNode {
	return &filterNode{op: iceberg.OpOr, left: l, right: r}
}

func (*filterBuilder) VisitUnbound(p iceberg.UnboundPredicate) *filterNode {
	panic(fmt.Errorf("%w: %s is not bound", iceberg.ErrInvalidArgument, p))
}

func (b *filterBuilder) VisitBound(p iceberg.BoundPredicate) *filterNode {
	c, err := newComparison(b.schema, p)
	if err != nil {
		panic(err)
	}
	if !slices.Contains(b.filter.columns, c.column) {
		b.filter.columns = append(b.filter.columns, c.column)
	}
	return &filterNode{op: p.Op(), leaf: c}
}

func newComparison(schema *iceberg.Schema, p iceberg.BoundPredicate) (*comparison, error) {
	if _, plain := p.Term().(iceberg.BoundReference); !plain {
		return nil, fmt.Errorf("%w: %s is not a column", iceberg.ErrNotImplemented, p.Term())
	}
	path, field, ok := pathTo(schema, p.Ref().Field().ID)
	if !ok {
		return nil, fmt.Errorf("%w: %s lies in a list or map", iceberg.ErrNotImplemented, p.Ref().Field().Name)
	}
	t, err := table.TypeToArrowType(field.Type, false, false)
	if err != nil {
		return nil, err
	}
	c := &comparison{op: p.Op(), column: schema.Field(path[0]).Name, path: path, field: field, arrow: t}
	switch p := p.(type) {
	case iceberg.BoundLiteralPredicate:
		c.constant, err = constantArray(p.Literal(), field.Type, t, 1)
		return c, err
	case iceberg.BoundSetPredicate:
		return c, c.bindSet(p.Literals().Members())
	}
	return c, nil
}

func (c *comparison) bindSet(members []iceberg.Literal) error {
	var arrays []arrow.Array
	for _, m := range members {
		a, err := constantArray(m, c.field.Type, c.arrow, 1)
		if err != nil {
			return err
		}
		arrays = append(arrays, a)
	}
	all, err := array.Concatenate(arrays, allocator)
	if err != nil {
		return err
	}
	key := setKey(all)
	c.members, c.set = all, make(map[string]bool, all.Len())
	for i := range all.Len() {
		c.set[string(key(nil, i))] = true
	}
	return nil
}

// mask evaluates the filter over columns found by name, n rows long; nil where all rows pass.
func (f *filter) mask(columns map[string]arrow.Array, n int) []bool {
	truths := f.root.eval(columns, n)
	mask, all := make([]bool, n), true
	for i, t := range truths {
		mask[i] = t == isTrue
		all = all && mask[i]
	}
	if all {
		return nil
	}
	return mask
}

// truth is a value of three-valued logic. The values order as AND and OR want them: least and greatest.
type truth uint8

const (
	isFalse truth = iota
	isUnknown
	isTrue
)

func (n *filterNode) eval(columns map[string]arrow.Array, rows int) []truth {
	switch n.op {
	case iceberg.OpTrue, iceberg.OpFalse:
		out := make([]truth, rows)
		if n.op == iceberg.OpTrue {
			for i := range out {
				out[i] = isTrue
			}
		}
		return out
	case iceberg.OpAnd, iceberg.OpOr:
		l, r := n.left.eval(columns, rows), n.right.eval(columns, rows)
		for i := range l {
			if n.op == iceberg.OpAnd {
				l[i] = min(l[i], r[i])
			} else {
				l[i] = max(l[i], r[i])
			}
		}
		return l
	}
	return n.leaf.eval(columns[n.leaf.column], rows)
}

func (c *comparison) eval(column arrow.Array, rows int) []truth {
	values, null := c.resolve(column)
	out := make([]truth, rows)
	of := func(b bool) truth {
		if b {
			return isTrue
		}
		return isFalse
	}
	if c.op == iceberg.OpIsNull || c.op == iceberg.OpNotNull {
		for i := range out {
			out[i] = of(null(i) == (c.op == iceberg.OpIsNull))
		}
		return out
	}
	test := c.test(values)
	for i := range out {
		if null(i) {
			out[i] = isUnknown
		} else {
			out[i] = of(test(i))
		}
	}
	return out
}

// resolve leads from the top-level column to the values compared.
func (c *comparison) resolve(column arrow.Array) (arrow.Array, func(int) bool) {
	parents := []arrow.Array{}
	for _, i := range c.path[1:] {
		parents = append(parents, column)
		column = column.(*array.Struct).Field(i)
	}
	return column, func(row int) bool {
		for _, p := range parents {
			if p.IsNull(row) {
				return true
			}
		}
		return column.IsNull(row)
	}
}

// test is the comparison of single values that are not null.
func (c *comparison) test(values arrow.Array) func(int) bool {
	floats := float64At(values)
	isNaN := func(i int) bool { return floats != nil && floats(i) != floats(i) }
	switch c.op {
	case iceberg.OpIsNan:
		return isNaN
	case iceberg.OpNotNan:
		return func(i int) bool { return !isNaN(i) }
	case iceberg.OpStartsWith, iceberg.OpNotStartsWith:
		at, prefix := bytesAt(values), bytesAt(c.constant)(0)
		return func(i int) bool { return bytes.HasPrefix(at(i), prefix) == (c.op == iceberg.OpStartsWith) }
	case iceberg.OpIn, iceberg.OpNotIn:
		key, scratch := setKey(values), []byte(nil)
		return func(i int) bool {
			scratch = key(scratch[:0], i)
			return c.set[string(scratch)] == (c.op == iceberg.OpIn)
		}
	}
	order := compareWith(values, c.constant)
	return func(i int) bool {
		if isNaN(i) {
			return c.op == iceberg.OpNEQ
		}
		return holds(c.op, order(i, 0))
	}
}

// holds says whether an order of two values is what an operation asks for.
func holds(op iceberg.Operation, order int) bool {
	switch op {
	case iceberg.OpLT:
		return order < 0
	case iceberg.OpLTEQ:
		return order <= 0
	case iceberg.OpGT:
		return order > 0
	case iceberg.OpGTEQ:
		return order >= 0
	case iceberg.OpEQ:
		return order == 0
	}
	return order != 0
}

// compareWith orders a value of one array and a value of another of the same type. Zeros are equal whatever their sign.
func compareWith(a, b arrow.Array) func(i, j int) int {
	if x, y := int64At(a), int64At(b); x != nil {
		return func(i, j int) int { return cmp.Compare(x(i), y(j)) }
	}
	if x, y := float64At(a), float64At(b); x != nil {
		return func(i, j int) int { return cmp.Compare(x(i), y(j)) }
	}
	if x, y := bytesAt(a), bytesAt(b); x != nil {
		return func(i, j int) int { return bytes.Compare(x(i), y(j)) }
	}
	x, y := a.(*array.Decimal128), b.(*array.Decimal128)
	return func(i, j int) int { return x.Value(i).Cmp(y.Value(j)) }
}

// setKey appends bytes that are the same for equal values and for no others.
func setKey(a arrow.Array) func([]byte, int) []byte {
	if at := int64At(a); at != nil {
		return func(dst []byte, i int) []byte { return appendInt64Key(dst, at(i)) }
	}
	if at := float64At(a); at != nil {
		return func(dst []byte, i int) []byte {
			v := at(i) + 0 // -0+0 is 0
			if v != v {
				v = math.NaN()
			}
			return binary.BigEndian.AppendUint64(dst, floatBits(v))
		}
	}
	if at := bytesAt(a); at != nil {
		return func(dst []byte, i int) []byte { return append(dst, at(i)...) }
	}
	d := a.(*array.Decimal128)
	return func(dst []byte, i int) []byte {
		v := d.Value(i)
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, uint64(v.HighBits())), v.LowBits())
	}
}
