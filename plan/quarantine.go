package plan

// QuarantinedAt is the column of a rejected row that says when it came.
const QuarantinedAt = "_quarantined_at"

// QuarantineColumns are the columns of every table of rejected rows. _key is the digest of the others but the time, so
// that a row rejected again is the same row.
var QuarantineColumns = []Column{
	{Name: "_key", Type: "string", Required: true, Doc: "Digest of origin, reason and row."},
	{Name: "_source_file", Type: "string", Doc: "The file that the row came from."},
	{Name: "_source_row", Type: "long", Doc: "The number of its record in the file, from 1."},
	{Name: "_column", Type: "string", Doc: "The column at fault, if it is one."},
	{Name: "_reason", Type: "string", Required: true, Doc: "Why the row was rejected, or the expectation that it broke."},
	{Name: "_row", Type: "string", Doc: "The row: as JSON, or as the file has it."},
	{Name: QuarantinedAt, Type: "timestamptz", Required: true, Doc: "When the build began that rejected it first."},
}
