package datafile

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

// Carrier writes data files anew in which some rows changed, and copies as bytes what it can: row groups in which nothing
// changes, and in the others the column chunks in which nothing does. Any number of goroutines may use one.
//
// A column of a file is copied only if the file stores it as the table's writer would today: same path, physical and logical
// type, nullability and field ids, also below it. All others have to be given as values.
type Carrier struct {
	layout *layout
	fs     iceio.WriteFileIO
	prefix string
	// template is the footer of a file of the layout that has one row group; each row group made begins as a copy of it.
	template []byte
	shape    *metadata.FileMetaData
	leaves   []leafRange // of each top-level column
	sources  map[int][]boundField
	sorts    []int
}

// leafRange are the Parquet columns of a top-level column: from before to.
type leafRange struct{ from, to int }

// NewCarrier returns a Carrier for the table that meta describes. Of opts, sizes, Prefix and RowLineage count.
func NewCarrier(ctx context.Context, meta table.Metadata, fs iceio.WriteFileIO, opts WriterOptions) (*Carrier, error) {
	l, err := newLayout(meta, opts)
	if err != nil {
		return nil, fmt.Errorf("rewrite data files: %w", err)
	}
	template, err := l.template()
	if err != nil {
		return nil, fmt.Errorf("rewrite data files: %w", err)
	}
	shape, err := metadata.NewFileMetaData(template, nil)
	if err != nil {
		return nil, fmt.Errorf("rewrite data files: %w", err)
	}
	c := &Carrier{layout: l, fs: fs, prefix: opts.Prefix, template: template, shape: shape, sources: map[int][]boundField{}}
	c.leaves = leafRanges(shape)
	if err := c.bindPartition(); err != nil {
		return nil, fmt.Errorf("rewrite data files: %w", err)
	}
	if !l.order.IsUnsorted() {
		for _, f := range l.order.Fields() {
			for _, id := range f.SourceIDs {
				if path, _, ok := pathTo(l.schema, id); ok {
					c.sorts = append(c.sorts, path[0])
				}
			}
		}
	}
	return c, nil
}

// leafRanges are those of a file's top-level fields, in order.
func leafRanges(meta *metadata.FileMetaData) []leafRange {
	out := make([]leafRange, meta.Schema.Root().NumFields())
	for leaf := range meta.Schema.NumColumns() {
		i := meta.Schema.Root().FieldIndexByField(meta.Schema.ColumnRoot(leaf))
		if out[i].to == 0 {
			out[i].from = leaf
		}
		out[i].to = leaf + 1
	}
	return out
}

func (c *Carrier) bindPartition() error {
	for i := range c.layout.spec.NumFields() {
		f := c.layout.spec.Field(i)
		if _, void := f.Transform.(iceberg.VoidTransform); void {
			continue
		}
		for _, id := range f.SourceIDs {
			path, _, ok := pathTo(c.layout.schema, id)
			if !ok {
				return fmt.Errorf("partition field %s: its source column is not in the schema", f.Name)
			}
			alone := iceberg.NewSchema(0, c.layout.schema.Field(path[0]))
			bound, err := bindField(alone, f.SourceIDs, f.Transform)
			if err != nil {
				return fmt.Errorf("partition field %s: %w", f.Name, err)
			}
			c.sources[path[0]] = append(c.sources[path[0]], bound)
		}
	}
	return nil
}

// SortColumns are the table's top-level columns that its sort order is made of, by index. A file in which one of their values
// changes does not keep its order.
func (c *Carrier) SortColumns() []int { return c.sorts }

// Partitions tells whether the partition that a row lies in depends on a top-level column, by index.
func (c *Carrier) Partitions(column int) bool { return len(c.sources[column]) > 0 }

// Moves sets moved[i] where value i of fresh puts its row into another partition than value i of old does. Both are of the
// table's top-level column of the index given.
func (c *Carrier) Moves(column int, old, fresh arrow.Array, moved []bool) {
	alone := func(a arrow.Array) arrow.RecordBatch {
		schema := arrow.NewSchema([]arrow.Field{{Name: "value", Type: a.DataType(), Nullable: true}}, nil)
		return array.NewRecordBatch(schema, []arrow.Array{a}, int64(a.Len()))
	}
	before, after := alone(old), alone(fresh)
	defer before.Release()
	defer after.Release()
	var a, b []byte
	for _, f := range c.sources[column] {
		from, to := f.over(before), f.over(after)
		for i := range moved {
			switch {
			case moved[i]:
			case from.null(i) || to.null(i):
				moved[i] = from.null(i) != to.null(i)
			default:
				a, b = from.appendKey(a[:0], i), to.appendKey(b[:0], i)
				moved[i] = string(a) != string(b)
			}
		}
	}
}

// blank is the description of one row group, to be filled.
func (c *Carrier) blank() (*metadata.FileMetaData, error) {
	return metadata.NewFileMetaData(c.template, nil)
}

// Open opens a data file to be written anew. It is nil, without an error, if the file is not one to copy bytes of: it is
// partitioned or sorted otherwise than the table is now, encrypted, written by something whose pages readers have to know,
// made of row groups too small to keep, or stores no column as the table does.
func (c *Carrier) Open(ctx context.Context, df iceberg.DataFile) (*Carried, error) {
	if df.FileFormat() != iceberg.ParquetFile || int(df.SpecID()) != c.layout.spec.ID() || !c.keepsOrder(df) {
		return nil, nil
	}
	source, err := c.fs.Open(df.FilePath())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", df.FilePath(), err)
	}
	f := &Carried{carrier: c, ctx: ctx, df: df, source: source, id: uuid.NewString()}
	fits := false
	err = protect(func() (err error) {
		if err = f.readFooter(); err == nil {
			fits, err = f.match()
		}
		return err
	})
	if err == nil && fits {
		return f, nil
	}
	err = errors.Join(err, source.Close())
	if err != nil {
		err = fmt.Errorf("read %s: %w", df.FilePath(), err)
	}
	return nil, err
}

// keepsOrder says whether a file is in the order that the table wants of its files.
func (c *Carrier) keepsOrder(df iceberg.DataFile) bool {
	if c.layout.order.IsUnsorted() {
		return true
	}
	id := df.SortOrderID()
	return id != nil && *id == c.layout.order.OrderID()
}
