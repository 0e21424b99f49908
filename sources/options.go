package sources

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/sources/lines"
)

// The formats.
const (
	CSV     = "csv"
	NDJSON  = "ndjson"
	Parquet = "parquet"
	Avro    = "avro"
	Text    = "text"
	Binary  = "binary"
)

// What happens to a malformed row.
const (
	Fail       = "fail"
	Drop       = "drop"
	Quarantine = "quarantine"
)

// What happens to a column of a file that the schema does not have.
const (
	Enforce = "enforce"
	Evolve  = "evolve"
	Rescue  = "rescue"
)

// The columns that every file source adds to its rows.
const (
	SourceFileColumn = "_source_file" // string: the file's URI
	SourceRowColumn  = "_source_row"  // long: the record's number in the file, from 1, malformed records counted
	LoadedAtColumn   = "_loaded_at"   // timestamptz: Options.LoadedAt
	// string, in rescue mode: a JSON object of the unknown fields, or null. A known column that has unknown fields
	// inside is in it as a whole.
	RescuedColumn = "_rescued"
)

// Options say how files are read. The zero value of each field but Format is its default.
type Options struct {
	Format      string   // csv | ndjson | parquet | avro | text | binary
	Malformed   string   // fail (default) | drop | quarantine
	SchemaMode  string   // evolve (default) | enforce | rescue
	Delimiter   string   // csv: one character, "," by default
	Quote       string   // csv: one character, `"` by default; "none" switches quoting off
	NoHeader    bool     // csv: the first record is a row; columns are the declared ones in order, then column_N
	NullValues  []string // csv: fields that are null, quoted or not; the empty one and NA by default
	SampleRows  int      // rows of each sampled file that inference reads; 10,000 by default
	SampleFiles int      // files that inference reads rows of; 32 by default
	MaxFileSize int64    // binary: a larger file is a malformed row; 64 MiB by default
	MaxRowSize  int64    // csv, ndjson, text: a longer record is malformed; 16 MiB by default
	HiveColumns bool     // key=value folders of the path become columns

	LoadedAt time.Time        // the value of _loaded_at
	Declared *arrow.Schema    // types that override inferred ones, by column name; for Infer
	Memory   memory.Allocator // of batches; memory.DefaultAllocator by default
}

// Observer is told what a reader meets. Any of its functions may be nil; they are called from the goroutine that
// reads.
type Observer struct {
	// Reject takes a malformed row under the policies drop and quarantine. Its error stops the reading.
	Reject func(Rejected) error
	// NewColumns is told, in evolve mode, of columns that the file has and the schema lacks, with their inferred types;
	// each is told once a file. Their values are not in this reader's rows: whoever wants them opens the file again
	// with a schema that has them. A column that gained nested fields is told whole, with its type extended. CSV, Parquet and Avro tell during Open; NDJSON tells during Open what the file's
	// sample shows and later ones as they are met.
	NewColumns func(fields []arrow.Field)
	// Note is told what a person may want to know: a file of no bytes, for one.
	Note func(note string)
	// Progress is told after each batch how many bytes of the file, as it is stored, have been read so far.
	Progress func(bytes int64)
}

// The defaults of sizes and samples.
const (
	defaultSampleRows  = 10_000
	defaultSampleFiles = 32
	defaultMaxFileSize = 64 << 20
	defaultMaxRowSize  = lines.DefaultMax
)

// MaxColumns bounds the columns of a file: what has more is no table, or is hostile.
const MaxColumns = 20_000

// withDefaults fills in the defaults and checks what was given.
func (o Options) withDefaults() (Options, error) {
	o.Malformed = cmp.Or(o.Malformed, Fail)
	o.SchemaMode = cmp.Or(o.SchemaMode, Evolve)
	o.Delimiter = cmp.Or(o.Delimiter, ",")
	o.Quote = cmp.Or(o.Quote, `"`)
	o.SampleRows = cmp.Or(o.SampleRows, defaultSampleRows)
	o.SampleFiles = cmp.Or(o.SampleFiles, defaultSampleFiles)
	o.MaxFileSize = cmp.Or(o.MaxFileSize, defaultMaxFileSize)
	o.MaxRowSize = cmp.Or(o.MaxRowSize, defaultMaxRowSize)
	if o.NullValues == nil {
		o.NullValues = []string{"", "NA"}
	}
	if o.Memory == nil {
		o.Memory = memory.DefaultAllocator
	}
	return o, o.check()
}

func (o Options) check() error {
	for _, c := range []struct {
		what, value string
		allowed     []string
	}{
		{"format", o.Format, []string{CSV, NDJSON, Parquet, Avro, Text, Binary}},
		{"malformed", o.Malformed, []string{Fail, Drop, Quarantine}},
		{"schema_mode", o.SchemaMode, []string{Enforce, Evolve, Rescue}},
	} {
		if !slices.Contains(c.allowed, c.value) {
			return fmt.Errorf("%s %q is none of %s", c.what, c.value, strings.Join(c.allowed, ", "))
		}
	}
	switch {
	case utf8.RuneCountInString(o.Delimiter) != 1 || !utf8.ValidString(o.Delimiter) || strings.ContainsAny(o.Delimiter, "\r\n"):
		return fmt.Errorf("delimiter %q is not one character", o.Delimiter)
	case o.Quote != noQuote && (len(o.Quote) != 1 || o.Quote[0] >= utf8.RuneSelf || strings.ContainsAny(o.Quote, "\r\n")):
		return fmt.Errorf("quote %q is not one ASCII character, nor %q", o.Quote, noQuote)
	case o.Quote == o.Delimiter:
		return fmt.Errorf("delimiter and quote are both %q", o.Quote)
	case o.SampleRows < 0 || o.SampleFiles < 0 || o.MaxFileSize < 0 || o.MaxRowSize < 0:
		return fmt.Errorf("sample_rows, max_file_size and max_row_size are not negative")
	case o.MaxRowSize > maxRowSize:
		return fmt.Errorf("max_row_size is at most %d bytes: a value must fit into an Arrow array", maxRowSize)
	case o.Format == Binary && o.MaxFileSize > maxRowSize:
		return fmt.Errorf("max_file_size is at most %d bytes: a value must fit into an Arrow array", maxRowSize)
	}
	return nil
}

const (
	noQuote    = "none"
	maxRowSize = 1 << 30
)
