package validity

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// leaf is a column of a Parquet file that holds values.
type leaf struct {
	id       int // Iceberg's field id; 0 if the file has none
	path     string
	kind     parquet.Kind
	decimal  bool
	repeated bool // it lies in a list or a map: rows have any number of values
	repeats  bool // a row may lack it, or something that it lies in
}

// leavesOf lists a file's leaves, in the order of its column chunks.
func leavesOf(schema []format.SchemaElement) []leaf {
	var out []leaf
	at := 1
	var walk func(path string, repeated, optional bool)
	walk = func(path string, repeated, optional bool) {
		e := schema[at]
		at++
		if path != "" {
			path += "."
		}
		path += e.Name
		if e.RepetitionType.Valid {
			repeated = repeated || e.RepetitionType.V == format.Repeated
			optional = optional || e.RepetitionType.V != format.Required
		}
		if e.NumChildren.Valid && e.NumChildren.V > 0 {
			for range e.NumChildren.V {
				walk(path, repeated, optional)
			}
			return
		}
		_, decimal := e.LogicalType.Value.(*format.DecimalType)
		out = append(out, leaf{id: int(e.FieldID), path: path, kind: parquet.Kind(e.Type.V), decimal: decimal, repeated: repeated, repeats: optional})
	}
	for at < len(schema) {
		walk("", false, false)
	}
	return out
}

// scalar makes a value comparable: int64 of booleans, whole numbers, dates and times, float64, string of texts and bytes, and
// *big.Int of decimals. Nil is null.
func (l leaf) scalar(v parquet.Value) any {
	if v.IsNull() {
		return nil
	}
	if l.decimal {
		switch l.kind {
		case parquet.Int32:
			return big.NewInt(int64(v.Int32()))
		case parquet.Int64:
			return big.NewInt(v.Int64())
		}
		return twosComplement(v.ByteArray())
	}
	switch l.kind {
	case parquet.Boolean:
		if v.Boolean() {
			return int64(1)
		}
		return int64(0)
	case parquet.Int32:
		return int64(v.Int32())
	case parquet.Int64:
		return v.Int64()
	case parquet.Float:
		return float64(v.Float())
	case parquet.Double:
		return v.Double()
	}
	return string(v.ByteArray())
}

// bound reads a bound as Iceberg serialises it. That of a number may be of the type that the column had before it was
// promoted, or has since.
func (l leaf) bound(b []byte) (any, error) {
	if l.decimal {
		return twosComplement(b), nil
	}
	return l.plain(b)
}

// statistic reads a bound of a Parquet footer or page index.
func (l leaf) statistic(b []byte) (any, error) {
	if l.decimal && (l.kind == parquet.ByteArray || l.kind == parquet.FixedLenByteArray) {
		return twosComplement(b), nil
	}
	v, err := l.plain(b)
	if n, ok := v.(int64); ok && l.decimal {
		return big.NewInt(n), nil
	}
	return v, err
}

func (l leaf) plain(b []byte) (any, error) {
	switch {
	case l.kind == parquet.ByteArray || l.kind == parquet.FixedLenByteArray:
		return string(b), nil
	case l.kind == parquet.Boolean && len(b) == 1:
		return int64(b[0]), nil
	case l.kind == parquet.Float || l.kind == parquet.Double:
		switch len(b) {
		case 4:
			return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), nil
		case 8:
			return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
		}
	case len(b) == 4:
		return int64(int32(binary.LittleEndian.Uint32(b))), nil
	case len(b) == 8:
		return int64(binary.LittleEndian.Uint64(b)), nil
	}
	return nil, fmt.Errorf("%d bytes are no %s", len(b), l.kind)
}

func twosComplement(b []byte) *big.Int {
	out := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		out.Sub(out, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return out
}

// compare orders scalars of one leaf as the specification does: -0.0 comes before 0.0, NaN last, null first.
func compare(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	switch a := a.(type) {
	case int64:
		return sign(a < b.(int64), a > b.(int64))
	case float64:
		x, y := totalOrder(a), totalOrder(b.(float64))
		return sign(x < y, x > y)
	case string:
		return bytes.Compare([]byte(a), []byte(b.(string)))
	case *big.Int:
		return a.Cmp(b.(*big.Int))
	}
	panic(fmt.Sprintf("no order of %T", a))
}

func sign(less, greater bool) int {
	if less {
		return -1
	}
	if greater {
		return 1
	}
	return 0
}

// totalOrder maps floats to whole numbers in IEEE 754's total order, all NaNs being one.
func totalOrder(f float64) int64 {
	if f != f {
		return math.MaxInt64
	}
	bits := int64(math.Float64bits(f))
	if bits < 0 {
		return math.MinInt64 - bits
	}
	return bits + 1 // -0.0 maps to 0
}

func isNaN(v any) bool {
	f, ok := v.(float64)
	return ok && f != f
}
