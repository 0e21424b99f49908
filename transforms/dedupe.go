package transforms

import (
	"context"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Rewindable is a stream of rows that can be read again: the same rows in the same order each time.
type Rewindable interface {
	Schema() *arrow.Schema
	// Open starts a new reading; columns nil means all of them.
	Open(ctx context.Context, columns []string) (array.RecordReader, error)
}

// DedupeOptions bound what Dedupe uses.
type DedupeOptions struct {
	MemoryLimit int64  // bytes for keys; 0 means 256 MiB
	TempDir     string // for what exceeds it; "" is the system's
}

// DedupeCounts says what Dedupe did.
type DedupeCounts struct {
	In, Out, Duplicates int64
	SpilledBytes        int64
}

// Dedupe keeps one row of those with equal values in the columns by.
func Dedupe(ctx context.Context, src Rewindable, by []string, keep string, orderBy []string, opts DedupeOptions) (array.RecordReader, DedupeCounts, error) {
	return nil, DedupeCounts{}, errors.New("dedupe is being built")
}
