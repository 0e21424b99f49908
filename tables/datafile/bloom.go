package datafile

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
)

// bloomMayMatch asks the chunk's Bloom filter whether it may hold one of the constants of an equality.
func (p *pruner) bloomMayMatch(c *comparison, leaf *pqarrow.SchemaField, chunk *metadata.ColumnChunkMetaData) bool {
	var constants arrow.Array
	switch c.op {
	case iceberg.OpEQ:
		constants = c.constant
	case iceberg.OpIn:
		constants = c.members
	default:
		return true
	}
	if chunk.BloomFilterOffset() <= 0 {
		return true
	}
	encode := plainEncoder(constants, leaf, chunk.Type(), p.reader.MetaData().Schema.Column(leaf.ColIndex).TypeLength())
	if encode == nil {
		return true
	}
	group, err := p.reader.GetBloomFilterReader().RowGroup(p.group)
	if err != nil || group == nil {
		return true
	}
	bloom, err := group.GetColumnBloomFilter(leaf.ColIndex)
	if err != nil || bloom == nil {
		return true
	}
	for i := range constants.Len() {
		value, fits := encode(i)
		if fits && bloom.CheckHash(bloom.Hasher().Sum64(value)) {
			return true
		}
	}
	return false
}

// plainEncoder encodes constants of the table's type as the file would store them, which is what Bloom filters hash; fits is
// false for a value that the file's narrower type does not have. It is nil where the two types differ by more than width.
func plainEncoder(constants arrow.Array, leaf *pqarrow.SchemaField, physical parquet.Type, length int) func(i int) (plain []byte, fits bool) {
	stored := leaf.Field.Type
	switch a := constants.(type) {
	case *array.Decimal128:
		if d, ok := stored.(*arrow.Decimal128Type); !ok || d.Scale != a.DataType().(*arrow.Decimal128Type).Scale {
			return nil
		}
		return decimalEncoder(a, physical, length)
	case *array.Timestamp:
		if t, ok := stored.(*arrow.TimestampType); !ok || t.Unit != a.DataType().(*arrow.TimestampType).Unit {
			return nil
		}
	case *array.Time64:
		if !arrow.TypeEqual(stored, a.DataType()) {
			return nil
		}
	case *array.Date32:
		if stored.ID() != arrow.DATE32 {
			return nil
		}
	case *array.Int32, *array.Int64:
		if stored.ID() != arrow.INT32 && stored.ID() != arrow.INT64 {
			return nil
		}
	case *array.Boolean:
		return nil
	}
	if at := int64At(constants); at != nil && (physical == parquet.Types.Int32 || physical == parquet.Types.Int64) {
		return func(i int) ([]byte, bool) { return plainInt(at(i), physical) }
	}
	if at := bytesAt(constants); at != nil && (physical == parquet.Types.ByteArray || physical == parquet.Types.FixedLenByteArray) {
		return func(i int) ([]byte, bool) { return at(i), true }
	}
	return nil
}

func plainInt(v int64, physical parquet.Type) ([]byte, bool) {
	if physical == parquet.Types.Int32 {
		return binary.LittleEndian.AppendUint32(nil, uint32(v)), v >= math.MinInt32 && v <= math.MaxInt32
	}
	return binary.LittleEndian.AppendUint64(nil, uint64(v)), true
}

func decimalEncoder(a *array.Decimal128, physical parquet.Type, length int) func(int) ([]byte, bool) {
	switch physical {
	case parquet.Types.Int32, parquet.Types.Int64:
		return func(i int) ([]byte, bool) {
			v := a.Value(i)
			low := int64(v.LowBits())
			plain, fits := plainInt(low, physical)
			return plain, fits && v.HighBits() == low>>63
		}
	case parquet.Types.FixedLenByteArray:
		return func(i int) ([]byte, bool) {
			v := a.Value(i)
			wide := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(v.HighBits())), v.LowBits())
			if length <= 0 || length > 16 {
				return nil, true
			}
			return wide[16-length:], len(shortestDecimal(v)) <= length
		}
	}
	return nil
}
