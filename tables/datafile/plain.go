package datafile

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/parquet"
)

// background is for work that is too short to be cancelled.
var background = context.Background()

func appendPlain32(b array.Builder, v uint32) error {
	switch b := b.(type) {
	case *array.Int32Builder:
		b.Append(int32(v))
	case *array.Date32Builder:
		b.Append(arrow.Date32(int32(v)))
	case *array.Time32Builder:
		b.Append(arrow.Time32(int32(v)))
	case *array.Float32Builder:
		b.Append(math.Float32frombits(v))
	case *array.Int8Builder:
		b.Append(int8(v))
	case *array.Int16Builder:
		b.Append(int16(v))
	case *array.Uint8Builder:
		b.Append(uint8(v))
	case *array.Uint16Builder:
		b.Append(uint16(v))
	case *array.Uint32Builder:
		b.Append(v)
	default:
		return fmt.Errorf("bound of 4 bytes for type %s", b.Type())
	}
	return nil
}

func appendPlain64(b array.Builder, v uint64) error {
	switch b := b.(type) {
	case *array.Int64Builder:
		b.Append(int64(v))
	case *array.Time64Builder:
		b.Append(arrow.Time64(v))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v))
	case *array.Float64Builder:
		b.Append(math.Float64frombits(v))
	case *array.Uint64Builder:
		b.Append(v)
	default:
		return fmt.Errorf("bound of 8 bytes for type %s", b.Type())
	}
	return nil
}

// bigEndianDecimal reads two's complement, big endian.
func bigEndianDecimal(v []byte) (decimal128.Num, error) {
	if len(v) == 0 || len(v) > 16 {
		return decimal128.Num{}, fmt.Errorf("decimal of %d bytes", len(v))
	}
	high, low := uint64(0), uint64(0)
	if v[0]&0x80 != 0 {
		high, low = math.MaxUint64, math.MaxUint64
	}
	for _, b := range v {
		high = high<<8 | low>>56
		low = low<<8 | uint64(b)
	}
	return decimal128.New(int64(high), low), nil
}

// appendPlainDecimal appends a decimal stored as a little endian integer or as big endian bytes.
func appendPlainDecimal(b *array.Decimal128Builder, v []byte, physical parquet.Type) error {
	switch physical {
	case parquet.Types.Int32:
		if len(v) == 4 {
			b.Append(decimal128.FromI64(int64(int32(binary.LittleEndian.Uint32(v)))))
			return nil
		}
	case parquet.Types.Int64:
		if len(v) == 8 {
			b.Append(decimal128.FromI64(int64(binary.LittleEndian.Uint64(v))))
			return nil
		}
	default:
		n, err := bigEndianDecimal(v)
		if err == nil {
			b.Append(n)
		}
		return err
	}
	return fmt.Errorf("decimal bound of %d bytes", len(v))
}
