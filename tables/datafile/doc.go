// Package datafile reads and writes the Parquet files of Iceberg tables.
//
// Writer turns a stream of Arrow batches into data files in a table's layout: split by partition, sorted, rolled at the
// target size, with encodings chosen by column. Reader gives one file's rows projected to a schema by field id, with their
// positions. Deletes, WritePositionDeletes and WriteDeletionVectors are the row-level deletes of format versions 2 and 3. Scan
// reads many files in parallel, in order, with their deletes applied, also the equality deletes of other engines. WriteRows
// and OpenRows are plain Parquet for staging, outside of any table.
//
// Nothing here commits: a data file is only bytes and a description until tables/commit makes it part of a snapshot. Its bytes
// are on disk when it is described.
//
// A row's way out: conform (the table's types) -> partition -> buffer -> order, or spilled runs -> merge -> fragment (a row group, encoded on any
// core) -> assemble (row groups behind each other, in order) -> describe. Rows that are sorted have short codes in the place of some texts until
// they are encoded (textCodes). And back: prune (which rows may matter) -> cursor (one
// column of a row group) -> promote and projection (the schema's types) -> window (a batch of the rows wanted). A file of which
// little changes goes another way: carrier -> fit (which of its bytes may stay) -> fragment (what changed) -> splice -> describe.
package datafile
