// Package sources reads files of the outer world into Arrow record batches.
//
// A [Store] lists and opens files; [Infer] finds their schema from samples; [Open] streams one file's rows; a
// [FileSet] remembers which files were loaded already. Nothing is read whole: memory is bounded by batches and by
// Options.MaxRowSize, whatever the size of a file.
//
// Formats are CSV, NDJSON, Parquet, Avro, text (a line a row) and binary (a file a row). CSV, NDJSON, text and Avro
// files may be compressed, by suffix: .gz (also of several members) and .zst.
//
// A row that does not read is the data's fault and goes by policy: fail ([MalformedError]), drop or quarantine
// ([Observer].Reject). A file that does not read is a [BrokenFileError] as a whole.
package sources
