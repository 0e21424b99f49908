package datafile

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"
)

// Files of one batch each are not all read before the first is asked for.
func TestSmallFilesAreReadAheadWithinBounds(t *testing.T) {
	const files, parallelism = 200, 3
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64}}, nil)
	var begun, taken, most atomic.Int64
	r := readOrdered(context.Background(), orderedOptions{
		schema: schema, files: files, parallelism: parallelism,
		read: func(_ context.Context, i int, each func(arrow.RecordBatch) error) error {
			if waiting := begun.Add(1) - taken.Load(); waiting > most.Load() {
				most.Store(waiting)
			}
			b := array.NewRecordBuilder(allocator, schema)
			defer b.Release()
			b.Field(0).(*array.Int64Builder).Append(int64(i))
			batch := b.NewRecordBatch()
			defer batch.Release()
			return each(batch)
		},
	})
	defer r.Release()
	for i := range int64(files) {
		if i%50 == 0 {
			time.Sleep(20 * time.Millisecond) // a consumer with other things to do
		}
		require.True(t, r.Next())
		require.Equal(t, i, r.RecordBatch().Column(0).(*array.Int64).Value(0))
		taken.Add(1)
	}
	require.False(t, r.Next())
	require.NoError(t, r.Err())
	require.LessOrEqual(t, most.Load(), int64(parallelism+ahead+1), "files read and not handed on")
}

// A reader that is cancelled ends also at a file that was not begun.
func TestReadingInOrderEndsWhenItIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := readOrdered(ctx, orderedOptions{
		what: "read", files: 100, parallelism: 1,
		read: func(context.Context, int, func(arrow.RecordBatch) error) error { return nil },
	})
	defer r.Release()
	require.False(t, r.Next())
	require.ErrorIs(t, r.Err(), context.Canceled)
}
