package transforms

import (
	"context"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// keptRows is the second reading of Dedupe: the rows whose number is in a set. It checks that the source has as many
// rows as at the first reading.
type keptRows struct {
	*stream
	kept     roaring64.IntPeekable64
	row      int64 // of the next batch's first row
	expected int64
}

func newKeptRows(ctx context.Context, source array.RecordReader, kept *roaring64.Bitmap, expected int64) *keptRows {
	k := &keptRows{kept: kept.Iterator(), expected: expected}
	k.stream = newStream(ctx, source.Schema(), source, k.pick)
	return k
}

func (k *keptRows) pick(ctx context.Context, batch arrow.RecordBatch) (arrow.RecordBatch, error) {
	var places []int32
	end := k.row + batch.NumRows()
	for k.kept.HasNext() && int64(k.kept.PeekNext()) < end {
		places = append(places, int32(int64(k.kept.Next())-k.row))
	}
	k.row = end
	switch int64(len(places)) {
	case 0:
		return nil, nil
	case batch.NumRows():
		batch.Retain()
		return batch, nil
	}
	return vector.GatherBatch(ctx, batch, places)
}

func (k *keptRows) Next() bool {
	if k.stream.Next() {
		return true
	}
	if k.stream.err == nil && k.row != k.expected {
		k.stream.err = fmt.Errorf("dedupe: the rows changed between two readings: %d at first, then %d", k.expected, k.row)
	}
	return false
}
