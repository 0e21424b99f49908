package expression

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/transforms/internal/rowkey"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

func init() {
	define("Lists, maps and structs",
		fn(`sort(list, order)`, `A list in order, "asc" (if absent) or "desc"; nulls are last.`, `sort([2, nil, 1], "desc") == [2, 1, nil]`, sortFunction),
		fn(`sortBy(list, expression, order)`, "A list in the order of an expression over its elements.", `sortBy(["bb", "a"], len(#)) == ["a", "bb"]`, sortByFunction),
		fn("uniq(list)", "A list without repetitions; the first of equal elements stays.", `uniq([1, 2, 1]) == [1, 2]`, uniq),
		fn("median(list)", "The median of a list's numbers, a double; nulls are left out.", `median([3, 1, 2]) == 2`, median),
	)
}

// order reads a constant "asc" or "desc" off the end of the arguments.
func (c *compiler) order(f *funcCall, at int) (descending bool, err error) {
	if len(f.nodes) <= at {
		return false, nil
	}
	text, err := c.constTextArgument(f, at)
	if err != nil {
		return false, err
	}
	if text != "asc" && text != "desc" {
		return false, c.errorf(f.nodes[at], "", `an order is "asc" or "desc", found %q`, text)
	}
	f.nodes = f.nodes[:at]
	return text == "desc", nil
}

func sortFunction(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 1, 2); err != nil {
		return nil, err
	}
	descending, err := c.order(f, 1)
	if err != nil {
		return nil, err
	}
	f.nodes = append(f.nodes, itself())
	return c.sorted(f, descending)
}

func sortByFunction(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 2, 3); err != nil {
		return nil, err
	}
	descending, err := c.order(f, 2)
	if err != nil {
		return nil, err
	}
	return c.sorted(f, descending)
}

func (c *compiler) sorted(f *funcCall, descending bool) (node, error) {
	list, body, err := c.closure(f)
	if err != nil {
		return nil, err
	}
	if kindOf(body.dataType()).isNested() {
		return nil, c.errorf(f.nodes[0], "", "%s values have no order", typeName(body.dataType()))
	}
	return closureCall(&closureNode{typ: list.dataType(), list: list, body: body, finish: func(ev *evaluation, x closureInput) (arrow.Array, []Fault, error) {
		picked, err := vector.Gather(ev.ctx, x.elements, sortedPlaces(x, descending))
		if err != nil {
			return nil, nil, err
		}
		return vector.MakeList(list.dataType(), x.offsets, ev.hold(picked), x.valid), nil, nil
	}}), nil
}

// sortedPlaces is the elements' places, those of each row in the order of the body.
func sortedPlaces(x closureInput, descending bool) []int32 {
	present, compare := vector.Validity(x.body.arr), elementOrder(x.body.arr.DataType(), x.body.arr)
	at := make([]int32, x.elements.Len())
	for j := range at {
		at[j] = int32(j)
	}
	for i := range x.n {
		slices.SortStableFunc(at[x.offsets[i]:x.offsets[i+1]], func(a, b int32) int {
			pa, pb := present.IsValid(int(a)), present.IsValid(int(b))
			switch {
			case !pa || !pb:
				return int(bit(pb)) - int(bit(pa))
			case descending:
				return compare(int(b), int(a))
			}
			return compare(int(a), int(b))
		})
	}
	return at
}

func uniq(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, paramList)
	if err != nil || kindOf(args[0].dataType()) == kindNull {
		return nullConst(typeNull), err
	}
	return call(args[0].dataType(), uniqKernel, args...), nil
}

func uniqKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	offsets, elements, _, err := ev.elements(args[0], n)
	if err != nil {
		return nil, nil, err
	}
	var rows rowkey.Rows
	if err := rows.Encode([]arrow.Array{elements}, elements.Len()); err != nil {
		return nil, nil, err
	}
	valid, out, at := ev.valid(args, n), make([]int32, n+1), []int32(nil)
	seen := map[string]struct{}{}
	for i := range n {
		clear(seen)
		for j := offsets[i]; j < offsets[i+1] && valid.IsValid(i); j++ {
			key := rows.Bytes(int(j))
			if _, ok := seen[string(key)]; !ok {
				seen[string(key)] = struct{}{}
				at = append(at, j)
			}
		}
		out[i+1] = int32(len(at))
	}
	picked, err := vector.Gather(ev.ctx, elements, at)
	if err != nil {
		return nil, nil, err
	}
	return vector.MakeList(args[0].arr.DataType(), out, ev.hold(picked), valid), nil, nil
}

func median(c *compiler, f *funcCall) (node, error) {
	list, body, err := c.numbers(f)
	if err != nil {
		return nil, err
	}
	return closureCall(&closureNode{typ: typeDouble, list: list, body: c.cast(body, typeDouble), finish: func(_ *evaluation, x closureInput) (arrow.Array, []Fault, error) {
		in, present := vector.Values[float64](x.body.arr), vector.Validity(x.body.arr)
		out, valid := vector.Alloc[float64](x.n), vector.NewBits(x.n)
		var values []float64
		for i := range out {
			values = values[:0]
			for j := int(x.offsets[i]); j < int(x.offsets[i+1]) && x.valid.IsValid(i); j++ {
				if present.IsValid(j) {
					values = append(values, in[j])
				}
			}
			if k := len(values); k > 0 {
				slices.Sort(values)
				out[i] = (values[(k-1)/2] + values[k/2]) / 2
				valid.Set(i)
			}
		}
		return vector.FromValues(typeDouble, out, valid), nil, nil
	}}), nil
}
