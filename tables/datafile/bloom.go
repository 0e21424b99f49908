package datafile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/cespare/xxhash/v2"
	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
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
	encode := plainEncoder(constants, leaf, chunk.Type(), p.footer.meta.Schema.Column(leaf.ColIndex).TypeLength())
	if encode == nil {
		return true
	}
	filter, raw, err := p.bloom(leaf.ColIndex, chunk)
	if err != nil {
		return true
	}
	blocks, err := filter.blocks(p.source, raw, constants.Len())
	if err != nil {
		return true
	}
	for i := range constants.Len() {
		value, fits := encode(i)
		if !fits {
			continue
		}
		if may, err := bloom.CheckSplitBlock(blocks, filter.bytes, xxhash.Sum64(value)); may || err != nil {
			return true
		}
	}
	return false
}

// bloomFilter is where a split block Bloom filter lies in a file, with its header, and its blocks.
type bloomFilter struct{ from, at, bytes int64 }

var errBloom = errors.New("not a Bloom filter of this kind")

// bloom finds a chunk's filter, once for each footer that is kept. Of a remote file it is read with its header by one request, if the
// footer says how long it is; raw is what was read.
func (p *pruner) bloom(column int, chunk *metadata.ColumnChunkMetaData) (_ bloomFilter, raw []byte, err error) {
	key := [2]int{p.group, column}
	if known, ok := p.footer.blooms.Load(key); ok {
		return known.(bloomFilter), nil, nil
	}
	from, size := chunk.BloomFilterOffset(), p.footer.meta.GetSourceFileSize()
	if from < 4 || from >= size {
		return bloomFilter{}, nil, errBloom
	}
	head := make([]byte, min(64, size-from))
	whole := int64(chunk.BloomFilterLength())
	if p.source.remote && p.source.cache != nil && whole > int64(len(head)) && whole <= min(maxIndexBytes, size-from) {
		head = make([]byte, whole)
		raw = head
	}
	if _, err := p.source.ReadAt(head, from); err != nil {
		return bloomFilter{}, nil, err
	}
	var protocol thrift.CompactProtocol
	var header format.BloomFilterHeader
	rest := bytes.NewReader(head)
	if err := thrift.NewDecoder(protocol.NewReader(rest)).Decode(&header); err != nil {
		return bloomFilter{}, nil, err
	}
	at := from + int64(len(head)-rest.Len())
	n := int64(header.NumBytes)
	_, split := header.Algorithm.Value.(*format.SplitBlockAlgorithm)
	_, xx := header.Hash.Value.(*format.XxHash)
	_, plain := header.Compression.Value.(*format.BloomFilterUncompressed)
	if !split || !xx || !plain || n < bloom.BlockSize || n%bloom.BlockSize != 0 || n > size-at {
		return bloomFilter{}, nil, errBloom
	}
	found := bloomFilter{from, at, n}
	p.footer.blooms.Store(key, found)
	return found, raw, nil
}

// readAlone is how many blocks are read each for itself: beyond that a filter that is not too large is read whole.
const readAlone = 8

// blocks is where so many hashes are looked up, each in its block. Of a remote file the whole filter is read, which takes as long and is
// kept for the next; raw is what of it was read before, from its header on.
func (b bloomFilter) blocks(s *source, raw []byte, hashes int) (io.ReaderAt, error) {
	header := b.at - b.from
	if int64(len(raw)) >= header+b.bytes {
		return bytes.NewReader(raw[header : header+b.bytes]), nil
	}
	if b.bytes > maxIndexBytes || hashes <= readAlone && (!s.remote || s.cache == nil) {
		return io.NewSectionReader(s, b.at, b.bytes), nil
	}
	from := b.from
	if header+b.bytes > maxIndexBytes { // which would not be kept
		from, header = b.at, 0
	}
	whole := make([]byte, header+b.bytes)
	if _, err := s.ReadAt(whole, from); err != nil {
		return nil, err
	}
	return bytes.NewReader(whole[header:]), nil
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
