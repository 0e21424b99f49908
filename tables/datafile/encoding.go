package datafile

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/zeebo/xxh3"
)

const (
	bloomProbability = 0.01
	// A column whose sampled values are mostly distinct gains nothing from a dictionary, which then costs most of its encoding.
	sampleRows         = 2048
	maxSampledDistinct = 0.5
)

// readEncodings reads the properties that choose codec, pages, dictionaries and Bloom filters.
func (l *layout) readEncodings() error {
	name := strings.ToLower(l.props.Get(table.ParquetCompressionKey, table.ParquetCompressionDefault))
	codec, ok := map[string]compress.Compression{
		"zstd": compress.Codecs.Zstd, "snappy": compress.Codecs.Snappy, "gzip": compress.Codecs.Gzip,
		"brotli": compress.Codecs.Brotli, "lz4_raw": compress.Codecs.Lz4Raw, "lz4raw": compress.Codecs.Lz4Raw,
		"lz4": compress.Codecs.Lz4Raw, "uncompressed": compress.Codecs.Uncompressed, "none": compress.Codecs.Uncompressed,
	}[name]
	if !ok {
		return fmt.Errorf("property %s: codec %q is not known", table.ParquetCompressionKey, name)
	}
	level, err := propertyInt(l.props, table.ParquetCompressionLevelKey, compress.DefaultCompressionLevel)
	if err != nil {
		return err
	}
	if level < -5 || level > 22 {
		return fmt.Errorf("property %s: %d is out of range", table.ParquetCompressionLevelKey, level)
	}
	l.codec, l.level = codec, int(level)

	l.pageVersion = parquet.DataPageV1
	switch v := strings.ToLower(l.props.Get(table.ParquetPageVersionKey, "1")); v {
	case "1", "v1", "parquet_1_0":
	case "2", "v2", "parquet_2_0":
		l.pageVersion = parquet.DataPageV2
	default:
		return fmt.Errorf("property %s: page version %q is not known", table.ParquetPageVersionKey, v)
	}
	return l.readColumnChoices()
}

// readColumnChoices reads the properties that end in a column's name. It may be Iceberg's name or Parquet's path, which
// differ for the elements of lists and maps.
func (l *layout) readColumnChoices() error {
	paths := parquetPaths(l.schema)
	path := func(column string) string {
		if id, ok := l.schema.FindFieldByName(column); ok {
			if p, ok := paths[id.ID]; ok {
				return p
			}
		}
		return column
	}
	l.dictionary, l.bloom = map[string]bool{}, map[string]float64{}
	for _, id := range l.schema.IdentifierFieldIDs {
		l.bloom[paths[id]] = bloomProbability
	}
	const (
		dictionaryKey  = "write.parquet.dict-encoding-enabled.column."
		probabilityKey = "write.parquet.bloom-filter-fpp.column."
		bloomKey       = table.ParquetBloomFilterColumnEnabledKeyPrefix + "."
	)
	for key, value := range l.props {
		if column, ok := strings.CutPrefix(key, dictionaryKey); ok {
			l.dictionary[path(column)] = strings.EqualFold(value, "true")
		}
		if column, ok := strings.CutPrefix(key, bloomKey); ok {
			if strings.EqualFold(value, "true") {
				l.bloom[path(column)] = bloomProbability
			} else {
				delete(l.bloom, path(column))
			}
		}
	}
	for key, value := range l.props {
		column, ok := strings.CutPrefix(key, probabilityKey)
		if _, wanted := l.bloom[path(column)]; !ok || !wanted {
			continue
		}
		p, err := strconv.ParseFloat(value, 64)
		if err != nil || !(p > 0 && p < 1) {
			return fmt.Errorf("property %s: %q is not a probability between 0 and 1", key, value)
		}
		l.bloom[path(column)] = p
	}
	if value, ok := l.props["parquet.enable.dictionary"]; ok {
		enabled := strings.EqualFold(value, "true")
		l.dictionaryDefault = &enabled
	}
	return nil
}

// parquetPaths gives the dotted Parquet path of each leaf field.
func parquetPaths(schema *iceberg.Schema) map[int]string {
	out := map[int]string{}
	var walk func(prefix string, id int, t iceberg.Type)
	walk = func(prefix string, id int, t iceberg.Type) {
		switch t := t.(type) {
		case *iceberg.StructType:
			for _, f := range t.FieldList {
				walk(prefix+"."+f.Name, f.ID, f.Type)
			}
		case *iceberg.ListType:
			walk(prefix+".list.element", t.ElementID, t.Element)
		case *iceberg.MapType:
			walk(prefix+".key_value.key", t.KeyID, t.KeyType)
			walk(prefix+".key_value.value", t.ValueID, t.ValueType)
		default:
			out[id] = prefix
		}
	}
	for _, f := range schema.Fields() {
		walk(f.Name, f.ID, f.Type)
	}
	return out
}

// writerProperties chooses the encodings of one row group by what is in it. The columns of the paths given come as indices into
// dictionaries.
func (l *layout) writerProperties(columns [][]arrow.Array, rows int64, indexed []string) *parquet.WriterProperties {
	opts := []parquet.WriterProperty{
		parquet.WithAllocator(allocator),
		parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithRootName("table"),
		parquet.WithMaxRowGroupLength(max(rows, 1)),
		parquet.WithCompression(l.codec),
		parquet.WithCompressionLevel(l.level),
		parquet.WithDataPageVersion(l.pageVersion),
		parquet.WithDataPageSize(l.pageBytes),
		parquet.WithDictionaryPageSizeLimit(l.dictBytes),
		parquet.WithPageIndexEnabled(true),
		parquet.WithStoreDecimalAsInteger(true),
		parquet.WithMaxBloomFilterBytes(l.bloomMaxBytes),
		parquet.WithStats(true),
	}
	for i, f := range l.arrow.Fields() {
		opts = l.columnProperties(opts, f.Name, f.Type, columns[i], false)
	}
	for _, path := range indexed {
		opts = append(opts, parquet.WithDictionaryFor(path, true), parquet.WithDictionaryCostFallbackFor(path, false))
	}
	for path, probability := range l.bloom {
		opts = append(opts, parquet.WithBloomFilterEnabledFor(path, true),
			parquet.WithBloomFilterFPPFor(path, probability), parquet.WithBloomFilterNDVFor(path, max(rows, 1)))
	}
	return parquet.NewWriterProperties(opts...)
}

// columnProperties adds the choices for all leaves under a column whose values are in chunks.
//
// What lists and maps hold gets no statistics and no page index: arrow-go counts an empty list as a null among the values, so
// that it calls a page with one value and one empty list all null, and bounds one without values by the type's extremes.
// Iceberg's own writers leave these bounds out too.
func (l *layout) columnProperties(opts []parquet.WriterProperty, path string, t arrow.DataType, chunks []arrow.Array, repeated bool) []parquet.WriterProperty {
	switch t := t.(type) {
	case *arrow.StructType:
		for i, f := range t.Fields() {
			opts = l.columnProperties(opts, path+"."+f.Name, f.Type, children(chunks, func(a arrow.Array) arrow.Array { return a.(*array.Struct).Field(i) }), repeated)
		}
		return opts
	case *arrow.MapType: // before the list it is built on
		opts = l.columnProperties(opts, path+".key_value.key", t.KeyType(), children(chunks, func(a arrow.Array) arrow.Array { return a.(*array.Map).Keys() }), true)
		return l.columnProperties(opts, path+".key_value.value", t.ItemType(), children(chunks, func(a arrow.Array) arrow.Array { return a.(*array.Map).Items() }), true)
	case *arrow.ListType:
		return l.columnProperties(opts, path+".list.element", t.Elem(), children(chunks, func(a arrow.Array) arrow.Array { return a.(*array.List).ListValues() }), true)
	}
	if repeated {
		opts = append(opts, parquet.WithStatsFor(path, false), parquet.WithPageIndexEnabledFor(path, false))
	}
	dictionary, chosen := l.dictionary[path]
	switch {
	case chosen:
	case l.dictionaryDefault != nil:
		dictionary = *l.dictionaryDefault
	default:
		dictionary = repeats(chunks)
	}
	if dictionary && holdNaN(chunks) {
		dictionary = false // arrow-go's makes one NaN of all, whatever their bits
	}
	opts = append(opts, parquet.WithDictionaryFor(path, dictionary))
	if dictionary {
		opts = append(opts, parquet.WithDictionaryCostFallbackFor(path, !chosen))
	}
	if deltaEncodes(t) {
		opts = append(opts, parquet.WithEncodingFor(path, parquet.Encodings.DeltaBinaryPacked))
	}
	return opts
}

func holdNaN(chunks []arrow.Array) bool {
	for _, c := range chunks {
		switch c := c.(type) {
		case *array.Float32:
			if countNaN(c.Float32Values(), c, nil) > 0 {
				return true
			}
		case *array.Float64:
			if countNaN(c.Float64Values(), c, nil) > 0 {
				return true
			}
		}
	}
	return false
}

func children(chunks []arrow.Array, child func(arrow.Array) arrow.Array) []arrow.Array {
	out := make([]arrow.Array, len(chunks))
	for i, c := range chunks {
		out[i] = child(c)
	}
	return out
}

// deltaEncodes says whether a type's physical values are 32 or 64 bit integers.
func deltaEncodes(t arrow.DataType) bool {
	switch t := t.(type) {
	case *arrow.Int32Type, *arrow.Int64Type, *arrow.Date32Type, *arrow.Time64Type, *arrow.TimestampType:
		return true
	case *arrow.Decimal128Type:
		return t.Precision <= 18
	}
	return false
}

// repeats samples values over the whole of a column and says whether enough of them repeat for a dictionary to pay.
// Values in the middle of a run do not count twice: what is sampled is spread.
func repeats(chunks []arrow.Array) bool {
	total := 0
	for _, c := range chunks {
		total += c.Len()
	}
	if total == 0 {
		return false
	}
	hash := valueHasher(chunks[0])
	if hash == nil {
		return false
	}
	stride := max(total/sampleRows, 1)
	distinct := make(map[uint64]struct{}, min(sampleRows, total))
	sampled, at := 0, 0
	for _, c := range chunks {
		hash = valueHasher(c)
		for ; at < c.Len(); at += stride {
			if c.IsValid(at) {
				distinct[hash(at)] = struct{}{}
				sampled++
			}
		}
		at -= c.Len()
	}
	return sampled > 0 && float64(len(distinct)) <= maxSampledDistinct*float64(sampled)
}

// valueHasher hashes single values, or is nil for a type that never gets a dictionary.
func valueHasher(a arrow.Array) func(int) uint64 {
	switch a := a.(type) {
	case *array.String:
		return func(i int) uint64 { return xxh3.HashString(a.Value(i)) }
	case *array.Binary:
		return func(i int) uint64 { return xxh3.Hash(a.Value(i)) }
	case *array.FixedSizeBinary:
		return func(i int) uint64 { return xxh3.Hash(a.Value(i)) }
	case *array.Decimal128:
		return func(i int) uint64 { v := a.Value(i); return uint64(v.HighBits())*0x9e3779b97f4a7c15 ^ v.LowBits() }
	case array.ExtensionArray:
		return valueHasher(a.Storage())
	case *array.Uint16: // numbers in the place of texts
		return func(i int) uint64 { return uint64(a.Value(i)) }
	case *array.MonthDayNanoInterval: // packed texts
		from := packedValues(a)
		return func(i int) uint64 { return xxh3.Hash(from[packedBytes*i : packedBytes*i+packedBytes]) }
	case *array.Boolean:
		return nil
	}
	if at := int64At(a); at != nil {
		return func(i int) uint64 { return uint64(at(i)) }
	}
	if at := float64At(a); at != nil {
		return func(i int) uint64 { return floatBits(at(i)) }
	}
	return nil
}
