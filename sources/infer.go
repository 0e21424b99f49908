package sources

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/sources/conform"
	"github.com/varve-lake/varve/sources/sniff"
)

// ErrNoFiles is returned by Infer when there is neither a file to look at nor a declared column.
var ErrNoFiles = errors.New("there is no file to infer a schema from, and no column is declared")

// maxHeaders bounds how many files Infer opens for their columns' names alone.
const maxHeaders = 1000

// Infer finds the schema of files: the columns of the samples in the order of first appearance, then those of the
// path (Options.HiveColumns), then the metadata columns. The same files and options give the same schema. Types
// declared by Options.Declared hold whatever the samples say; a declared column that no sample has is not added,
// except that without files the schema is the declared one.
//
// Rows are sampled of Options.SampleFiles files, evenly chosen. In evolve mode up to a thousand more are opened for the
// names of their columns, and those with new ones are sampled too. (NDJSON has no header: there the samples must do.)
//
// A file that does not read says nothing, as long as another one does: its fault is for Open to report.
func Infer(ctx context.Context, store Store, files []File, opts Options) (*arrow.Schema, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("infer a schema: %w", err)
	}
	fields, err := inferFields(ctx, store, files, opts)
	if err != nil {
		return nil, err
	}
	if opts.HiveColumns {
		fields = withHive(fields, files)
	}
	if err := convertible(fields, opts.Declared); err != nil {
		return nil, err
	}
	fields = declare(fields, opts.Declared)
	if err := storable(fields); err != nil {
		return nil, err
	}
	for i := range fields {
		fields[i].Nullable = true
	}
	return arrow.NewSchema(append(fields, metadataFields(opts)...), nil), nil
}

func inferFields(ctx context.Context, store Store, files []File, opts Options) ([]arrow.Field, error) {
	switch opts.Format {
	case Text:
		return []arrow.Field{{Name: valueColumn, Type: arrow.BinaryTypes.String}}, nil
	case Binary:
		return append([]arrow.Field(nil), binarySchema...), nil
	}
	if len(files) == 0 {
		if opts.Declared == nil || opts.Declared.NumFields() == 0 {
			return nil, ErrNoFiles
		}
		return append([]arrow.Field(nil), opts.Declared.Fields()...), nil
	}
	if opts.Format == Parquet || opts.Format == Avro {
		return inferTyped(ctx, store, files, opts)
	}
	return inferText(ctx, store, files, opts)
}

// metadataFields are the columns that every file source adds.
func metadataFields(opts Options) []arrow.Field {
	fields := []arrow.Field{
		{Name: SourceFileColumn, Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: SourceRowColumn, Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: LoadedAtColumn, Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true},
	}
	if opts.SchemaMode == Rescue {
		fields = append(fields, arrow.Field{Name: RescuedColumn, Type: arrow.BinaryTypes.String, Nullable: true})
	}
	return fields
}

// spread chooses count of n evenly, the first and the last among them.
func spread(n, count int) map[int]bool {
	chosen := map[int]bool{}
	if count >= n {
		count = n
	}
	for i := range count {
		if count == 1 {
			chosen[n-1] = true // the newest, by name
		} else {
			chosen[i*(n-1)/(count-1)] = true
		}
	}
	return chosen
}

// inferText merges what the samples of CSV or NDJSON files show.
func inferText(ctx context.Context, store Store, files []File, opts Options) ([]arrow.Field, error) {
	all := &sniff.Fields{}
	seen := map[string]bool{}
	passed := &passedOver{}
	sampled, opened := spread(len(files), opts.SampleFiles), map[int]bool{}
	if opts.Format == CSV && opts.SchemaMode == Evolve {
		opened = spread(len(files), maxHeaders)
	}
	for i, f := range files {
		if !sampled[i] && !passed.only() {
			if !opened[i] {
				continue
			}
			names, err := headerOf(ctx, store, f, opts)
			if err = passed.over(err, len(names)); err != nil {
				return nil, err
			}
			if !anyNew(names, seen) {
				continue
			}
		}
		fields, err := sample(ctx, store, f, opts)
		if fields == nil {
			fields = &sniff.Fields{}
		}
		if err = passed.over(err, len(fields.Names)); err != nil {
			return nil, err
		}
		all.Merge(fields)
		for _, name := range fields.Names {
			seen[name] = true
		}
	}
	if passed.only() {
		return nil, passed.first
	}
	if len(all.Names) > MaxColumns {
		return nil, &SchemaError{Reason: fmt.Sprintf("the files have %d different columns, more than %d", len(all.Names), MaxColumns)}
	}
	return fieldsOf(all), nil
}

// passedOver remembers the files that inference could not look at, while there may be others.
type passedOver struct {
	first error // of a file that does not read
	sound bool  // another had columns
}

// over takes what came of looking at a file: the error is nil if inference can go on to the next.
func (p *passedOver) over(err error, columns int) error {
	if err == nil {
		p.sound = p.sound || columns > 0
		return nil
	}
	var refused *SchemaError
	if !errors.As(err, new(*BrokenFileError)) && (!errors.As(err, &refused) || refused.File == "") {
		return err
	}
	if p.first == nil {
		p.first = err
	}
	return nil
}

// only tells whether there are faults and no columns yet.
func (p *passedOver) only() bool { return p.first != nil && !p.sound }

func anyNew(names []string, seen map[string]bool) bool {
	for _, name := range names {
		if !seen[name] {
			return true
		}
	}
	return false
}

// inferTyped merges the schemas that Parquet and Avro files carry.
func inferTyped(ctx context.Context, store Store, files []File, opts Options) ([]arrow.Field, error) {
	opened := spread(len(files), opts.SampleFiles)
	if opts.SchemaMode == Evolve {
		opened = spread(len(files), max(maxHeaders, opts.SampleFiles))
	}
	passed := &passedOver{}
	var all []arrow.Field
	for i, f := range files {
		if !opened[i] && !passed.only() {
			continue
		}
		fields, err := typedFields(ctx, store, f, opts)
		if err = passed.over(err, len(fields)); err != nil {
			return nil, err
		}
		all = sniff.WidenFields(all, fields)
	}
	if passed.only() {
		return nil, passed.first
	}
	return all, nil
}

// typedFields are the columns that a file's own schema says.
func typedFields(ctx context.Context, store Store, f File, opts Options) ([]arrow.Field, error) {
	in, err := openFile(ctx, store, f)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var fields []arrow.Field
	if opts.Format == Avro {
		_, _, fields, err = openAvro(in)
	} else {
		fields, err = parquetFields(in, opts)
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].Name
		if fields[i].Type.ID() == arrow.NULL {
			fields[i].Type = arrow.BinaryTypes.String
		}
		fields[i] = arrow.Field{Name: names[i], Type: columntype.Storable(fields[i].Type), Nullable: true}
	}
	return fields, checkNames(f, names)
}

func parquetFields(in *input, opts Options) ([]arrow.Field, error) {
	_, a, fields, err := openParquet(in, opts)
	if err != nil {
		return nil, err
	}
	return meantByParquet(a, fields), nil
}

// storable checks that a table can hold the columns.
func storable(fields []arrow.Field) error {
	for _, f := range fields {
		if _, err := columntype.Format(f.Type); err != nil {
			return &SchemaError{Columns: []string{f.Name}, Reason: fmt.Sprintf("column %q: %v", f.Name, err)}
		}
	}
	return nil
}

// convertible checks that values of the columns found can become what is declared.
func convertible(fields []arrow.Field, declared *arrow.Schema) error {
	if declared == nil {
		return nil
	}
	for _, f := range fields {
		want, ok := declared.FieldsByName(f.Name)
		if !ok || f.Type.ID() == arrow.STRING { // a text may hold anything
			continue
		}
		if _, err := conform.New(f.Type, want[0].Type); err != nil {
			return &SchemaError{Columns: []string{f.Name}, Reason: fmt.Sprintf("column %q: %v", f.Name, err)}
		}
	}
	return nil
}

// withHive puts the columns of the paths behind those of the files. One that is in both is the path's.
func withHive(fields []arrow.Field, files []File) []arrow.Field {
	found := &sniff.Fields{}
	for _, f := range files {
		for _, part := range hiveOrder(f.URI) {
			column := found.Get(part[0])
			if value := hiveValue(part[1]); value != nil {
				column.Text(value)
			}
		}
	}
	kept := fields[:0:0]
	for _, f := range fields {
		if !found.Has(f.Name) {
			kept = append(kept, f)
		}
	}
	return append(kept, fieldsOf(found)...)
}
