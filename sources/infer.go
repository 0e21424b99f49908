package sources

import (
	"context"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
)

// Infer finds the schema of files: the columns of the samples in the order of first appearance, then those of the
// path (Options.HiveColumns), then the metadata columns. The same files and options give the same schema. Types
// declared by Options.Declared hold whatever the samples say; a declared column that no sample has is not added,
// except that without files the schema is the declared one.
func Infer(ctx context.Context, store Store, files []File, opts Options) (*arrow.Schema, error) {
	return nil, errors.New("not yet written")
}
