package merge

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/internal/rows"
	"github.com/varve-lake/varve/tables/merge/internal/keys"
)

// noSource stands for the source row of a change that has none.
const noSource = ^uint32(0)

// verdict is what a merge does to one row of a file.
type verdict struct {
	position uint32
	source   uint32 // row number in the source, or noSource
	// clause is the index of a matched clause, or the complement of the index of
	// a not-matched-by-source clause.
	clause int8
	// differs is set if the update is known to change some column's value.
	differs bool
}

// matches is what matching one file with the source came to.
type matches struct {
	// source holds the numbers of the source rows that matched a row of the file,
	// one for each match.
	source []uint32
	// verdicts has the rows to which a clause applies, by position.
	verdicts []verdict
	// rows holds the position of each of source's matches.
	rows []uint32
	// also holds source rows to which a clause applied, beside those of verdicts: several may delete a row.
	also []uint32
}

// pair is a source row that may match a target row.
type pair struct{ position, source uint32 }

// matcher matches files with a source whose keys are in memory. Any number of
// goroutines may use one.
type matcher struct {
	*binding
	reader *reader
	loaded *loaded
	source Source
}

// file matches one file.
func (m *matcher) file(ctx context.Context, f *targetFile) (*matches, error) {
	out := &matches{}
	if m.loaded.rows == 0 && len(m.bySource) > 0 {
		return out, m.judgeEvery(ctx, f, out)
	}
	var unmatched *roaring64.Bitmap
	if len(m.bySource) > 0 {
		unmatched = roaring64.New()
	}
	var err error
	if m.layout != nil {
		var pairs []pair
		if pairs, err = m.probe(ctx, f, unmatched); err == nil {
			err = m.judgePairs(ctx, f, pairs, out)
		}
	} else {
		err = m.judgeAll(ctx, f, unmatched, out)
	}
	if err != nil {
		return nil, err
	}
	if err := m.checkCardinality(ctx, out); err != nil {
		return nil, err
	}
	if unmatched == nil {
		return out, nil
	}
	return out, m.judgeUnmatched(ctx, f, unmatched, out)
}

// probe streams the file's keys past the hash table. The positions of all live
// rows are added to live, if it is not nil.
func (m *matcher) probe(ctx context.Context, f *targetFile, live *roaring64.Bitmap) ([]pair, error) {
	if m.loaded.table.Distinct() == 0 && live == nil {
		return nil, nil
	}
	var vector keys.Vector
	var prober keys.Prober
	var out []pair
	var opts datafile.ReadOptions
	if live == nil {
		opts.Prune = m.few(m.loaded)
	}
	err := m.reader.scanFile(ctx, f, "", m.targetKeys, opts, func(b block) error {
		addPositions(live, b.positions)
		if err := m.layout.Encode(&vector, b.columns); err != nil {
			return err
		}
		for _, p := range m.loaded.table.Probe(&vector, &prober) {
			out = append(out, pair{position: b.positions[p.I], source: p.Row})
		}
		return nil
	})
	return out, readError(f, err)
}

func addPositions(to *roaring64.Bitmap, positions []uint32) {
	if to == nil || len(positions) == 0 {
		return
	}
	first, last := positions[0], positions[len(positions)-1]
	if int(last-first)+1 == len(positions) {
		to.AddRange(uint64(first), uint64(last)+1)
		return
	}
	to.Or(bitmapOf(positions))
}

// judgePairs decides about pairs of equal keys, reading the target's columns
// that the decision needs only for their rows.
func (m *matcher) judgePairs(ctx context.Context, f *targetFile, pairs []pair, out *matches) error {
	if len(m.targetDecide) == 0 {
		for part := range slices.Chunk(pairs, batchRows) {
			if err := m.judge(ctx, newFrame(len(part)), part, out); err != nil {
				return err
			}
		}
		return nil
	}
	if len(pairs) == 0 {
		return nil
	}
	positions := make([]uint32, 0, len(pairs))
	for i, p := range pairs {
		if i == 0 || p.position != pairs[i-1].position {
			positions = append(positions, p.position)
		}
	}
	return m.reader.scan(ctx, f, targetScope, m.targetDecide, bitmapOf(positions), func(b block) error {
		n := sort.Search(len(pairs), func(i int) bool { return pairs[i].position > b.positions[b.n-1] })
		mine := pairs[:n]
		pairs = pairs[n:]
		return m.judgeBlock(ctx, b, mine, out)
	})
}

// judgeBlock decides about the pairs of a block's rows. If rows have several
// pairs, their columns are spread out.
func (m *matcher) judgeBlock(ctx context.Context, b block, pairs []pair, out *matches) error {
	if oneEach(b, pairs) {
		return m.judge(ctx, b.frame, pairs, out)
	}
	at := 0
	for part := range slices.Chunk(pairs, batchRows) {
		index := make([]int32, len(part))
		for i, p := range part {
			for b.positions[at] != p.position {
				at++
			}
			index[i] = int32(at)
		}
		target, err := b.pick(index)
		if err != nil {
			return err
		}
		err = m.judge(ctx, target, part, out)
		target.release()
		if err != nil {
			return err
		}
	}
	return nil
}

// oneEach tells whether each row of a block has just one pair.
func oneEach(b block, pairs []pair) bool {
	if len(pairs) != b.n {
		return false
	}
	for i, p := range pairs {
		if p.position != b.positions[i] {
			return false
		}
	}
	return true
}

// judgeAll decides about every pair of a source and a target row: there is no
// key to find them by.
func (m *matcher) judgeAll(ctx context.Context, f *targetFile, live *roaring64.Bitmap, out *matches) error {
	columns := m.targetDecide
	if len(columns) == 0 {
		columns = columnNames(m.target)[:1]
	}
	return m.reader.scan(ctx, f, targetScope, columns, nil, func(b block) error {
		addPositions(live, b.positions)
		if m.loaded.decide != nil {
			return m.cross(ctx, b, m.loaded.rows, out)
		}
		return m.crossStream(ctx, b, out)
	})
}

// cross decides about all pairs of a block's rows and the loaded source rows.
func (m *matcher) cross(ctx context.Context, b block, sourceRows int, out *matches) error {
	const side = 1 << 8
	for from := 0; from < b.n; from += side {
		for s := 0; s < sourceRows; s += side {
			var part []pair
			for t := from; t < min(from+side, b.n); t++ {
				for n := s; n < min(s+side, sourceRows); n++ {
					part = append(part, pair{position: b.positions[t], source: uint32(n)})
				}
			}
			if err := m.judgeBlock(ctx, b, part, out); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// crossStream is cross for a source that does not fit in memory: it is read
// once for each block of the target.
func (m *matcher) crossStream(ctx context.Context, b block, out *matches) error {
	first := uint32(0)
	return each(ctx, m.source, m.sourceDecide, func(all []arrow.Array, n int) error {
		one := *m
		one.loaded = &loaded{rows: n, decide: newStore(m.binding.source, m.sourceDecide)}
		one.loaded.decide.append(all, n)
		defer one.loaded.decide.release()
		var part matches
		if err := one.cross(ctx, b, n, &part); err != nil {
			return err
		}
		for i, s := range part.source {
			out.source, out.rows = append(out.source, first+s), append(out.rows, part.rows[i])
		}
		for _, v := range part.verdicts {
			v.source += first
			out.verdicts = append(out.verdicts, v)
		}
		first += uint32(n)
		return nil
	})
}

// judge decides about pairs, whose target columns are given: which of them
// match, and which clause applies to those.
func (m *matcher) judge(ctx context.Context, target *frame, pairs []pair, out *matches) error {
	if len(pairs) == 0 {
		return nil
	}
	numbers := make([]uint32, len(pairs))
	for i, p := range pairs {
		numbers[i] = p.source
	}
	all := target
	if len(m.sourceDecide) > 0 {
		source, err := m.loaded.decide.take(sourceScope, m.sourceDecide, numbers)
		if err != nil {
			return err
		}
		defer source.release()
		all = source.join(target)
	}
	if m.opts.Predicate != nil {
		hold, err := all.holds(ctx, m.opts.Predicate)
		if err != nil {
			return fmt.Errorf("evaluate the ON predicate: %w", err)
		}
		index := trues(hold)
		if len(index) < len(pairs) {
			kept := make([]pair, len(index))
			for i, x := range index {
				kept[i] = pairs[x]
			}
			if all, err = all.pick(index); err != nil {
				return err
			}
			defer all.release()
			pairs = kept
		}
	}
	return m.judgeMatched(ctx, all, pairs, out)
}

func trues(hold []bool) []int32 {
	var out []int32
	for i, h := range hold {
		if h {
			out = append(out, int32(i))
		}
	}
	return out
}

// judgeMatched finds the clauses that apply to pairs that match.
func (m *matcher) judgeMatched(ctx context.Context, f *frame, pairs []pair, out *matches) error {
	for _, p := range pairs {
		out.source, out.rows = append(out.source, p.source), append(out.rows, p.position)
	}
	if len(pairs) == 0 {
		return nil
	}
	clauses, err := decide(ctx, f, m.matched)
	if err != nil {
		return err
	}
	differs := m.differs(ctx, f)
	for i, p := range pairs {
		if c := clauses[i]; c >= 0 {
			out.verdicts = append(out.verdicts, verdict{
				position: p.position, source: p.source, clause: c,
				differs: differs[c] != nil && differs[c][i],
			})
		}
	}
	return nil
}

// decide gives for each row the first clause whose condition holds, or -1. A
// condition is evaluated only for rows that no earlier clause applies to.
func decide(ctx context.Context, f *frame, clauses []clause) ([]int8, error) {
	out := make([]int8, f.n)
	for i := range out {
		out[i] = -1
	}
	var index []int32 // the rows left, once some are decided
	rest := f
	for c, clause := range clauses {
		if rest.n == 0 {
			break
		}
		hold := make([]bool, rest.n)
		if clause.condition == nil {
			for i := range hold {
				hold[i] = true
			}
		} else {
			var err error
			if hold, err = rest.holds(ctx, clause.condition); err != nil {
				return nil, fmt.Errorf("evaluate the condition of clause %d: %w", c+1, err)
			}
		}
		var left []int32
		for i, h := range hold {
			row := int32(i)
			if index != nil {
				row = index[i]
			}
			if h {
				out[row] = int8(c)
			} else {
				left = append(left, row)
			}
		}
		if len(left) == rest.n || c == len(clauses)-1 {
			continue
		}
		index = left
		var err error
		if rest, err = f.pick(left); err != nil {
			return nil, err
		}
		defer rest.release()
	}
	return out, nil
}

// differs tells, for each update clause, in which rows some column that is at
// hand anyway gets another value. Nil where nothing is known.
func (m *matcher) differs(ctx context.Context, f *frame) [][]bool {
	out := make([][]bool, len(m.matched))
	for c, clause := range m.matched {
		for _, a := range clause.assign {
			name := m.target.Field(a.column).Name
			from, old := f.column(sourceScope+a.from), f.column(targetScope+name)
			if a.from == "" || from == nil || old == nil {
				continue
			}
			if out[c] == nil {
				out[c] = make([]bool, f.n)
			}
			// A value that cannot be stored is an error only if it is: see write.
			if value, err := rows.Cast(ctx, from, old.DataType()); err == nil {
				_ = rows.Differ(value, old, out[c])
				value.Release()
			}
		}
	}
	return out
}

// checkCardinality makes sure that no row is changed by two source rows. As in
// Spark, an only clause that deletes without a condition may meet a row twice.
func (m *matcher) checkCardinality(ctx context.Context, out *matches) error {
	slices.SortStableFunc(out.verdicts, byPosition)
	if m.unconditionalDelete {
		for _, v := range out.verdicts {
			out.also = append(out.also, v.source)
		}
		out.verdicts = slices.CompactFunc(out.verdicts, func(a, b verdict) bool { return a.position == b.position })
		return nil
	}
	for i := 1; i < len(out.verdicts); i++ {
		if out.verdicts[i].position != out.verdicts[i-1].position {
			continue
		}
		e := &CardinalityError{Table: m.table, Columns: m.targetKeys}
		if len(m.keys) > 0 {
			var err error
			if e.Key, err = m.keyText(ctx, m.source, out.verdicts[i].source); err != nil {
				return err
			}
		}
		return e
	}
	return nil
}

// judgeUnmatched applies the not-matched-by-source clauses to those live rows
// that no source row matched.
func (m *matcher) judgeUnmatched(ctx context.Context, f *targetFile, live *roaring64.Bitmap, out *matches) error {
	slices.Sort(out.rows)
	live.AndNot(bitmapOf(out.rows))
	if live.IsEmpty() {
		return nil
	}
	judge := func(b block) error {
		clauses, err := decide(ctx, b.frame, m.bySource)
		if err != nil {
			return err
		}
		for i, c := range clauses {
			if c >= 0 {
				out.verdicts = append(out.verdicts, verdict{position: b.positions[i], source: noSource, clause: ^c})
			}
		}
		return nil
	}
	var err error
	if len(m.bySourceDecide) > 0 {
		err = m.reader.scan(ctx, f, targetScope, m.bySourceDecide, live, judge)
	} else {
		err = eachPosition(live, judge)
	}
	slices.SortFunc(out.verdicts, byPosition)
	return err
}

// eachPosition passes positions on in blocks without columns.
func eachPosition(positions *roaring64.Bitmap, do func(block) error) error {
	buffer := make([]uint64, batchRows)
	it := positions.ManyIterator()
	for n := it.NextMany(buffer); n > 0; n = it.NextMany(buffer) {
		b := block{frame: newFrame(n), positions: make([]uint32, n)}
		for i := range n {
			b.positions[i] = uint32(buffer[i])
		}
		if err := do(b); err != nil {
			return err
		}
	}
	return nil
}
