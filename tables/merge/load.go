package merge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/tables/merge/internal/keys"
)

// loaded is what a merge keeps of its source while it looks through the table.
type loaded struct {
	rows    int
	table   *keys.Table   // without keys, or with shards: nil
	ranges  []*keys.Range // of each key; nil where the two sides' orders differ
	buckets []*bucketSet
	few     []*fewKeys
	decide  *store  // the columns that conditions name; with shards: nil
	shards  *shards // if the keys do not fit in memory
	bytes   int64   // of table and decide
	// boundsOnly says that there are only rows, ranges and buckets.
	boundsOnly bool
}

// load reads the source's keys and the columns that decide about matches: into
// memory or, if they take too much of it, into shards on disk.
func (b *binding) load(ctx context.Context, source Source, specs []iceberg.PartitionSpec) (*loaded, error) {
	l, err := b.read(ctx, source, specs, nil)
	if err == errTooMuch {
		var w *shardWriter
		if b.layout != nil {
			if w, err = newShardWriter(b); err != nil {
				return nil, fmt.Errorf("merge into %s: %w", b.table, err)
			}
		} else {
			w = &shardWriter{}
		}
		if l, err = b.read(ctx, source, specs, w); err != nil {
			w.to.close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("merge into %s: load the source's keys: %w", b.table, err)
	}
	return l, nil
}

// loadBounds reads where the source's keys lie: all that pruning needs.
func (b *binding) loadBounds(ctx context.Context, source Source, specs []iceberg.PartitionSpec) (*loaded, error) {
	l, err := b.read(ctx, source, specs, &shardWriter{})
	if err != nil {
		return nil, fmt.Errorf("merge into %s: load the bounds of the source's keys: %w", b.table, err)
	}
	l.boundsOnly = true
	return l, nil
}

// read is load into memory, or to w if that is set. Without keys there is no
// order on disk that would help: the source is then read again when needed.
func (b *binding) read(ctx context.Context, source Source, specs []iceberg.PartitionSpec, w *shardWriter) (*loaded, error) {
	l := &loaded{buckets: b.bucketSets(specs)}
	for i, k := range b.keys {
		l.ranges = append(l.ranges, k.newRange(b))
		if few := b.fewOf(i); few != nil {
			l.few = append(l.few, few)
		}
	}
	if w == nil {
		l.decide = newStore(b.source, b.sourceDecide)
		if b.layout != nil {
			l.table = keys.NewTable(b.layout)
		}
	}
	columns := slices.Concat(b.sourceKeys, b.sourceDecide)
	if len(columns) == 0 {
		columns = []string{b.source.Field(0).Name} // to count the rows by
	}
	slices.Sort(columns)
	columns = slices.Compact(columns)
	at := func(names []string) []int {
		out := make([]int, len(names))
		for i, n := range names {
			out[i] = slices.Index(columns, n)
		}
		return out
	}
	keyAt, decideAt := at(b.sourceKeys), at(b.sourceDecide)
	var vector keys.Vector
	err := each(ctx, source, columns, func(all []arrow.Array, n int) error {
		if int64(l.rows)+int64(n) >= math.MaxUint32 {
			return b.errorf("the source has more than %d rows", uint32(math.MaxUint32))
		}
		first := uint32(l.rows)
		l.rows += n
		return l.add(b, w, &vector, pick(all, keyAt), pick(all, decideAt), first)
	})
	if err != nil {
		return nil, err
	}
	if l.table != nil {
		l.table.Build(nil)
	}
	if w != nil && w.out != nil {
		l.shards = w.to
		return l, w.out.flush()
	}
	return l, nil
}

// add takes in a batch of the source.
func (l *loaded) add(b *binding, w *shardWriter, vector *keys.Vector, keyColumns, decide []arrow.Array, first uint32) error {
	if b.layout != nil {
		if err := b.layout.Encode(vector, keyColumns); err != nil {
			return err
		}
		for i, r := range l.ranges {
			if r != nil {
				r.Add(keyColumns[i])
			}
		}
		for _, s := range l.buckets {
			s.add(keyColumns[s.key])
		}
		for _, f := range l.few {
			f.add(keyColumns[f.key], b.keys[f.key].field.Type)
		}
	}
	if w != nil {
		if w.out == nil {
			return nil
		}
		return w.add(vector, keyColumns, decide, first)
	}
	if len(decide) > 0 {
		l.decide.append(decide, vectorRows(keyColumns, decide))
		l.bytes = l.decide.bytes
	}
	if l.table != nil {
		if err := l.table.Add(vector); errors.Is(err, keys.ErrFull) {
			return errTooMuch
		} else if err != nil {
			return err
		}
		l.bytes = l.decide.bytes + l.table.Size()
	}
	if l.bytes > b.opts.MemoryLimit/3 {
		return errTooMuch
	}
	return nil
}

func vectorRows(keyColumns, decide []arrow.Array) int {
	if len(keyColumns) > 0 {
		return keyColumns[0].Len()
	}
	return decide[0].Len()
}

func (l *loaded) close() {
	if l == nil {
		return
	}
	if l.decide != nil {
		l.decide.release()
	}
	l.shards.close()
}

func pick(all []arrow.Array, at []int) []arrow.Array {
	out := make([]arrow.Array, len(at))
	for i, x := range at {
		out[i] = all[x]
	}
	return out
}

// newRange is nil if the source's and the target's values cannot be told apart
// by the order of words.
func (k key) newRange(b *binding) *keys.Range {
	s, _ := fieldOf(b.source, k.source)
	t, _ := fieldOf(b.target, k.target)
	switch {
	case arrow.TypeEqual(s.Type, t.Type),
		arrow.IsInteger(s.Type.ID()) && arrow.IsInteger(t.Type.ID()),
		arrow.IsFloating(s.Type.ID()) && arrow.IsFloating(t.Type.ID()):
		return keys.NewRange()
	}
	return nil
}

// bucketSet holds the buckets of a partition spec's field that the source's
// keys fall into.
type bucketSet struct {
	key            int // of the ON condition
	spec, field    int
	buckets        int
	transform      func(any) iceberg.Optional[int32]
	kind           iceberg.Type
	seen           map[int32]bool
	nulls, useless bool
}

func (b *binding) bucketSets(specs []iceberg.PartitionSpec) []*bucketSet {
	var out []*bucketSet
	for _, spec := range specs {
		for _, f := range spec.Fields() {
			t, ok := f.Transform.(iceberg.BucketTransform)
			if !ok || len(f.SourceIDs) != 1 {
				continue
			}
			for i, k := range b.keys {
				s, _ := fieldOf(b.source, k.source)
				target, _ := fieldOf(b.target, k.target)
				if k.field.ID == f.SourceID() && arrow.TypeEqual(s.Type, target.Type) {
					out = append(out, &bucketSet{
						key: i, spec: spec.ID(), field: f.FieldID, buckets: t.NumBuckets,
						transform: t.Transformer(k.field.Type), kind: k.field.Type, seen: map[int32]bool{},
					})
				}
			}
		}
	}
	return out
}

// add notes the buckets of a column's values, until all buckets are seen.
func (s *bucketSet) add(a arrow.Array) {
	s.nulls = s.nulls || a.NullN() > 0
	for i := range a.Len() {
		if s.useless || len(s.seen) == s.buckets {
			return
		}
		if a.IsNull(i) {
			continue
		}
		v := boxed(a, i, s.kind)
		if v == nil {
			s.useless = true
			return
		}
		s.seen[s.transform(v).Val] = true
	}
}

// excludes tells whether a file's partition holds none of the source's keys.
func (s *bucketSet) excludes(file iceberg.DataFile, nullSafe bool) bool {
	if s.useless || int(file.SpecID()) != s.spec {
		return false
	}
	value, ok := file.Partition()[s.field]
	if !ok {
		return false
	}
	switch v := value.(type) {
	case nil:
		return !nullSafe || !s.nulls
	case int32:
		return !s.seen[v]
	case int:
		return !s.seen[int32(v)]
	}
	return false
}

// boxed is a value as iceberg-go's transforms take it, nil if they do not.
func boxed(a arrow.Array, i int, t iceberg.Type) any {
	switch a := a.(type) {
	case *array.Int32:
		return a.Value(i)
	case *array.Int64:
		return a.Value(i)
	case *array.Date32:
		return iceberg.Date(a.Value(i))
	case *array.Time64:
		return iceberg.Time(a.Value(i))
	case *array.Timestamp:
		switch t.(type) {
		case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
			return iceberg.TimestampNano(a.Value(i))
		}
		return iceberg.Timestamp(a.Value(i))
	case *array.String:
		return a.Value(i)
	case *array.Binary:
		return a.Value(i)
	case *array.FixedSizeBinary:
		return a.Value(i)
	case *extensions.UUIDArray:
		return uuid.UUID(a.Value(i))
	case *array.Decimal128:
		return iceberg.Decimal{Val: a.Value(i), Scale: int(a.DataType().(*arrow.Decimal128Type).Scale)}
	}
	return nil
}

// keyText describes the key of a source row, for an error.
func (b *binding) keyText(ctx context.Context, source Source, row uint32) ([]string, error) {
	var out []string
	first := uint32(0)
	stop := errors.New("found")
	err := each(ctx, source, b.sourceKeys, func(columns []arrow.Array, n int) error {
		if row >= first+uint32(n) {
			first += uint32(n)
			return nil
		}
		for _, c := range columns {
			text := c.ValueStr(int(row - first))
			if c.IsNull(int(row - first)) {
				text = "null"
			}
			out = append(out, text)
		}
		return stop
	})
	if err != nil && !errors.Is(err, stop) {
		return nil, err
	}
	return out, nil
}
