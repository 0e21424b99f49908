package sources

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/sources/sniff"
)

// Open streams the rows of one file, in the columns of schema and in their order. Columns are matched by name; one
// that the file lacks is null, metadata columns (see [SourceFileColumn]) are filled where the schema has them. The
// error, and the reader's Err, is a *MalformedError, *BrokenFileError, *SchemaError, what the observer returned, or a
// passing fault of the store.
func Open(ctx context.Context, store Store, file File, schema *arrow.Schema, opts Options, observer Observer) (array.RecordReader, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file.URI, err)
	}
	in, err := openFile(ctx, store, file)
	if err != nil {
		return nil, err
	}
	source, err := openBatches(ctx, store, in, schema, opts, observer)
	if err != nil {
		if changed := in.verify("changed while it was read"); changed != nil {
			err = changed
		}
		in.Close()
		return nil, err
	}
	return newReader(ctx, schema, in, source, observer), nil
}

func openFile(ctx context.Context, store Store, file File) (*input, error) {
	content, err := store.Open(ctx, file.URI)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &BrokenFileError{File: file.URI, Reason: "is gone since it was listed", Err: ErrChanged}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file.URI, err)
	}
	return openInput(file, content)
}

func openBatches(ctx context.Context, store Store, in *input, schema *arrow.Schema, opts Options, observer Observer) (source batches, err error) {
	defer guard(in, &err)
	l, err := newLayout(in.file, schema, opts)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	switch opts.Format {
	case CSV:
		return newCSVReader(in, l, opts, observer, tellSniffed(ctx, store, in.file, opts, observer))
	case NDJSON:
		return openNDJSON(ctx, store, in, l, opts, observer)
	case Parquet:
		return newParquetReader(ctx, in, l, opts, observer, observer.NewColumns)
	case Avro:
		return newAvroReader(in, l, opts, observer, observer.NewColumns)
	case Text:
		return newTextReader(in, l, opts, observer)
	}
	return newBinaryReader(in, l, opts, observer)
}

// tellSniffed reports new columns of a file with the types that a sample of it shows.
func tellSniffed(ctx context.Context, store Store, file File, opts Options, observer Observer) func([]string) error {
	if observer.NewColumns == nil {
		return nil
	}
	return func(names []string) error {
		fields, err := sample(ctx, store, file, opts)
		if err != nil {
			return err
		}
		added := &sniff.Fields{}
		for _, name := range names {
			added.Get(name).Merge(fields.Get(name))
		}
		observer.NewColumns(declare(fieldsOf(added), opts.Declared))
		return nil
	}
}

// openNDJSON reads a sample first when somebody wants to hear of new columns early.
func openNDJSON(ctx context.Context, store Store, in *input, l *layout, opts Options, observer Observer) (batches, error) {
	if opts.SchemaMode != Evolve || observer.NewColumns == nil {
		return newNDJSONReader(in, l, opts, observer, nil)
	}
	unknown := newUnknownFields(in.file, l.schema, func(fields []arrow.Field) {
		observer.NewColumns(declare(fields, opts.Declared))
	})
	if err := sampleUnknown(ctx, store, in.file, l.schema, opts, unknown); err != nil {
		return nil, err
	}
	return newNDJSONReader(in, l, opts, observer, unknown)
}

func sampleUnknown(ctx context.Context, store Store, file File, schema *arrow.Schema, opts Options, unknown *unknownFields) error {
	in, err := openFile(ctx, store, file)
	if err != nil {
		return err
	}
	opts.Malformed = Drop
	l, err := newLayout(file, schema, opts)
	if err != nil {
		in.Close()
		return err
	}
	source, err := newNDJSONReader(in, l, opts, Observer{}, unknown)
	if err != nil {
		in.Close()
		return err
	}
	source.limit = int64(opts.SampleRows)
	r := newReader(ctx, schema, in, source, Observer{})
	defer r.Release()
	for r.Next() {
	}
	return r.Err()
}

// declare gives fields their declared types.
func declare(fields []arrow.Field, declared *arrow.Schema) []arrow.Field {
	if declared == nil {
		return fields
	}
	for i, f := range fields {
		if same, ok := declared.FieldsByName(f.Name); ok {
			fields[i].Type = columntype.Storable(same[0].Type)
		}
	}
	return fields
}
