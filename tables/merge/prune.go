package merge

import (
	"context"
	"encoding/binary"
	"math"
	"strings"
	"sync/atomic"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/merge/internal/keys"
	"github.com/varve-lake/varve/tables/planning"
)

// candidates are the head's data files that may hold a row to change: those
// whose partition and bounds do not exclude every key of the source. With
// clauses for rows without a match, every file is one.
func (b *binding) candidates(ctx context.Context, head *table.Table, l *loaded) (tasks []table.FileScanTask, pruned int, err error) {
	if head.CurrentSnapshot() == nil {
		return nil, 0, nil
	}
	wanted := b.wants(l.rows)
	if wanted == nothing {
		return nil, 0, nil
	}
	opts := planning.Options{Snapshot: head.CurrentSnapshot(), Schema: head.Schema(), Described: true, Parallelism: b.opts.Parallelism}
	if wanted != everything {
		opts.Filter = b.rangeFilter(l)
	} else if l.rows == 0 {
		opts.Filter = b.opts.Within
	}
	left := new(atomic.Int64)
	opts.Keep = func(f iceberg.DataFile) bool {
		if b.opts.Skip != nil && b.opts.Skip(f) {
			return false
		}
		may := wanted == everything || b.mayHold(f, l)
		if !may {
			left.Add(1)
		}
		return may
	}
	fs, err := head.FS(ctx)
	if err != nil {
		return nil, 0, err
	}
	plan, err := planning.Files(ctx, head.Metadata(), fs, opts)
	if err != nil {
		return nil, 0, err
	}
	return plan.Tasks, int(left.Load()), nil
}

// appetite is which of the table's files a merge has to look at.
type appetite int

const (
	nothing    appetite = iota
	candidates          // files that may hold one of the source's keys
	everything          // for rows without a match too
)

func (b *binding) wants(sourceRows int) appetite {
	switch {
	case len(b.bySource) > 0:
		return everything
	case len(b.matched) == 0 && len(b.notMatched) == 0 || sourceRows == 0:
		return nothing
	}
	return candidates
}

// rangeFilter bounds the keys from both sides, so that whole manifests can be
// passed over. Nil if nothing can be said.
func (b *binding) rangeFilter(l *loaded) iceberg.BooleanExpression {
	var out iceberg.BooleanExpression
	for i, k := range b.keys {
		r := l.ranges[i]
		if r == nil || b.opts.NullSafe && r.Nulls() || strings.Contains(k.target, ".") {
			continue
		}
		low, high, lowest, highest, ok := r.Ends()
		if !ok {
			continue
		}
		if both := between(k, low, high, lowest, highest); both != nil && out == nil {
			out = both
		} else if both != nil {
			out = iceberg.NewAnd(out, both)
		}
	}
	return out
}

func between(k key, low, high uint64, lowest, highest []byte) iceberg.BooleanExpression {
	from, to := int64(low^1<<63), int64(high^1<<63)
	column := iceberg.Reference(k.target)
	switch k.field.Type.(type) {
	case iceberg.Int32Type:
		return within(column, clamp32(from), clamp32(to))
	case iceberg.Int64Type:
		return within(column, from, to)
	case iceberg.DateType:
		return within(column, iceberg.Date(clamp32(from)), iceberg.Date(clamp32(to)))
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return within(column, iceberg.Timestamp(from), iceberg.Timestamp(to))
	case iceberg.StringType:
		return within(column, string(lowest), string(highest))
	}
	return nil
}

func within[T iceberg.LiteralType](column iceberg.Reference, low, high T) iceberg.BooleanExpression {
	return iceberg.NewAnd(iceberg.GreaterThanEqual(column, low), iceberg.LessThanEqual(column, high))
}

func clamp32(x int64) int32 { return int32(max(min(x, math.MaxInt32), math.MinInt32)) }

// mayHold is false only if no row of the file can match a source row.
func (b *binding) mayHold(file iceberg.DataFile, l *loaded) bool {
	for i := range b.keys {
		if r := l.ranges[i]; r != nil && !b.keys[i].mayHold(file, r, b.opts.NullSafe) {
			return false
		}
	}
	for _, s := range l.buckets {
		if s.excludes(file, b.opts.NullSafe) {
			return false
		}
	}
	return true
}

func (k key) mayHold(file iceberg.DataFile, r *keys.Range, nullSafe bool) bool {
	id := k.field.ID
	nulls, counted := file.NullValueCounts()[id]
	if nullSafe && r.Nulls() && (!counted || nulls > 0) {
		return true
	}
	if values, ok := file.ValueCounts()[id]; ok && counted && values == nulls && values > 0 {
		return false
	}
	low, lowOK := file.LowerBoundValues()[id]
	high, highOK := file.UpperBoundValues()[id]
	if !lowOK || !highOK {
		return true
	}
	return estimate(k.field.Type, r, low, high) > 0
}

// estimate is an upper bound of the number of source rows whose key lies
// between two of Iceberg's serialised bounds.
func estimate(t iceberg.Type, r *keys.Range, low, high []byte) uint64 {
	switch t.(type) {
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType:
		if string(low) > string(high) {
			return math.MaxUint64 // some writers order UUIDs as signed numbers
		}
		return r.BetweenText(low, high)
	}
	from, ok1 := boundWord(t, low)
	to, ok2 := boundWord(t, high)
	if !ok1 || !ok2 {
		return math.MaxUint64
	}
	return r.Between(from, to)
}

// boundWord reads a bound as a word in the order of keys.Range. A file older
// than a promotion of its column has the bounds of the narrower type.
func boundWord(t iceberg.Type, b []byte) (uint64, bool) {
	switch t.(type) {
	case iceberg.BooleanType:
		if len(b) == 1 {
			return keys.OrderInt(int64(b[0])), true
		}
	case iceberg.Int32Type, iceberg.Int64Type, iceberg.TimeType, iceberg.DateType:
		switch len(b) {
		case 4:
			return keys.OrderInt(int64(int32(binary.LittleEndian.Uint32(b)))), true
		case 8:
			return keys.OrderInt(int64(binary.LittleEndian.Uint64(b))), true
		}
	case iceberg.TimestampType, iceberg.TimestampTzType, iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		if len(b) == 8 { // 4 bytes: a date, promoted
			return keys.OrderInt(int64(binary.LittleEndian.Uint64(b))), true
		}
	case iceberg.Float32Type, iceberg.Float64Type:
		switch len(b) {
		case 4:
			return keys.OrderFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
		case 8:
			return keys.OrderFloat(math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	case iceberg.DecimalType:
		if 0 < len(b) && len(b) <= 8 {
			x := int64(int8(b[0])) // two's complement, big endian
			for _, next := range b[1:] {
				x = x<<8 | int64(next)
			}
			return keys.OrderInt(x), true
		}
	}
	return 0, false
}
