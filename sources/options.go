package sources

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
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
	RescuedColumn    = "_rescued"     // string: a JSON object of the unknown fields, or null; in rescue mode
)

// Options say how files are read. The zero value of each field but Format is its default.
type Options struct {
	Format      string // csv | ndjson | parquet | avro | text | binary
	Malformed   string // fail (default) | drop | quarantine
	SchemaMode  string // evolve (default) | enforce | rescue
	Delimiter   string // csv: one character, "," by default
	Quote       string // csv: one character, `"` by default; "none" switches quoting off
	NoHeader    bool   // csv: the first record is a row; columns are the declared ones in order, then column_N
	NullValues  []string
	SampleRows  int   // rows of each sampled file that inference reads; 10,000 by default
	SampleFiles int   // files that inference reads rows of; 32 by default
	MaxFileSize int64 // binary: a larger file is a malformed row; 64 MiB by default
	MaxRowSize  int64 // csv, ndjson, text: a longer record is malformed; 16 MiB by default
	HiveColumns bool  // key=value folders of the path become columns

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
	// with a schema that has them. CSV, Parquet and Avro tell during Open; NDJSON tells during Open what the file's
	// sample shows and later ones as they are met.
	NewColumns func(fields []arrow.Field)
	// Note is told what a person may want to know: a file of no bytes, for one.
	Note func(note string)
	// Progress is told after each batch how many bytes of the file, as it is stored, have been read so far.
	Progress func(bytes int64)
}
