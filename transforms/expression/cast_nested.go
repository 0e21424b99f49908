package expression

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// castNested casts lists and maps by their elements and structs by the names of their fields: a field that only the
// target has is null, one that only the source has is left out.
func castNested(from, to arrow.DataType) kernel {
	switch to := to.(type) {
	case *arrow.ListType:
		if from, ok := from.(*arrow.ListType); ok {
			return castList(from, to)
		}
	case *arrow.MapType:
		if from, ok := from.(*arrow.MapType); ok {
			return castMap(from, to)
		}
	case *arrow.StructType:
		if from, ok := from.(*arrow.StructType); ok {
			return castStruct(from, to)
		}
	}
	return nil
}

// castChild runs a kernel over a child array, which has its own number of rows.
func castChild(ev *evaluation, run kernel, child arrow.Array) (arrow.Array, []Fault, error) {
	arr, faults, err := run(ev, []vec{{arr: child}}, child.Len())
	if err != nil {
		return nil, nil, err
	}
	return ev.hold(arr), faults, nil
}

func castList(from, to *arrow.ListType) kernel {
	element := castKernel(from.Elem(), to.Elem())
	if element == nil {
		return nil
	}
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		return rebuildList(ev, args[0].arr, to, n, func(children arrow.Array) (arrow.Array, []Fault, error) {
			return castChild(ev, element, children)
		})
	}
}

// rebuildList makes a list or map of type to from one whose elements f turns into others.
func rebuildList(ev *evaluation, arr arrow.Array, to arrow.DataType, n int, f func(children arrow.Array) (arrow.Array, []Fault, error)) (arrow.Array, []Fault, error) {
	in := vector.ListOffsets(arr)
	all := ev.hold(array.MakeFromData(arr.Data().Children()[0]))
	children, inner, err := f(ev.hold(array.NewSlice(all, int64(in[0]), int64(in[n]))))
	if err != nil {
		return nil, nil, err
	}
	offsets := make([]int32, n+1)
	for i := range offsets {
		offsets[i] = in[i] - in[0]
	}
	log := faultLog{n: n, valid: vector.Validity(arr)}
	for i := 0; i < n && len(inner) > 0; i++ {
		if message, ok := firstWithin(&inner, int(offsets[i+1])); ok && log.valid.IsValid(i) {
			log.add(i, message)
		}
	}
	out := vector.MakeNested(to, n, log.valid, []*memory.Buffer{vector.Buffer(offsets)}, []arrow.Array{children})
	return out, log.faults, nil
}

// firstWithin takes the faults of elements below end off the list and returns the first.
func firstWithin(faults *[]Fault, end int) (message string, ok bool) {
	for len(*faults) > 0 && (*faults)[0].Row < end {
		if !ok {
			message, ok = (*faults)[0].Message, true
		}
		*faults = (*faults)[1:]
	}
	return message, ok
}

func castMap(from, to *arrow.MapType) kernel {
	key, item := castKernel(from.KeyType(), to.KeyType()), castKernel(from.ItemType(), to.ItemType())
	if key == nil || item == nil {
		return nil
	}
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		return rebuildList(ev, args[0].arr, to, n, func(children arrow.Array) (arrow.Array, []Fault, error) {
			entries := children.(*array.Struct)
			keys, wrongKeys, err := castChild(ev, key, entries.Field(0))
			if err != nil {
				return nil, nil, err
			}
			items, wrongItems, err := castChild(ev, item, entries.Field(1))
			if err != nil {
				return nil, nil, err
			}
			out := vector.MakeNested(to.Elem(), entries.Len(), nil, nil, []arrow.Array{keys, items})
			return ev.hold(out), mergeFaults(wrongKeys, wrongItems), nil
		})
	}
}

func castStruct(from, to *arrow.StructType) kernel {
	kernels, places := make([]kernel, to.NumFields()), make([]int, to.NumFields())
	for i, f := range to.Fields() {
		at, found := from.FieldIdx(f.Name)
		if !found {
			places[i], kernels[i] = -1, nullKernel(f.Type)
			continue
		}
		places[i], kernels[i] = at, castKernel(from.Field(at).Type, f.Type)
		if kernels[i] == nil {
			return nil
		}
	}
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		in, children := args[0].arr.(*array.Struct), make([]arrow.Array, len(kernels))
		var faults []Fault
		for i, run := range kernels {
			child := ev.hold(array.NewNull(n))
			if places[i] >= 0 {
				child = in.Field(places[i])
			}
			out, wrong, err := castChild(ev, run, child)
			if err != nil {
				return nil, nil, err
			}
			children[i], faults = out, mergeFaults(faults, wrong)
		}
		return structOf(to, n, vector.Validity(in), children, faults)
	}
}

// structOf makes a struct array; faults of its fields count where the struct itself is not null.
func structOf(to arrow.DataType, n int, valid vector.Bits, children []arrow.Array, faults []Fault) (arrow.Array, []Fault, error) {
	log := faultLog{n: n, valid: valid}
	for _, f := range faults {
		if valid.IsValid(f.Row) {
			log.add(f.Row, f.Message)
		}
	}
	return vector.MakeNested(to, n, log.valid, nil, children), log.faults, nil
}
