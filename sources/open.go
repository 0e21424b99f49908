package sources

import (
	"context"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Open streams the rows of one file, in the columns of schema and in their order. Columns are matched by name; one
// that the file lacks is null, metadata columns (see [SourceFileColumn]) are filled where the schema has them. The
// reader's Err is a *MalformedError, *BrokenFileError, *SchemaError or a passing fault of the store.
func Open(ctx context.Context, store Store, file File, schema *arrow.Schema, opts Options, observer Observer) (array.RecordReader, error) {
	return nil, errors.New("not yet written")
}
