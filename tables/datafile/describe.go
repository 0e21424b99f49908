package datafile

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

const fieldIDKey = table.ArrowParquetFieldIDKey

// described is what the writer knows of a finished file beyond its footer.
type described struct {
	uri         string
	size        int64
	footer      *metadata.FileMetaData
	partition   map[int]any
	sortOrderID int
	nans        map[int]int64
}

// describe makes the manifest's entry of a data file from its footer.
func (l *layout) describe(d described) (iceberg.DataFile, error) {
	df, err := table.DataFileFromMetadata(table.DataFileArgs{
		Schema: l.schema, Spec: l.spec, Format: iceberg.ParquetFile, Metadata: d.footer, FilePath: d.uri, FileSize: d.size,
		Content: iceberg.EntryContentData, PartitionValues: d.partition, SortOrderID: d.sortOrderID,
		Properties: l.props, FormatVersion: l.version,
	})
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", d.uri, err)
	}
	return l.amend(df, d)
}

// amend adds what DataFileFromMetadata lacks, counts of NaNs, and takes back what it gets wrong: bounds of a column of which
// some row group has no statistics (Parquet leaves out minima and maxima above some size) bound only the other row groups,
// counts of a column without statistics are the first row group's, and an absent partition value it would infer from bounds.
func (l *layout) amend(df iceberg.DataFile, d described) (iceberg.DataFile, error) {
	unbounded, err := columnsWithoutBounds(d.footer)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", d.uri, err)
	}
	lower, upper := df.LowerBoundValues(), df.UpperBoundValues()
	for id := range unbounded {
		delete(lower, id)
		delete(upper, id)
	}
	sizes, values, nulls := df.ColumnSizes(), df.ValueCounts(), df.NullValueCounts()
	if err := countRepeated(d.footer, sizes, values, nulls); err != nil {
		return nil, fmt.Errorf("describe %s: %w", d.uri, err)
	}
	partition := map[int]any{}
	for i := range l.spec.NumFields() {
		id := l.spec.Field(i).FieldID
		partition[id] = d.partition[id]
	}
	b, err := iceberg.NewDataFileBuilder(l.spec, df.ContentType(), df.FilePath(), df.FileFormat(), partition,
		partitionLogicalTypes(l.schema, l.spec), nil, df.Count(), df.FileSizeBytes())
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", d.uri, err)
	}
	counts := maps.Clone(d.nans)
	for id := range counts {
		if _, counted := values[id]; !counted { // metrics of this column are off
			delete(counts, id)
		}
	}
	b.ColumnSizes(sizes).ValueCounts(values).NullValueCounts(nulls).
		NaNValueCounts(counts).LowerBoundValues(lower).UpperBoundValues(upper).SplitOffsets(df.SplitOffsets())
	if d.sortOrderID != table.UnsortedSortOrderID {
		b.SortOrderID(d.sortOrderID)
	}
	return b.Build(), nil
}

// partitionLogicalTypes are the Avro logical types of partition values, which the manifest writer needs to encode them.
func partitionLogicalTypes(schema *iceberg.Schema, spec iceberg.PartitionSpec) map[int]string {
	out := map[int]string{}
	for i := range spec.NumFields() {
		f := spec.Field(i)
		source, ok := schema.FindTypeByID(f.SourceID())
		if !ok {
			continue
		}
		switch f.Transform.ResultType(source).(type) {
		case iceberg.DateType:
			out[f.FieldID] = "date"
		case iceberg.TimeType:
			out[f.FieldID] = "time-micros"
		case iceberg.TimestampType, iceberg.TimestampTzType:
			out[f.FieldID] = "timestamp-micros"
		case iceberg.DecimalType:
			out[f.FieldID] = "decimal"
		case iceberg.UUIDType:
			out[f.FieldID] = "uuid"
		}
	}
	return out
}

// columnsWithoutBounds are the field ids of columns with values but without a minimum in some row group.
func columnsWithoutBounds(meta *metadata.FileMetaData) (map[int]bool, error) {
	out := map[int]bool{}
	for i := range meta.NumRowGroups() {
		rg := meta.RowGroup(i)
		for c := range rg.NumColumns() {
			chunk, err := rg.ColumnChunk(c)
			if err != nil {
				return nil, err
			}
			stats, err := chunk.Statistics()
			if err != nil {
				return nil, err
			}
			switch {
			case stats == nil:
			case stats.HasMinMax() || stats.HasNullCount() && stats.NullCount() == chunk.NumValues():
				continue
			}
			switch meta.Schema.Column(c).PhysicalType().String() {
			case "FLOAT", "DOUBLE": // only NaNs, which bounds leave out
				if stats != nil {
					continue
				}
			}
			out[int(meta.Schema.Column(c).SchemaNode().FieldID())] = true
		}
	}
	return out, nil
}

// countRepeated counts what lists and maps hold, which has no statistics: see columnProperties.
func countRepeated(meta *metadata.FileMetaData, sizes, values, nulls map[int]int64) error {
	for c := range meta.Schema.NumColumns() {
		if meta.Schema.Column(c).MaxRepetitionLevel() == 0 {
			continue
		}
		id := int(meta.Schema.Column(c).SchemaNode().FieldID())
		delete(nulls, id)
		var size, count int64
		for i := range meta.NumRowGroups() {
			chunk, err := meta.RowGroup(i).ColumnChunk(c)
			if err != nil {
				return err
			}
			size, count = size+chunk.TotalCompressedSize(), count+chunk.NumValues()
		}
		if _, counted := sizes[id]; counted {
			sizes[id] = size
		}
		if _, counted := values[id]; counted {
			values[id] = count
		}
	}
	return nil
}

// countNaNs counts NaNs by field id. Elements of lists and maps are left out, as Iceberg's own writers do.
func countNaNs(schema *arrow.Schema, columns [][]arrow.Array) map[int]int64 {
	out := map[int]int64{}
	for i, f := range schema.Fields() {
		for _, chunk := range columns[i] {
			countFieldNaNs(out, f, chunk, nil)
		}
	}
	return out
}

func countFieldNaNs(out map[int]int64, f arrow.Field, a arrow.Array, live func(int) bool) {
	switch a := a.(type) {
	case *array.Float32:
		out[arrowFieldID(f)] += countNaN(a.Float32Values(), a, live)
	case *array.Float64:
		out[arrowFieldID(f)] += countNaN(a.Float64Values(), a, live)
	case *array.Struct:
		alive := func(i int) bool { return a.IsValid(i) && (live == nil || live(i)) }
		for i, child := range a.DataType().(*arrow.StructType).Fields() {
			countFieldNaNs(out, child, a.Field(i), alive)
		}
	}
}

func countNaN[T float32 | float64](values []T, a arrow.Array, live func(int) bool) int64 {
	n := int64(0)
	for i, v := range values {
		if v != v && a.IsValid(i) && (live == nil || live(i)) {
			n++
		}
	}
	return n
}

// arrowFieldID is the field id in an Arrow field's metadata, or -1.
func arrowFieldID(f arrow.Field) int {
	if text, ok := f.Metadata.GetValue(fieldIDKey); ok {
		if id, err := strconv.Atoi(text); err == nil {
			return id
		}
	}
	return -1
}
