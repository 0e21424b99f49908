package datafile

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
)

// boundField is a partition or sort field bound to where its source lies in a batch.
type boundField struct {
	path fieldPath
	bind func(arrow.Array, func(int) bool) keyColumn
}

func (f boundField) over(batch arrow.RecordBatch) keyColumn {
	if f.path == nil { // void over a column since dropped
		return f.bind(nil, nil)
	}
	column, null := f.path.resolve(batch)
	return f.bind(column, null)
}

func bindField(schema *iceberg.Schema, sources []int, transform iceberg.Transform) (boundField, error) {
	if len(sources) != 1 {
		return boundField{}, fmt.Errorf("transform %s of %d columns is not supported", transform, len(sources))
	}
	path, field, ok := pathTo(schema, sources[0])
	if !ok {
		if _, void := transform.(iceberg.VoidTransform); !void {
			return boundField{}, fmt.Errorf("source column %d of transform %s is not in the schema", sources[0], transform)
		}
	}
	bind, err := bindTransform(transform, field.Type)
	if err != nil {
		return boundField{}, fmt.Errorf("column %s: %w", field.Name, err)
	}
	return boundField{path: path, bind: bind}, nil
}

// partitioner splits batches by a partition spec.
type partitioner struct {
	spec   iceberg.PartitionSpec
	schema *iceberg.Schema
	fields []boundField
	groups map[string]*partition
	order  []*partition // in order of first appearance, so that the same rows give the same files
	rows   map[*partition][]int32
	key    []byte
}

// partition is the rows of one partition that wait to be written, and the file they go to.
type partition struct {
	values map[int]any // by partition field id; a null partition value is absent
	path   string      // "day=2026-01-01/", or empty

	batches []arrow.RecordBatch
	rows    int64
	bytes   int64
	keyed   int64 // bytes that sorting the rows will take

	file     *outFile
	lastUsed int64
}

func newPartitioner(schema *iceberg.Schema, spec iceberg.PartitionSpec) (*partitioner, error) {
	p := &partitioner{spec: spec, schema: schema, groups: map[string]*partition{}, rows: map[*partition][]int32{}}
	for i := range spec.NumFields() {
		f := spec.Field(i)
		bound, err := bindField(schema, f.SourceIDs, f.Transform)
		if err != nil {
			return nil, fmt.Errorf("partition field %s: %w", f.Name, err)
		}
		p.fields = append(p.fields, bound)
	}
	if len(p.fields) == 0 {
		only := &partition{}
		p.groups[""], p.order = only, []*partition{only}
	}
	return p, nil
}

// split calls each with the rows of the batch that belong to a partition, in order of their first appearance in it. rows is
// nil when that is all of them.
func (p *partitioner) split(batch arrow.RecordBatch, each func(*partition, []int32) error) error {
	if len(p.fields) == 0 {
		return each(p.order[0], nil)
	}
	columns := make([]keyColumn, len(p.fields))
	for i, f := range p.fields {
		columns[i] = f.over(batch)
	}
	var seen []*partition
	var current *partition
	var previous []byte
	for row := range int(batch.NumRows()) {
		key := p.key[:0]
		for _, c := range columns {
			if c.null(row) {
				key = append(key, 0)
			} else {
				key = c.appendKey(append(key, 1), row)
			}
		}
		p.key = key
		if current == nil || string(key) != string(previous) {
			previous = append(previous[:0], key...)
			current = p.groups[string(key)]
			if current == nil {
				var err error
				if current, err = p.add(string(key), columns, row); err != nil {
					return err
				}
			}
			if len(p.rows[current]) == 0 {
				seen = append(seen, current)
			}
		}
		p.rows[current] = append(p.rows[current], int32(row))
	}
	for _, part := range seen {
		rows := p.rows[part]
		p.rows[part] = rows[:0]
		if len(rows) == int(batch.NumRows()) {
			rows = nil
		}
		if err := each(part, rows); err != nil {
			return err
		}
	}
	return nil
}

func (p *partitioner) add(key string, columns []keyColumn, row int) (*partition, error) {
	part := &partition{values: map[int]any{}}
	record := make(partitionRecord, len(columns))
	for i, c := range columns {
		if !c.null(row) {
			record[i] = c.value(row)
			part.values[p.spec.Field(i).FieldID] = record[i]
		}
	}
	part.path = p.spec.PartitionToPath(record, p.schema) + "/"
	p.groups[key] = part
	p.order = append(p.order, part)
	return part, nil
}

// partitionRecord is a tuple of partition values, as iceberg-go formats them into paths.
type partitionRecord []any

func (r partitionRecord) Size() int          { return len(r) }
func (r partitionRecord) Get(pos int) any    { return r[pos] }
func (r partitionRecord) Set(pos int, v any) { r[pos] = v }
