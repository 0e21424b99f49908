package expression

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/internal/names"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// member is `a.b`, `a[0]`, `a["key"]`, and `s.column` of a merge's side. What is not there is null.
func (c *compiler) member(n *ast.MemberNode) (node, error) {
	if id, ok := n.Node.(*ast.IdentifierNode); ok {
		if name, ok := n.Property.(*ast.StringNode); ok {
			if id.Value == "$env" {
				return c.bareColumn(n.Property, name.Value)
			}
			if c.isSide(id.Value) {
				return c.column(n, id.Value, name.Value)
			}
		}
	}
	v, err := c.lower(n.Node)
	if err != nil {
		return nil, err
	}
	switch t := v.dataType().(type) {
	case *arrow.StructType:
		return c.field(n, v, t)
	case *arrow.ListType:
		return c.element(n, v, t.Elem())
	case *arrow.MapType:
		return c.mapValue(n, v, t)
	case *arrow.NullType:
		return v, nil
	default:
		return nil, c.errorAt(n, memberHint(t, n.Property), "%s has no members", typeName(t))
	}
}

// isSide says whether a name stands for a side of a merge; a let hides it.
func (c *compiler) isSide(name string) bool {
	for _, s := range c.symbols {
		if s.name == name {
			return false
		}
	}
	return name != "" && c.scope[name] != nil
}

func memberHint(t arrow.DataType, property ast.Node) string {
	if name, ok := property.(*ast.StringNode); ok && kindOf(t).isTemporal() {
		return fmt.Sprintf("parts of a date are functions, as in year(%s)", name.Value)
	}
	if kindOf(t) == kindString {
		return "part of a text is text[0:3]"
	}
	return ""
}

func (c *compiler) field(n *ast.MemberNode, v node, t *arrow.StructType) (node, error) {
	name, ok := n.Property.(*ast.StringNode)
	if !ok {
		return nil, c.errorf(n.Property, "", "a struct's field is named by a text")
	}
	at, found := t.FieldIdx(name.Value)
	if !found {
		known := make([]string, t.NumFields())
		for i, f := range t.Fields() {
			known[i] = f.Name
		}
		hint := ""
		if nearest := names.Nearest(name.Value, known); nearest != "" {
			hint = fmt.Sprintf("did you mean %q?", nearest)
		}
		return nil, c.errorAt(n.Property, hint, "%s has no field %q", typeName(t), name.Value)
	}
	return call(t.Field(at).Type, fieldKernel(at), v), nil
}

// fieldKernel takes a struct's field; that of a null struct is null.
func fieldKernel(at int) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		field := args[0].arr.(*array.Struct).Field(at)
		outer := vector.Validity(args[0].arr)
		if outer == nil {
			field.Retain()
			return field, nil, nil
		}
		places := make([]int32, n)
		for i := range places {
			places[i] = int32(i)
			if !outer.IsValid(i) {
				places[i] = -1
			}
		}
		out, err := vector.Gather(ev.ctx, field, places)
		return out, nil, err
	}
}

// element is `list[i]`, from 0, and from the end below 0.
func (c *compiler) element(n *ast.MemberNode, v node, element arrow.DataType) (node, error) {
	index, err := c.integer(n.Property, "a list's index")
	if err != nil {
		return nil, err
	}
	return call(element, elementKernel, v, index), nil
}

// integer lowers an argument that must be a whole number, as a long.
func (c *compiler) integer(n ast.Node, what string) (node, error) {
	v, err := c.lower(n)
	if err != nil {
		return nil, err
	}
	if k := kindOf(v.dataType()); !k.isInteger() && k != kindNull {
		return nil, c.errorf(n, "", "%s must be a whole number, found %s", what, typeName(v.dataType()))
	}
	return c.cast(v, typeLong), nil
}

func elementKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	offsets, elements, _, err := ev.elements(args[0], n)
	if err != nil {
		return nil, nil, err
	}
	index, stride := vector.Values[int64](args[1].arr), args[1].stride()
	valid := ev.valid(args, n)
	places := make([]int32, n)
	for i := range places {
		places[i] = -1
		if !valid.IsValid(i) {
			continue
		}
		from, to, k := int64(offsets[i]), int64(offsets[i+1]), index[i*stride]
		if k < 0 {
			k += to - from
		}
		if k >= 0 && k < to-from {
			places[i] = int32(from + k)
		}
	}
	out, err := vector.Gather(ev.ctx, elements, places)
	return out, nil, err
}

// mapValue is `map[key]`.
func (c *compiler) mapValue(n *ast.MemberNode, v node, t *arrow.MapType) (node, error) {
	key, err := c.lower(n.Property)
	if err != nil {
		return nil, err
	}
	if key, err = c.adaptTo(n.Property, key, t.KeyType()); err != nil {
		return nil, err
	}
	if common := commonType(key.dataType(), t.KeyType()); common == nil || !arrow.TypeEqual(common, t.KeyType()) {
		return nil, c.errorf(n.Property, "", "the keys of %s are not %s", typeName(t), typeName(key.dataType()))
	}
	return call(t.ItemType(), mapValueKernel(t.KeyType()), v, c.cast(key, t.KeyType())), nil
}

// mapValueKernel takes the last value of a key, as Spark and DuckDB forbid and Arrow allows duplicates.
func mapValueKernel(keyType arrow.DataType) kernel {
	equal := compareKernel(opEq, keyType)
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		offsets, entries, rows, err := ev.entries(args[0], n)
		if err != nil {
			return nil, nil, err
		}
		subject := args[1]
		if !subject.single {
			taken, err := vector.Gather(ev.ctx, subject.arr, rows)
			if err != nil {
				return nil, nil, err
			}
			subject = vec{arr: ev.hold(taken)}
		}
		hits, _, err := equal(ev, []vec{{arr: entries.Field(0)}, subject}, entries.Len())
		if err != nil {
			return nil, nil, err
		}
		isTrue, _ := truths(vec{arr: ev.hold(hits)}, entries.Len())
		valid := ev.valid(args, n)
		places := make([]int32, n)
		for i := range places {
			places[i] = -1
			for j := offsets[i]; j < offsets[i+1] && valid.IsValid(i); j++ {
				if isTrue.Get(int(j)) {
					places[i] = j
				}
			}
		}
		out, err := vector.Gather(ev.ctx, entries.Field(1), places)
		return out, nil, err
	}
}

// maxElements bounds the elements of lists that an expression makes for a batch.
const maxElements = 1 << 24

// elements are the elements of a column of lists (or the keys of maps) end to end, with the n+1 bounds of the rows and
// each element's row.
func (ev *evaluation) elements(v vec, n int) (offsets []int32, elements arrow.Array, rows []int32, err error) {
	offsets, all, rows, err := ev.children(v, n)
	if s, ok := all.(*array.Struct); ok && kindOf(v.arr.DataType()) == kindMap {
		return offsets, s.Field(0), rows, nil
	}
	return offsets, all, rows, err
}

// entries are the keys and values of a column of maps.
func (ev *evaluation) entries(v vec, n int) (offsets []int32, entries *array.Struct, rows []int32, err error) {
	offsets, all, rows, err := ev.children(v, n)
	if err != nil {
		return nil, nil, nil, err
	}
	return offsets, all.(*array.Struct), rows, nil
}

func (ev *evaluation) children(v vec, n int) (offsets []int32, children arrow.Array, rows []int32, err error) {
	arr := v.arr
	if v.single && n != 1 { // a constant list, once for each row
		bounds := vector.ListOffsets(arr)
		if int64(n)*int64(bounds[1]-bounds[0]) > maxElements {
			return nil, nil, nil, fmt.Errorf("a list of %d elements for each of %d rows is too much", bounds[1]-bounds[0], n)
		}
		if arr, err = ev.full(v); err != nil {
			return nil, nil, nil, err
		}
	}
	in := vector.ListOffsets(arr)
	all := ev.hold(array.MakeFromData(arr.Data().Children()[0]))
	first, last := in[0], in[len(in)-1]
	children = ev.hold(array.NewSlice(all, int64(first), int64(last)))
	offsets, rows = make([]int32, len(in)), make([]int32, last-first)
	for i := range offsets {
		offsets[i] = in[i] - first
		if i == 0 {
			continue
		}
		for j := offsets[i-1]; j < offsets[i]; j++ {
			rows[j] = int32(i - 1)
		}
	}
	return offsets, children, rows, nil
}

// array is `[a, b]` as a value: a list of the elements' common type.
func (c *compiler) array(n *ast.ArrayNode) (node, error) {
	values, element, err := c.unified(n.Nodes, "the elements of a list")
	if err != nil {
		return nil, err
	}
	return call(columntype.List(element), listKernel(columntype.List(element)), values...), nil
}

// listKernel makes lists of its arguments, row by row.
func listKernel(t arrow.DataType) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		k := len(args)
		if k == 0 {
			empty := ev.nulls(t.(*arrow.ListType).Elem(), 0)
			return vector.MakeList(t, make([]int32, n+1), empty, nil), nil, nil
		}
		parts, starts, total := make([]arrow.Array, k), make([]int, k), 0
		for i, a := range args {
			parts[i], starts[i] = a.arr, total
			total += a.arr.Len()
		}
		all, err := array.Concatenate(parts, vector.Allocator)
		if err != nil {
			return nil, nil, err
		}
		ev.hold(all)
		places, offsets := make([]int32, n*k), make([]int32, n+1)
		for i := range n {
			for j, a := range args {
				places[i*k+j] = int32(starts[j] + i*a.stride())
			}
			offsets[i+1] = int32((i + 1) * k)
		}
		elements, err := vector.Gather(ev.ctx, all, places)
		if err != nil {
			return nil, nil, err
		}
		return vector.MakeList(t, offsets, ev.hold(elements), nil), nil, nil
	}
}

// structure is `{a: x, b: y}`: a struct.
func (c *compiler) structure(n *ast.MapNode) (node, error) {
	if len(n.Pairs) == 0 {
		return nil, c.errorf(n, "", "a struct needs a field")
	}
	fields, values, seen := make([]arrow.Field, len(n.Pairs)), make([]node, len(n.Pairs)), map[string]bool{}
	for i, p := range n.Pairs {
		pair, ok := p.(*ast.PairNode)
		if !ok {
			return nil, c.errorf(p, "", "a struct's field is written name: value")
		}
		name, ok := pair.Key.(*ast.StringNode)
		if !ok || seen[name.Value] {
			return nil, c.errorf(pair.Key, "", "a struct's fields have names, each its own")
		}
		seen[name.Value] = true
		v, err := c.lower(pair.Value)
		if err != nil {
			return nil, err
		}
		fields[i], values[i] = arrow.Field{Name: name.Value, Type: v.dataType(), Nullable: true}, v
	}
	t := arrow.StructOf(fields...)
	return call(t, structKernel(t), values...), nil
}

func structKernel(t arrow.DataType) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		children := make([]arrow.Array, len(args))
		for i, a := range args {
			children[i] = a.arr
			if a.single && n != 1 {
				arr, err := ev.full(a)
				if err != nil {
					return nil, nil, err
				}
				children[i] = arr
			}
		}
		return vector.MakeNested(t, n, nil, nil, children), nil, nil
	}
}
