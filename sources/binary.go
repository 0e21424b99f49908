package sources

import (
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// binarySchema are the columns of binary files: Spark's, by shorter names.
var binarySchema = []arrow.Field{
	{Name: "path", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "modified", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true},
	{Name: "size", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "content", Type: arrow.BinaryTypes.Binary, Nullable: true},
}

// binaryReader makes one row of a file.
type binaryReader struct {
	in     *input
	rows   *rows
	faults *faults
	limit  int64
	absent map[int]bool
	done   bool
}

func newBinaryReader(in *input, l *layout, opts Options, observer Observer) (batches, error) {
	b := &binaryReader{in: in, limit: opts.MaxFileSize, faults: newFaults(in.file, opts, observer), absent: map[int]bool{}}
	if l.rescue >= 0 {
		b.absent[l.rescue] = true
	}
	for _, i := range l.data {
		f := l.slots[i].field
		b.absent[i] = true
		for _, own := range binarySchema {
			if own.Name != f.Name {
				continue
			}
			if !arrow.TypeEqual(own.Type, f.Type) {
				return nil, &SchemaError{File: in.file.URI, Columns: []string{f.Name}, Reason: fmt.Sprintf("column %q of a binary file is a %s", f.Name, own.Type)}
			}
			delete(b.absent, i)
		}
	}
	b.rows = newRows(l)
	return b, nil
}

func (b *binaryReader) close() { b.rows.close() }

func (b *binaryReader) next() (arrow.RecordBatch, error) {
	if b.done {
		return nil, io.EOF
	}
	b.done = true
	size := b.in.file.Size
	if size > b.limit {
		reason := fmt.Sprintf("the file has %d bytes, more than %d", size, b.limit)
		if err := b.faults.row(Rejected{Row: 1, Reason: reason}, nil); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	for i, builder := range b.rows.builders {
		if builder == nil || b.absent[i] {
			continue
		}
		if err := b.value(builder, b.rows.layout.slots[i].field.Name); err != nil {
			return nil, err
		}
	}
	b.rows.end(1, int(size))
	return b.rows.batch(b.absent)
}

func (b *binaryReader) value(builder array.Builder, name string) error {
	switch name {
	case "path":
		builder.(*array.StringBuilder).Append(b.in.file.URI)
	case "modified":
		builder.(*array.TimestampBuilder).Append(arrow.Timestamp(b.in.file.ModTime.UnixMicro()))
	case "size":
		builder.(*array.Int64Builder).Append(b.in.file.Size)
	case "content":
		content := make([]byte, b.in.file.Size)
		if _, err := io.ReadFull(b.in, content); err != nil {
			return b.in.broken("read", err)
		}
		builder.(*array.BinaryBuilder).Append(content)
	}
	return nil
}
