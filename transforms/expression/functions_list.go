package expression

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

func init() {
	define("Lists, maps and structs",
		fn("len(x)", "The number of a text's characters, of bytes, or of a list's or map's elements.", `len("añb") == 3 and len([1, 2]) == 2`, lenFunction),
		fn("first(list)", "The first element.", `first([1, 2]) == 1`, elementAt(0)),
		fn("last(list)", "The last element.", `last([1, 2]) == 2`, elementAt(-1)),
		fn("take(list, n)", "The first n elements.", `take([1, 2, 3], 2) == [1, 2]`, takeFunction),
		fn("concat(list, ...)", "Lists one after the other.", `concat([1], [2, 3]) == [1, 2, 3]`, concatLists),
		fn("flatten(lists)", "The elements of a list's lists.", `flatten([[1], [2, 3]]) == [1, 2, 3]`, flatten),
		fn("reverse(x)", "A list or a text in reverse.", `reverse([1, 2]) == [2, 1] and reverse("ab") == "ba"`, reverse),
		fn("keys(map)", "The keys of a map.", `keys(nil) == nil`, mapSide(0)),
		fn("values(map)", "The values of a map.", `values(nil) == nil`, mapSide(1)),
		fn("range(from, to)", "The whole numbers from one to another, a list; `from..to` is the same.", `range(1, 3) == [1, 2, 3] and (1..3)[2] == 3`, rangeFunction),
		fn("any(list, predicate)", "Whether the predicate holds for some element. In a predicate, # is the element, #index its place and .name a field of it.",
			`any([1, 2], # > 1)`, quantifier(anyOf, func(isTrue, _ bool) bool { return isTrue })),
		fn("all(list, predicate)", "Whether the predicate holds for every element.", `all([1, 2], # > 0)`,
			quantifier(allOf, func(_, isFalse bool) bool { return isFalse })),
		fn("none(list, predicate)", "Whether the predicate holds for no element.", `none([1, 2], # > 2)`,
			quantifier(noneOf, func(isTrue, _ bool) bool { return isTrue })),
		fn("one(list, predicate)", "Whether the predicate holds for exactly one element.", `one([1, 2], # > 1)`, oneFunction),
		fn("filter(list, predicate)", "The elements for which the predicate holds.", `filter([1, 2, 3], # != 2) == [1, 3]`, filterFunction),
		fn("map(list, expression)", "The values of an expression over the elements.", `map([1, 2], # * 10) == [10, 20]`, mapFunction),
		fn("count(list, predicate)", "How many elements the predicate holds for, or, without one, how many are true.", `count([1, 2, 3], # > 1) == 2`, countFunction),
		fn("find(list, predicate)", "The first element for which the predicate holds, or null.", `find([1, 2, 3], # > 1) == 2`, finder(false, true)),
		fn("findIndex(list, predicate)", "The place of the first element for which the predicate holds, or null.", `findIndex([1, 2, 3], # > 1) == 1`, finder(false, false)),
		fn("findLast(list, predicate)", "The last element for which the predicate holds, or null.", `findLast([1, 2, 3], # > 1) == 3`, finder(true, true)),
		fn("findLastIndex(list, predicate)", "The place of the last element for which the predicate holds, or null.", `findLastIndex([1, 2, 3], # > 1) == 2`, finder(true, false)),
		fn("sum(list)", "The sum of a list's numbers, or of an expression over its elements; nulls are left out, and the sum of none is null.",
			`sum([1, 2]) == 3 and sum([1, 2], # * 2) == 6`, sumFunction),
		fn("mean(list)", "The mean of a list's numbers, a double; nulls are left out.", `mean([1, 2]) == 1.5`, meanFunction),
	)
}

func lenFunction(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, param{"text, bytes, a list or a map", func(k kind) bool {
		return k == kindString || k == kindBinary || k == kindList || k == kindMap
	}, nil})
	if err != nil {
		return nil, err
	}
	if kindOf(args[0].dataType()) == kindNull {
		return nullConst(typeInt), nil
	}
	run := func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		length := lengths(args[0].arr)
		return computeFixed(typeInt, n, ev.valid(args, n), func(i int) (int32, string) { return int32(length(i)), "" })
	}
	return call(typeInt, run, args...), nil
}

func lengths(arr arrow.Array) func(i int) int {
	switch kindOf(arr.DataType()) {
	case kindString:
		in := vector.TextsOf(arr)
		return func(i int) int { return runeCount(in.Bytes(i)) }
	case kindBinary:
		return vector.TextsOf(arr).Len
	}
	offsets := vector.ListOffsets(arr)
	return func(i int) int { return int(offsets[i+1] - offsets[i]) }
}

// runeCount counts the bytes that begin a character.
func runeCount(b []byte) int {
	n := 0
	for _, c := range b {
		if c&0xc0 != 0x80 {
			n++
		}
	}
	return n
}

func elementAt(index int64) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		args, err := c.arguments(f, 1, paramList)
		if err != nil || kindOf(args[0].dataType()) == kindNull {
			return nullConst(typeNull), err
		}
		return call(args[0].dataType().(*arrow.ListType).Elem(), elementKernel, args[0], fixedConst(typeLong, index)), nil
	}
}

func takeFunction(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 2, paramList, paramWhole)
	if err != nil || kindOf(args[0].dataType()) == kindNull {
		return nullConst(typeNull), err
	}
	positive := call(typeLong, mapFixed(typeLong, func(n int64) int64 { return max(n, 0) }), args[1])
	return call(args[0].dataType(), listSliceKernel, args[0], fixedConst(typeLong, int64(0)), positive), nil
}

func concatLists(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 1, -1); err != nil {
		return nil, err
	}
	lists, common, err := c.unified(f.nodes, "the arguments of concat")
	if err != nil {
		return nil, err
	}
	if kindOf(common) == kindNull {
		return nullConst(typeNull), nil
	}
	if kindOf(common) != kindList {
		return nil, c.errorf(f.nodes[0], "texts are joined by + or join_text", "concat needs lists, found %s", typeName(common))
	}
	return call(common, concatListsKernel, lists...), nil
}

// concatListsKernel picks, row by row, the elements of each list out of all lists' elements end to end.
func concatListsKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	bounds, parts, starts, total := make([][]int32, len(args)), make([]arrow.Array, len(args)), make([]int32, len(args)), 0
	for k, a := range args {
		offsets, elements, _, err := ev.elements(a, n)
		if err != nil {
			return nil, nil, err
		}
		bounds[k], parts[k], starts[k] = offsets, elements, int32(total)
		total += elements.Len()
	}
	all, err := array.Concatenate(parts, vector.Allocator)
	if err != nil {
		return nil, nil, err
	}
	ev.hold(all)
	valid, offsets := ev.valid(args, n), make([]int32, n+1)
	at := make([]int32, 0, total)
	for i := range n {
		for k := 0; k < len(args) && valid.IsValid(i); k++ {
			for j := bounds[k][i]; j < bounds[k][i+1]; j++ {
				at = append(at, starts[k]+j)
			}
		}
		offsets[i+1] = int32(len(at))
	}
	elements, err := vector.Gather(ev.ctx, all, at)
	if err != nil {
		return nil, nil, err
	}
	return vector.MakeList(args[0].arr.DataType(), offsets, ev.hold(elements), valid), nil, nil
}

func flatten(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, paramList)
	if err != nil || kindOf(args[0].dataType()) == kindNull {
		return nullConst(typeNull), err
	}
	inner, ok := args[0].dataType().(*arrow.ListType).Elem().(*arrow.ListType)
	if !ok {
		return nil, c.errorf(f.nodes[0], "", "flatten needs a list of lists, found %s", typeName(args[0].dataType()))
	}
	return call(inner, flattenKernel, args...), nil
}

// flattenKernel leaves null lists out.
func flattenKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	outer, lists, _, err := ev.elements(args[0], n)
	if err != nil {
		return nil, nil, err
	}
	inner, elements, _, err := ev.elements(vec{arr: lists}, lists.Len())
	if err != nil {
		return nil, nil, err
	}
	valid, present, offsets := ev.valid(args, n), vector.Validity(lists), make([]int32, n+1)
	var at []int32
	for i := range n {
		for k := outer[i]; k < outer[i+1] && valid.IsValid(i); k++ {
			for j := inner[k]; j < inner[k+1] && present.IsValid(int(k)); j++ {
				at = append(at, j)
			}
		}
		offsets[i+1] = int32(len(at))
	}
	picked, err := vector.Gather(ev.ctx, elements, at)
	if err != nil {
		return nil, nil, err
	}
	return vector.MakeList(lists.DataType(), offsets, ev.hold(picked), valid), nil, nil
}

func reverse(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, param{"a list or text", func(k kind) bool { return k == kindList || k == kindString }, nil})
	if err != nil {
		return nil, err
	}
	switch kindOf(args[0].dataType()) {
	case kindNull:
		return args[0], nil
	case kindString:
		return call(typeString, mapText(reverseText), args...), nil
	}
	return call(args[0].dataType(), reverseKernel, args...), nil
}

func reverseText(s string) string {
	runes := []rune(s)
	for i, j := 0, len(runes)-1; i < j; i, j = i+1, j-1 {
		runes[i], runes[j] = runes[j], runes[i]
	}
	return string(runes)
}

func reverseKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	offsets, elements, _, err := ev.elements(args[0], n)
	if err != nil {
		return nil, nil, err
	}
	at := make([]int32, elements.Len())
	for i := range n {
		for j := offsets[i]; j < offsets[i+1]; j++ {
			at[j] = offsets[i] + offsets[i+1] - 1 - j
		}
	}
	picked, err := vector.Gather(ev.ctx, elements, at)
	if err != nil {
		return nil, nil, err
	}
	return vector.MakeList(args[0].arr.DataType(), offsets, ev.hold(picked), ev.valid(args, n)), nil, nil
}

// mapSide is the keys or the values of a map.
func mapSide(side int) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		args, err := c.arguments(f, 1, param{"a map", func(k kind) bool { return k == kindMap }, nil})
		if err != nil || kindOf(args[0].dataType()) == kindNull {
			return nullConst(typeNull), err
		}
		m := args[0].dataType().(*arrow.MapType)
		t := columntype.List(m.KeyType())
		if side == 1 {
			t = columntype.List(m.ItemType())
		}
		run := func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
			offsets, entries, _, err := ev.entries(args[0], n)
			if err != nil {
				return nil, nil, err
			}
			return vector.MakeList(t, offsets, entries.Field(side), ev.valid(args, n)), nil, nil
		}
		return call(t, run, args...), nil
	}
}

// maxRange bounds the numbers that a range of one row stands for.
const maxRange = 1 << 20

func rangeFunction(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 2, paramWhole, paramWhole)
	if err != nil {
		return nil, err
	}
	t := columntype.List(typeLong)
	run := func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		from, fs := vector.Values[int64](args[0].arr), args[0].stride()
		to, ts := vector.Values[int64](args[1].arr), args[1].stride()
		log, offsets := faultLog{n: n, valid: ev.valid(args, n)}, make([]int32, n+1)
		var values []int64
		for i := range n {
			if log.valid.IsValid(i) {
				a, b := from[i*fs], to[i*ts]
				if b >= a && uint64(b)-uint64(a) >= maxRange || len(values) > maxElements {
					log.add(i, "a range is too long")
				} else {
					for v := a; v <= b && v >= a; v++ {
						values = append(values, v)
					}
				}
			}
			offsets[i+1] = int32(len(values))
		}
		elements := ev.hold(vector.FromValues(typeLong, values, nil))
		return vector.MakeList(t, offsets, elements, log.valid), log.faults, nil
	}
	return call(t, run, args...), nil
}

// quantifier is any, all or none.
func quantifier(of func([]int32, vector.Bits, vector.Bits, vector.Bits, int) arrow.Array, decides func(isTrue, isFalse bool) bool) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		list, body, err := c.predicate(f)
		if err != nil {
			return nil, err
		}
		return closureCall(&closureNode{typ: typeBool, list: list, body: body, decides: decides,
			finish: func(_ *evaluation, x closureInput) (arrow.Array, []Fault, error) {
				isTrue, isFalse := truths(x.body, x.elements.Len())
				return of(x.offsets, isTrue, isFalse, x.valid, x.n), nil, nil
			}}), nil
	}
}

func allOf(offsets []int32, isTrue, isFalse, valid vector.Bits, n int) arrow.Array {
	return inverted(anyOf(offsets, isFalse, isTrue, valid, n))
}

func noneOf(offsets []int32, isTrue, isFalse, valid vector.Bits, n int) arrow.Array {
	return inverted(anyOf(offsets, isTrue, isFalse, valid, n))
}

func inverted(arr arrow.Array) arrow.Array {
	isTrue, isFalse := truths(vec{arr: arr}, arr.Len())
	return fromTruths(isFalse, isTrue, arr.Len())
}

// closureCall computes at once what no column is needed for.
func closureCall(k *closureNode) node {
	if !areConst(k.list) || dependsOnRows(k.body) {
		return k
	}
	return fold(k)
}

// dependsOnRows says whether a predicate may read more than its element.
func dependsOnRows(n node) bool {
	switch n := n.(type) {
	case *constNode, *elementNode, indexNode:
		return false
	case *callNode:
		for _, a := range n.args {
			if dependsOnRows(a) {
				return true
			}
		}
		return false
	case *logicNode:
		return dependsOnRows(n.left) || dependsOnRows(n.right)
	}
	return true
}

func oneFunction(c *compiler, f *funcCall) (node, error) {
	list, body, err := c.predicate(f)
	if err != nil {
		return nil, err
	}
	return closureCall(&closureNode{typ: typeBool, list: list, body: body, finish: func(_ *evaluation, x closureInput) (arrow.Array, []Fault, error) {
		counts := countTrue(x)
		out := vector.NewBits(x.n)
		for i, k := range counts {
			if k == 1 {
				out.Set(i)
			}
		}
		return vector.FromBools(out, x.n, x.valid), nil, nil
	}}), nil
}

func countTrue(x closureInput) []int32 {
	isTrue, _ := truths(x.body, x.elements.Len())
	counts := vector.Alloc[int32](x.n)
	for i := range counts {
		for j := int(x.offsets[i]); j < int(x.offsets[i+1]); j++ {
			if isTrue.Get(j) {
				counts[i]++
			}
		}
	}
	return counts
}

func countFunction(c *compiler, f *funcCall) (node, error) {
	if len(f.nodes) == 1 {
		f.nodes = append(f.nodes, itself())
	}
	list, body, err := c.predicate(f)
	if err != nil {
		return nil, err
	}
	return closureCall(&closureNode{typ: typeInt, list: list, body: body, finish: func(_ *evaluation, x closureInput) (arrow.Array, []Fault, error) {
		return vector.FromValues(typeInt, countTrue(x), x.valid), nil, nil
	}}), nil
}

func filterFunction(c *compiler, f *funcCall) (node, error) {
	list, body, err := c.predicate(f)
	if err != nil {
		return nil, err
	}
	return closureCall(&closureNode{typ: list.dataType(), list: list, body: body, finish: func(ev *evaluation, x closureInput) (arrow.Array, []Fault, error) {
		isTrue, _ := truths(x.body, x.elements.Len())
		offsets, at := make([]int32, x.n+1), []int32(nil)
		for i := range x.n {
			for j := x.offsets[i]; j < x.offsets[i+1]; j++ {
				if isTrue.Get(int(j)) {
					at = append(at, j)
				}
			}
			offsets[i+1] = int32(len(at))
		}
		picked, err := vector.Gather(ev.ctx, x.elements, at)
		if err != nil {
			return nil, nil, err
		}
		return vector.MakeList(list.dataType(), offsets, ev.hold(picked), x.valid), nil, nil
	}}), nil
}

func mapFunction(c *compiler, f *funcCall) (node, error) {
	list, body, err := c.closure(f)
	if err != nil {
		return nil, err
	}
	t := columntype.List(body.dataType())
	return closureCall(&closureNode{typ: t, list: list, body: body, finish: func(_ *evaluation, x closureInput) (arrow.Array, []Fault, error) {
		return vector.MakeList(t, x.offsets, x.body.arr, x.valid), nil, nil
	}}), nil
}

// finder is find, findIndex, findLast or findLastIndex.
func finder(last, element bool) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		list, body, err := c.predicate(f)
		if err != nil {
			return nil, err
		}
		t := typeInt
		if element {
			t = list.dataType().(*arrow.ListType).Elem()
		}
		return closureCall(&closureNode{typ: t, list: list, body: body, finish: func(ev *evaluation, x closureInput) (arrow.Array, []Fault, error) {
			at := findPlaces(x, last)
			if element {
				found, err := vector.Gather(ev.ctx, x.elements, at)
				return found, nil, err
			}
			valid := vector.NewBits(x.n)
			for i, j := range at {
				if j >= 0 {
					valid.Set(i)
					at[i] = j - x.offsets[i]
				}
			}
			return vector.FromValues(typeInt, at, valid), nil, nil
		}}), nil
	}
}

// findPlaces is the place among all elements of each row's first or last hit, or -1.
func findPlaces(x closureInput, last bool) []int32 {
	isTrue, _ := truths(x.body, x.elements.Len())
	at := make([]int32, x.n)
	for i := range at {
		at[i] = -1
		for j := x.offsets[i]; j < x.offsets[i+1] && x.valid.IsValid(i); j++ {
			if isTrue.Get(int(j)) && (last || at[i] < 0) {
				at[i] = j
			}
		}
	}
	return at
}
