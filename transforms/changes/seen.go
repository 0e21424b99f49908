package changes

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// Seen adds a last column to rows, the time, which is the one that to has more. It takes over the reference to rows.
func Seen(ctx context.Context, rows array.RecordReader, to *arrow.Schema, at time.Time) array.RecordReader {
	return transforms.Turn(ctx, rows, to, func(_ context.Context, batch arrow.RecordBatch) (arrow.RecordBatch, error) {
		times := vector.Alloc[arrow.Timestamp](int(batch.NumRows()))
		for i := range times {
			times[i] = arrow.Timestamp(at.UnixMicro())
		}
		last := vector.FromValues(to.Field(to.NumFields()-1).Type, times, nil)
		defer last.Release()
		return array.NewRecordBatch(to, append(slices.Clone(batch.Columns()), last), batch.NumRows()), nil
	})
}

// Since keeps the rows whose time in a column, of microseconds, is later. It takes over the reference to rows.
func Since(ctx context.Context, rows array.RecordReader, column string, at time.Time) array.RecordReader {
	return transforms.Turn(ctx, rows, rows.Schema(), func(ctx context.Context, batch arrow.RecordBatch) (arrow.RecordBatch, error) {
		times, ok := batch.Column(batch.Schema().FieldIndices(column)[0]).(*array.Timestamp)
		if !ok {
			return nil, fmt.Errorf("column %q has no times", column)
		}
		keep := vector.NewBits(times.Len())
		for i := range times.Len() {
			if int64(times.Value(i)) > at.UnixMicro() {
				keep.Set(i)
			}
		}
		return vector.Select(ctx, batch, keep)
	})
}
