package transforms

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/cespare/xxhash/v2"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/internal/rowkey"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// Rewindable is a stream of rows that can be read again: the same rows in the same order each time.
type Rewindable interface {
	Schema() *arrow.Schema
	// Open starts a new reading; columns nil means all of them.
	Open(ctx context.Context, columns []string) (array.RecordReader, error)
}

// DedupeOptions bound what Dedupe uses.
type DedupeOptions struct {
	MemoryLimit int64  // bytes for keys; 0 means 256 MiB, and less than 64 KiB is 64 KiB
	TempDir     string // for what exceeds it; "" is the system's
}

// DedupeCounts says what Dedupe did.
type DedupeCounts struct {
	In, Out, Duplicates int64
	SpilledBytes        int64
}

const (
	defaultDedupeMemory = 256 << 20
	leastDedupeMemory   = 64 << 10
)

// Dedupe keeps one row of those with equal values in the columns by; nulls are equal, as in SQL's DISTINCT. With keep
// latest (or "") it is the row whose values in the columns orderBy are greatest, with earliest the row where they are
// least; the first column counts first, and a row with a null there loses against one with a value. Of rows that are
// equal there too, latest keeps the one that is read last and earliest the one that is read first.
//
// It reads src twice: the columns of by and orderBy, to find the rows to keep, and then all columns. Beyond the memory
// limit keys are sharded by their hash and spilled, so that any number of keys fits; the set of rows to keep takes a
// bit a row at most. The rows come in the order of src.
func Dedupe(ctx context.Context, src Rewindable, by []string, keep string, orderBy []string, opts DedupeOptions) (array.RecordReader, DedupeCounts, error) {
	if err := CheckDedupe(src.Schema(), by, keep, orderBy); err != nil {
		return nil, DedupeCounts{}, err
	}
	if opts.MemoryLimit <= 0 {
		opts.MemoryLimit = defaultDedupeMemory
	}
	opts.MemoryLimit = max(opts.MemoryLimit, leastDedupeMemory)
	w := &winners{latest: keep != "earliest", limit: opts.MemoryLimit, tempDir: opts.TempDir}
	defer w.close()
	rows, err := w.read(ctx, src, by, orderBy)
	if err != nil {
		return nil, DedupeCounts{}, fmt.Errorf("dedupe by %v: %w", by, err)
	}
	kept, err := w.finish(ctx)
	if err != nil {
		return nil, DedupeCounts{}, fmt.Errorf("dedupe by %v: %w", by, err)
	}
	out := int64(kept.GetCardinality())
	counts := DedupeCounts{In: rows, Out: out, Duplicates: rows - out, SpilledBytes: w.spilled}
	source, err := src.Open(ctx, nil)
	if err != nil {
		return nil, counts, fmt.Errorf("dedupe by %v: %w", by, err)
	}
	return newKeptRows(ctx, source, kept, rows), counts, nil
}

// CheckDedupe checks what Dedupe would be given. The error is a *StepError whose Field is the column at fault.
func CheckDedupe(in *arrow.Schema, by []string, keep string, orderBy []string) error {
	if len(by) == 0 {
		return &StepError{Err: errors.New("dedupe names no column")}
	}
	if keep != "" && keep != "latest" && keep != "earliest" {
		return &StepError{Err: fmt.Errorf("keep is latest or earliest, found %q", keep)}
	}
	var rows rowkey.Rows
	for i, name := range slices.Concat(by, orderBy) {
		k, err := place(in, name)
		if err != nil {
			return &StepError{Field: name, Err: err}
		}
		empty := []arrow.Array{vector.Nulls(columntype.Storable(in.Field(k).Type), 0)}
		if i < len(by) {
			err = rows.Encode(empty, 0)
		} else {
			err = rows.EncodeOrder(empty, 0, false)
		}
		if err != nil {
			return &StepError{Field: name, Err: err}
		}
	}
	return nil
}

// read takes the keys of all rows in and gives their number.
func (w *winners) read(ctx context.Context, src Rewindable, by, orderBy []string) (rows int64, err error) {
	columns := slices.Concat(by, orderBy)
	slices.Sort(columns)
	source, err := src.Open(ctx, slices.Compact(columns))
	if err != nil {
		return 0, err
	}
	defer source.Release()
	var keys, orders rowkey.Rows
	for source.Next() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		batch := source.RecordBatch()
		n := int(batch.NumRows())
		if err := encode(ctx, batch, by, func(c []arrow.Array) error { return keys.Encode(c, n) }); err != nil {
			return 0, err
		}
		// A null must lose: below every value where the greatest wins, above where the least does.
		if err := encode(ctx, batch, orderBy, func(c []arrow.Array) error { return orders.EncodeOrder(c, n, !w.latest) }); err != nil {
			return 0, err
		}
		for i := range n {
			e := candidate{row: rows + int64(i), key: keys.Bytes(i), order: orders.Bytes(i)}
			e.hash = xxhash.Sum64(e.key)
			if err := w.offer(e); err != nil {
				return 0, err
			}
		}
		rows += int64(n)
	}
	return rows, source.Err()
}

// encode hands over the columns of the names, in the types that tables store.
func encode(ctx context.Context, batch arrow.RecordBatch, names []string, f func([]arrow.Array) error) error {
	columns := make([]arrow.Array, len(names))
	for i, name := range names {
		found := batch.Schema().FieldIndices(name)
		if len(found) != 1 {
			return fmt.Errorf("the rows have %d columns %q, expected 1", len(found), name)
		}
		arr := batch.Column(found[0])
		stored, err := vector.Convert(ctx, arr, columntype.Storable(arr.DataType()))
		if err != nil {
			return fmt.Errorf("column %q: %w", name, err)
		}
		defer stored.Release()
		columns[i] = stored
	}
	return f(columns)
}
