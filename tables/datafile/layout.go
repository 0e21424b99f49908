package datafile

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

const (
	defaultRowGroupRows = 1 << 17
	defaultMemoryLimit  = 256 << 20
	// Pages are smaller than parquet-mr's megabyte: a lookup decodes whole pages, and at 131,072 rows a row group of integers
	// would otherwise be a single one.
	defaultPageBytes = 128 << 10
	// A page's header gives its length in 31 bits, and the last value is put onto a page that was not full before.
	maxPageBytes = 1 << 30
	// A writer with more files than this closes the one it used longest ago: each open file holds a descriptor, or an upload.
	maxOpenFiles = 64
)

// layout is what a table's metadata says about the data files to write.
type layout struct {
	schema    *iceberg.Schema
	arrow     *arrow.Schema
	spec      iceberg.PartitionSpec
	order     table.SortOrder
	version   int
	props     iceberg.Properties
	location  string
	locations table.LocationProvider

	targetBytes   int64
	rowGroupRows  int64
	rowGroupBytes int64
	memoryLimit   int64
	parallelism   int

	codec       compress.Compression
	level       int
	pageBytes   int64
	dictBytes   int64
	pageVersion parquet.DataPageVersion
	// dictionary holds the user's choice for a column (by Parquet path), which outranks ours.
	dictionary        map[string]bool
	dictionaryDefault *bool
	// bloom holds the false-positive probability wanted for each column (by Parquet path) that gets a Bloom filter.
	bloom         map[string]float64
	bloomMaxBytes int64
	keyValues     []keyValue
	// storeSchema puts the Arrow schema into the footer, for types that Parquet's do not tell apart.
	storeSchema bool
}

type keyValue struct{ key, value string }

// newLayout is the layout of the table's data files.
func newLayout(meta table.Metadata, opts WriterOptions) (*layout, error) {
	schema := meta.CurrentSchema()
	if opts.RowLineage {
		if meta.Version() < 3 {
			return nil, fmt.Errorf("format version %d has no row lineage", meta.Version())
		}
		schema = iceberg.SchemaWithRowLineage(schema)
	}
	return newLayoutOf(meta, schema, opts)
}

// newLayoutOf is the layout of files of another schema that lie among the table's data files: its position deletes.
func newLayoutOf(meta table.Metadata, schema *iceberg.Schema, opts WriterOptions) (*layout, error) {
	props := meta.Properties()
	if format := props.Get(table.WriteFormatDefaultKey, "parquet"); !strings.EqualFold(format, "parquet") {
		return nil, fmt.Errorf("write.format.default is %q: only parquet can be written", format)
	}
	l := &layout{
		schema: schema, spec: meta.PartitionSpec(), order: meta.SortOrder(),
		version: meta.Version(), props: props, location: meta.Location(),
	}
	var err error
	if l.arrow, err = arrowSchema(l.schema); err != nil {
		return nil, err
	}
	if l.locations, err = table.LoadLocationProvider(meta.Location(), props); err != nil {
		return nil, fmt.Errorf("location %s: %w", meta.Location(), err)
	}
	if err := l.readSizes(opts); err != nil {
		return nil, err
	}
	if err := l.readEncodings(); err != nil {
		return nil, err
	}
	// Iceberg's own writers leave the schema here; readers that lack a table (DuckDB, parquet tools) show it.
	schemaJSON, err := json.Marshal(l.schema)
	if err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	l.keyValues = []keyValue{{"iceberg.schema", string(schemaJSON)}}
	return l, nil
}

// arrowSchema is the Arrow counterpart of an Iceberg schema, with field ids and without docs, which files do not carry.
func arrowSchema(schema *iceberg.Schema) (*arrow.Schema, error) {
	for _, f := range schema.Fields() {
		if err := checkWritable(f.Name, f.Type); err != nil {
			return nil, err
		}
	}
	out, err := table.SchemaToArrowSchema(schema, nil, true, false)
	if err != nil {
		return nil, fmt.Errorf("arrow schema of table schema %d: %w", schema.ID, err)
	}
	return out, nil
}

func checkWritable(path string, t iceberg.Type) error {
	switch t := t.(type) {
	case *iceberg.StructType:
		for _, f := range t.FieldList {
			if err := checkWritable(path+"."+f.Name, f.Type); err != nil {
				return err
			}
		}
	case *iceberg.ListType:
		return checkWritable(path+".element", t.Element)
	case *iceberg.MapType:
		if err := checkWritable(path+".key", t.KeyType); err != nil {
			return err
		}
		return checkWritable(path+".value", t.ValueType)
	case iceberg.VariantType, iceberg.GeometryType, iceberg.GeographyType, iceberg.UnknownType:
		return fmt.Errorf("column %s: type %s is not supported", path, t)
	}
	return nil
}

func (l *layout) readSizes(opts WriterOptions) error {
	var err error
	read := func(key string, fallback int64) int64 {
		n, e := propertyInt(l.props, key, fallback)
		if e == nil && n <= 0 {
			e = fmt.Errorf("property %s: %d is not a positive number", key, n)
		}
		if e != nil && err == nil {
			err = e
		}
		return n
	}
	l.targetBytes = read(table.WriteTargetFileSizeBytesKey, table.WriteTargetFileSizeBytesDefault)
	l.rowGroupRows = read(table.ParquetRowGroupLimitKey, defaultRowGroupRows)
	l.rowGroupBytes = read(table.ParquetRowGroupSizeBytesKey, table.ParquetRowGroupSizeBytesDefault)
	l.pageBytes = min(read(table.ParquetPageSizeBytesKey, defaultPageBytes), maxPageBytes)
	l.dictBytes = read(table.ParquetDictSizeBytesKey, table.ParquetDictSizeBytesDefault)
	l.bloomMaxBytes = min(max(read(table.ParquetBloomFilterMaxBytesKey, table.ParquetBloomFilterMaxBytesDefault), 32), 128<<20)
	if err != nil {
		return err
	}
	if opts.TargetFileSize > 0 {
		l.targetBytes = opts.TargetFileSize
	}
	if opts.RowGroupRows > 0 {
		l.rowGroupRows = int64(opts.RowGroupRows)
	}
	l.memoryLimit = opts.MemoryLimit
	if l.memoryLimit <= 0 {
		l.memoryLimit = defaultMemoryLimit
	}
	l.parallelism = opts.Parallelism
	if l.parallelism <= 0 {
		l.parallelism = runtime.GOMAXPROCS(0)
	}
	// One row group fills while as many as there are slots are encoded.
	l.rowGroupBytes = min(l.rowGroupBytes, max(l.memoryLimit/int64(l.parallelism+2), 1<<20))
	return nil
}

func propertyInt(props iceberg.Properties, key string, fallback int64) (int64, error) {
	text, ok := props[key]
	if !ok {
		return fallback, nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("property %s: %q is not a whole number", key, text)
	}
	return n, nil
}
