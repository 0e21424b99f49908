package expression

import (
	"context"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/varve-lake/varve/transforms/internal/render"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// cast brings a value to a type that commonType or a check has found reachable.
func (c *compiler) cast(v node, to arrow.DataType) node {
	if arrow.TypeEqual(v.dataType(), to) {
		return v
	}
	out := call(to, castKernel(v.dataType(), to), v)
	if lit, ok := v.(*constNode); ok {
		if folded, ok := out.(*constNode); ok {
			folded.literal = lit.literal
		}
	}
	return out
}

// CanCast says whether values of one type can be cast to another; the error says why not.
func CanCast(from, to arrow.DataType) error {
	if castKernel(workingType(from), workingType(to)) == nil {
		return fmt.Errorf("%s cannot be cast to %s", typeName(from), typeName(to))
	}
	return nil
}

// Cast casts arr to a type in which tables store columns. Values that do not fit are null in the result and named in
// the faults. The caller releases the result.
func Cast(ctx context.Context, arr arrow.Array, to arrow.DataType) (arrow.Array, []Fault, error) {
	from := workingType(arr.DataType())
	run := castKernel(from, to)
	if run == nil {
		return nil, nil, fmt.Errorf("%s cannot be cast to %s", typeName(arr.DataType()), typeName(to))
	}
	ev := &evaluation{ctx: ctx, rows: arr.Len()}
	defer ev.release()
	if !arrow.TypeEqual(arr.DataType(), from) {
		working, err := toWorking(ctx, arr, from)
		if err != nil {
			return nil, nil, err
		}
		arr = ev.hold(working)
	}
	return run(ev, []vec{{arr: arr}}, arr.Len())
}

// castKernel is the kernel from one type to another, nil if there is none.
func castKernel(from, to arrow.DataType) kernel {
	fk, tk := kindOf(from), kindOf(to)
	switch {
	case arrow.TypeEqual(from, to):
		return identityKernel
	case fk == kindNull:
		return nullKernel(to)
	case fk == kindOther, tk == kindOther, tk == kindNull:
		return nil
	case fk == kindString && tk != kindString && !tk.isNested():
		return castFromText(to)
	case tk == kindString:
		return castToText(from)
	case fk.isNested() || tk.isNested():
		return castNested(from, to)
	case fk.isNumber() && tk.isNumber():
		return castNumber(from, to)
	case tk == kindBool || fk == kindBool:
		return castBool(from, to)
	case fk == kindDate || fk == kindTime || fk == kindDuration || fk.isTimestamp():
		return castTemporal(from, to)
	case fk == kindBinary || fk == kindFixed || fk == kindUUID:
		return castBytes(from, to)
	}
	return nil
}

func identityKernel(_ *evaluation, args []vec, _ int) (arrow.Array, []Fault, error) {
	args[0].arr.Retain()
	return args[0].arr, nil, nil
}

func nullKernel(to arrow.DataType) kernel {
	return func(_ *evaluation, _ []vec, n int) (arrow.Array, []Fault, error) {
		if kindOf(to) == kindNull {
			return array.NewNull(n), nil, nil
		}
		return vector.Nulls(to, n), nil, nil
	}
}

// retype is the cast between types of the same layout and the same meaning.
func retype(to arrow.DataType) kernel {
	return func(_ *evaluation, args []vec, _ int) (arrow.Array, []Fault, error) {
		return vector.Retype(args[0].arr, to), nil, nil
	}
}

// eachFixed casts row by row: open reads the argument's array.
func eachFixed[T vector.Fixed](to arrow.DataType, open func(arr arrow.Array) func(i int) (T, string)) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		return computeFixed(to, n, ev.valid(args, n), open(args[0].arr))
	}
}

// eachValue is eachFixed for a fixed-width argument.
func eachValue[A, B vector.Fixed](to arrow.DataType, f func(A) (B, string)) kernel {
	return eachFixed(to, func(arr arrow.Array) func(int) (B, string) {
		in := vector.Values[A](arr)
		return func(i int) (B, string) { return f(in[i]) }
	})
}

func castBool(from, to arrow.DataType) kernel {
	switch {
	case kindOf(from) == kindBool && kindOf(to) == kindInt:
		return boolToInteger[int32](to)
	case kindOf(from) == kindBool && kindOf(to) == kindLong:
		return boolToInteger[int64](to)
	case kindOf(from) == kindInt:
		return integerToBool[int32]()
	case kindOf(from) == kindLong:
		return integerToBool[int64]()
	}
	return nil
}

func boolToInteger[T int32 | int64](to arrow.DataType) kernel {
	return eachFixed(to, func(arr arrow.Array) func(int) (T, string) {
		in := vector.Bools(arr)
		return func(i int) (T, string) { return T(bit(in.Get(i))), "" }
	})
}

func integerToBool[T int32 | int64]() kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		in := vector.Values[T](args[0].arr)
		return computeBools(n, ev.valid(args, n), func(i int) (bool, string) { return in[i] != 0, "" })
	}
}

// castBytes is among binary, fixed(L) and uuid; binary becomes the others if it has their length.
func castBytes(from, to arrow.DataType) kernel {
	tk := kindOf(to)
	if tk != kindBinary && tk != kindFixed && tk != kindUUID {
		return nil
	}
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		read, valid := bytesReader(args[0].arr), ev.valid(args, n)
		if tk == kindBinary {
			return computeTexts(to, n, 16*n, valid, func(dst []byte, i int) ([]byte, string) {
				return append(dst, read(i)...), ""
			})
		}
		return fixedBytes(to, n, valid, func(i int) ([]byte, string) { return read(i), "" })
	}
}

// bytesReader reads the bytes of text, binary, fixed and uuid values.
func bytesReader(arr arrow.Array) func(i int) []byte {
	switch kindOf(arr.DataType()) {
	case kindFixed, kindUUID:
		return vector.FixedBytesOf(arr, arr.DataType().(interface{ Bytes() int }).Bytes()).Bytes
	}
	return vector.TextsOf(arr).Bytes
}

// fixedBytes makes values of a fixed length; others are faults.
func fixedBytes(to arrow.DataType, n int, valid vector.Bits, f func(i int) ([]byte, string)) (arrow.Array, []Fault, error) {
	width := to.(interface{ Bytes() int }).Bytes()
	out, log := make([]byte, n*width), faultLog{n: n, valid: valid}
	for i := range n {
		if !valid.IsValid(i) {
			continue
		}
		v, problem := f(i)
		if problem == "" && len(v) != width {
			problem = fmt.Sprintf("%d bytes are not %s", len(v), withArticle(to))
		}
		if problem != "" {
			log.add(i, problem)
			continue
		}
		copy(out[i*width:], v)
	}
	return vector.Make(to, n, log.valid, vector.Buffer(out)), log.faults, nil
}

// numberReader reads numbers of any kind but decimal as the nearest double.
func doubleReader(arr arrow.Array) func(i int) float64 {
	switch t := arr.DataType().(type) {
	case *arrow.Int32Type:
		in := vector.Values[int32](arr)
		return func(i int) float64 { return float64(in[i]) }
	case *arrow.Int64Type:
		in := vector.Values[int64](arr)
		return func(i int) float64 { return float64(in[i]) }
	case *arrow.Float32Type:
		in := vector.Values[float32](arr)
		return func(i int) float64 { return float64(in[i]) }
	case *arrow.Decimal128Type:
		in := vector.Values[decimal128.Num](arr)
		return func(i int) float64 { return decimalToDouble(in[i], t.Scale) }
	}
	in := vector.Values[float64](arr)
	return func(i int) float64 { return in[i] }
}

// CastExact is Cast, but a number whose fraction a whole number cannot hold is a fault.
func CastExact(ctx context.Context, arr arrow.Array, to arrow.DataType) (arrow.Array, []Fault, error) {
	out, faults, err := Cast(ctx, arr, to)
	from := workingType(arr.DataType())
	if err != nil || !kindOf(to).isInteger() || !kindOf(from).isFloating() && kindOf(from) != kindDecimal {
		return out, faults, err
	}
	defer out.Release()
	ev := &evaluation{ctx: ctx, rows: arr.Len()}
	defer ev.release()
	if arr, err = toWorking(ctx, arr, from); err != nil {
		return nil, nil, err
	}
	ev.hold(arr)
	read, write, valid := doubleReader(arr), render.Text(arr), vector.Validity(arr)
	if d, ok := from.(*arrow.Decimal128Type); ok {
		in := vector.Values[decimal128.Num](arr)
		read = func(i int) float64 { return decimalFraction(in[i], d.Scale) }
	}
	var cut []Fault
	for i := range arr.Len() {
		if valid.IsValid(i) && read(i) != math.Trunc(read(i)) {
			cut = append(cut, Fault{Row: i, Message: fmt.Sprintf("%s is not %s", write(nil, i), withArticle(to))})
		}
	}
	if len(cut) == 0 {
		out.Retain()
		return out, faults, nil
	}
	exact, err := ev.nullAt(out, cut)
	if err != nil {
		return nil, nil, err
	}
	exact.Retain()
	return exact, mergeFaults(faults, cut), nil
}

// decimalFraction is not whole if a decimal is not.
func decimalFraction(v decimal128.Num, scale int32) float64 {
	m, _ := magnitudeOf(v)
	if back, _ := m.truncate(scale).shift(scale); back != m {
		return 0.5
	}
	return 0
}
