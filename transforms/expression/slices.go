package expression

import (
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// slice is `text[1:4]`, in characters, or `list[1:4]`. Bounds below 0 count from the end; bounds beyond it are it.
func (c *compiler) slice(n *ast.SliceNode) (node, error) {
	v, err := c.lower(n.Node)
	if err != nil {
		return nil, err
	}
	bounds := make([]node, 2)
	for i, b := range []ast.Node{n.From, n.To} {
		switch {
		case b != nil:
			if bounds[i], err = c.integer(b, "a slice's bound"); err != nil {
				return nil, err
			}
		case i == 0:
			bounds[i] = fixedConst(typeLong, int64(0))
		default:
			bounds[i] = fixedConst(typeLong, int64(1)<<62)
		}
	}
	switch kindOf(v.dataType()) {
	case kindNull:
		return v, nil
	case kindString:
		return call(typeString, textSliceKernel, v, bounds[0], bounds[1]), nil
	case kindList:
		return call(v.dataType(), listSliceKernel, v, bounds[0], bounds[1]), nil
	}
	return nil, c.errorf(n.Node, "", "only text and lists have slices, found %s", typeName(v.dataType()))
}

// clampSlice brings bounds into a length.
func clampSlice(from, to, length int64) (int64, int64) {
	if from < 0 {
		from += length
	}
	if to < 0 {
		to += length
	}
	from, to = min(max(from, 0), length), min(max(to, 0), length)
	return from, max(from, to)
}

func textSliceKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	in, at := vector.TextsOf(args[0].arr), args[0].stride()
	from, fs := vector.Values[int64](args[1].arr), args[1].stride()
	to, ts := vector.Values[int64](args[2].arr), args[2].stride()
	return computeTexts(typeString, n, in.Size(), ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
		return append(dst, sliceText(in.At(i*at), from[i*fs], to[i*ts])...), ""
	})
}

func sliceText(s string, from, to int64) string {
	low, high := clampSlice(from, to, int64(utf8.RuneCountInString(s)))
	if len(s) == utf8.RuneCountInString(s) {
		return s[low:high]
	}
	start, end, k := len(s), len(s), int64(0)
	for i := range s {
		if k == low {
			start = i
		}
		if k == high {
			end = i
			break
		}
		k++
	}
	return s[start:max(start, end)]
}

func listSliceKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	offsets, elements, _, err := ev.elements(args[0], n)
	if err != nil {
		return nil, nil, err
	}
	from, fs := vector.Values[int64](args[1].arr), args[1].stride()
	to, ts := vector.Values[int64](args[2].arr), args[2].stride()
	valid := ev.valid(args, n)
	var places []int32
	out := make([]int32, n+1)
	for i := range n {
		if valid.IsValid(i) {
			low, high := clampSlice(from[i*fs], to[i*ts], int64(offsets[i+1]-offsets[i]))
			for j := low; j < high; j++ {
				places = append(places, offsets[i]+int32(j))
			}
		}
		out[i+1] = int32(len(places))
	}
	picked, err := vector.Gather(ev.ctx, elements, places)
	if err != nil {
		return nil, nil, err
	}
	return vector.MakeList(args[0].arr.DataType(), out, ev.hold(picked), valid), nil, nil
}
