package merge

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables/merge/internal/keys"
)

// A source whose keys do not fit in memory is matched as a hash join in the
// manner of Grace: both sides go to disk in shards by the hash of their keys,
// the target's only those rows that a filter of all source keys lets pass, and
// then shard after shard fits. Every row is written and read once.

const shardBits = 8

func shardOf(hash uint64) uint64 { return hash >> (64 - shardBits) }

// Names of columns in the shards beside those that expressions name.
const (
	rowColumn      = "#row"
	fileColumn     = "#file"
	positionColumn = "#position"
)

func keyColumn(i int) string { return fmt.Sprintf("#key%d", i) }

// shards is a source's keys and deciding columns on disk.
type shards struct {
	spill  *spill
	filter *keys.Filter
}

func (s *shards) close() {
	if s != nil {
		s.spill.close()
	}
}

// shardWriter puts the source's rows into shards.
type shardWriter struct {
	b   *binding
	to  *shards
	out *spiller
}

func newShardWriter(b *binding) (*shardWriter, error) {
	s, err := newSpill(b.opts.TempDir)
	if err != nil {
		return nil, err
	}
	to := &shards{spill: s, filter: keys.NewFilterBytes(b.opts.MemoryLimit / 16)}
	return &shardWriter{b: b, to: to, out: newSpiller(s, b.opts.MemoryLimit/16)}, nil
}

// add writes a batch of rows, the first of which has the given number. Keys
// that match nothing are left out.
func (w *shardWriter) add(v *keys.Vector, keyColumns, decide []arrow.Array, first uint32) error {
	var index []int32
	var buckets []uint64
	for i, h := range v.Hashes() {
		if v.Valid(i) {
			w.to.filter.Add(h)
			index, buckets = append(index, int32(i)), append(buckets, shardOf(h))
		}
	}
	if len(index) == 0 {
		return nil
	}
	f := newFrame(v.Len())
	for i, c := range keyColumns {
		f.add(keyColumn(i), c)
	}
	for i, c := range decide {
		f.add(sourceScope+w.b.sourceDecide[i], c)
	}
	picked, err := f.pick(index)
	if err != nil {
		return err
	}
	numbers := make([]uint32, len(index))
	for i, x := range index {
		numbers[i] = first + uint32(x)
	}
	picked.add(rowColumn, uint32s(numbers))
	return w.out.add(picked, buckets)
}

func uint32s(values []uint32) arrow.Array {
	b := array.NewUint32Builder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues(values, nil)
	return b.NewArray()
}

// frameOf sees a batch as a frame, which shares its columns.
func frameOf(batch arrow.RecordBatch) *frame {
	f := newFrame(int(batch.NumRows()))
	for i, c := range batch.Columns() {
		f.names, f.columns = append(f.names, batch.ColumnName(i)), append(f.columns, c)
	}
	return f
}

// uint32At is a column of row numbers.
func (f *frame) uint32At(name string) []uint32 { return f.column(name).(*array.Uint32).Uint32Values() }

func (f *frame) keyColumns(n int) []arrow.Array {
	out := make([]arrow.Array, n)
	for i := range out {
		out[i] = f.column(keyColumn(i))
	}
	return out
}

// findings takes what matching found about files, as it is found. Calls may
// come from several goroutines, and several times for a file.
type findings func(file int, m *matches) error

// sharded matches files with a source in shards.
func (m *matcher) sharded(ctx context.Context, files []*targetFile, found findings) (spilled int64, err error) {
	target, err := newSpill(m.opts.TempDir)
	if err != nil {
		return 0, err
	}
	defer target.close()
	if err := m.scatter(ctx, files, target, found); err != nil {
		return 0, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(m.opts.Parallelism)
	for _, shard := range target.buckets() {
		g.Go(func() error { return m.joinShard(gctx, shard, target, found) })
	}
	return target.size(), g.Wait()
}

// scatter writes those of the files' rows into shards that may match. The
// others are without a match for certain.
func (m *matcher) scatter(ctx context.Context, files []*targetFile, target *spill, found findings) error {
	columns := slices.Concat(m.targetKeys, m.targetDecide, m.bySourceDecide)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(m.opts.Parallelism)
	free := make(chan *spiller, m.opts.Parallelism)
	var mu sync.Mutex
	var all []*spiller
	for n, f := range files {
		g.Go(func() error {
			var out *spiller
			select {
			case out = <-free:
			default:
				out = newSpiller(target, m.opts.MemoryLimit/int64(16*m.opts.Parallelism))
				mu.Lock()
				all = append(all, out)
				mu.Unlock()
			}
			defer func() { free <- out }()
			var v keys.Vector
			var selected []uint32
			return m.reader.scan(ctx, f, targetScope, columns, nil, func(b block) error {
				if err := m.layout.Encode(&v, b.columns[:len(m.keys)]); err != nil {
					return err
				}
				selected = m.loaded.shards.filter.Pass(v.Hashes(), selected)
				return m.scatterBlock(ctx, n, b, &v, selected, out, found)
			})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, s := range all {
		if err := s.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (m *matcher) scatterBlock(ctx context.Context, file int, b block, v *keys.Vector, selected []uint32, out *spiller, found findings) error {
	var index []int32
	var buckets []uint64
	var numbers, positions []uint32
	passed := make([]bool, b.n)
	for _, i := range selected {
		if v.Valid(int(i)) {
			index, buckets = append(index, int32(i)), append(buckets, shardOf(v.Hashes()[i]))
			numbers, positions = append(numbers, uint32(file)), append(positions, b.positions[i])
			passed[i] = true
		}
	}
	if len(m.bySource) > 0 {
		if err := m.judgeAlone(ctx, file, b.frame, b.positions, passed, found); err != nil {
			return err
		}
	}
	if len(index) == 0 {
		return nil
	}
	f := &frame{n: b.n}
	for i := range m.keys {
		f.names, f.columns = append(f.names, keyColumn(i)), append(f.columns, b.columns[i])
	}
	// A key that a condition names too is there under both names: the block holds each column once.
	for _, name := range slices.Concat(m.targetDecide, m.bySourceDecide) {
		if name = targetScope + name; f.column(name) == nil {
			f.names, f.columns = append(f.names, name), append(f.columns, b.column(name))
		}
	}
	picked, err := f.pick(index)
	if err != nil {
		return err
	}
	picked.add(fileColumn, uint32s(numbers))
	picked.add(positionColumn, uint32s(positions))
	return out.add(picked, buckets)
}

// judgeAlone applies the not-matched-by-source clauses to the rows of a frame
// that are not matched.
func (m *matcher) judgeAlone(ctx context.Context, file int, f *frame, positions []uint32, matched []bool, found findings) error {
	var index []int32
	for i, is := range matched {
		if !is {
			index = append(index, int32(i))
		}
	}
	if len(index) == 0 {
		return nil
	}
	rest, err := f.pick(index)
	if err != nil {
		return err
	}
	defer rest.release()
	clauses, err := decide(ctx, rest, m.bySource)
	if err != nil {
		return err
	}
	out := &matches{}
	for i, c := range clauses {
		if c >= 0 {
			out.verdicts = append(out.verdicts, verdict{position: positions[index[i]], source: noSource, clause: ^c})
		}
	}
	return found(file, out)
}

// joinShard matches the rows of one shard.
func (m *matcher) joinShard(ctx context.Context, shard uint64, target *spill, found findings) error {
	one := &matcher{binding: m.binding, reader: m.reader, source: m.source, loaded: &loaded{
		table: keys.NewTable(m.layout), decide: newStore(m.binding.source, m.sourceDecide),
	}}
	defer one.loaded.decide.release()
	var numbers []uint32 // of the source rows in the shard
	var v keys.Vector
	err := m.loaded.shards.spill.each(shard, func(batch arrow.RecordBatch) error {
		f := frameOf(batch)
		if err := m.layout.Encode(&v, f.keyColumns(len(m.keys))); err != nil {
			return err
		}
		var decide []arrow.Array
		for _, c := range m.sourceDecide {
			decide = append(decide, f.column(sourceScope+c))
		}
		one.loaded.decide.append(decide, f.n)
		numbers = append(numbers, f.uint32At(rowColumn)...)
		return one.loaded.table.Add(&v)
	})
	if err != nil {
		return err
	}
	one.loaded.table.Build(nil)
	byFile := map[int]*matches{}
	var prober keys.Prober
	err = target.each(shard, func(batch arrow.RecordBatch) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		f := frameOf(batch)
		if err := m.layout.Encode(&v, f.keyColumns(len(m.keys))); err != nil {
			return err
		}
		var pairs []pair
		for _, p := range one.loaded.table.Probe(&v, &prober) {
			pairs = append(pairs, pair{position: p.I, source: p.Row}) // a row of the batch, for now
		}
		return one.joinBatch(ctx, f, pairs, numbers, byFile, found)
	})
	if err != nil {
		return err
	}
	for file, out := range byFile {
		// All matches of a row are in its shard.
		if err := m.checkCardinality(ctx, out); err != nil {
			return err
		}
		if err := found(file, out); err != nil {
			return err
		}
	}
	return nil
}

// joinBatch decides about the pairs of a batch of target rows, and then names
// rows by their files and positions.
func (m *matcher) joinBatch(ctx context.Context, f *frame, pairs []pair, numbers []uint32, byFile map[int]*matches, found findings) error {
	index := make([]uint32, f.n)
	for i := range index {
		index[i] = uint32(i)
	}
	out := &matches{}
	if len(pairs) > 0 {
		if err := m.judgeBlock(ctx, block{frame: f, positions: index}, pairs, out); err != nil {
			return err
		}
	}
	files, positions := f.uint32At(fileColumn), f.uint32At(positionColumn)
	of := func(row uint32) *matches {
		file := int(files[row])
		if byFile[file] == nil {
			byFile[file] = &matches{}
		}
		return byFile[file]
	}
	for i, s := range out.source {
		to := of(out.rows[i])
		to.source = append(to.source, numbers[s])
	}
	for _, v := range out.verdicts {
		to := of(v.position)
		v.position, v.source = positions[v.position], numbers[v.source]
		to.verdicts = append(to.verdicts, v)
	}
	if len(m.bySource) == 0 {
		return nil
	}
	matched := make([]bool, f.n)
	for _, row := range out.rows {
		matched[row] = true
	}
	return m.judgeShardUnmatched(ctx, f, matched, files, positions, found)
}

// judgeShardUnmatched applies the not-matched-by-source clauses to rows of a
// shard, file by file.
func (m *matcher) judgeShardUnmatched(ctx context.Context, f *frame, matched []bool, files, positions []uint32, found findings) error {
	for from := 0; from < f.n; {
		to := from + 1
		for to < f.n && files[to] == files[from] {
			to++
		}
		index := make([]int32, 0, to-from)
		for i := from; i < to; i++ {
			index = append(index, int32(i))
		}
		part, err := f.pick(index)
		if err != nil {
			return err
		}
		err = m.judgeAlone(ctx, int(files[from]), part, positions[from:to], matched[from:to], found)
		part.release()
		if err != nil {
			return err
		}
		from = to
	}
	return nil
}
