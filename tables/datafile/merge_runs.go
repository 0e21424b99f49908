package datafile

import (
	"bytes"
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/tables/internal/rows"
)

const (
	// More runs than this are merged into longer ones first: what is read of each at a time would become too little.
	maxRuns = 64
	// What is merged at once may take a mergeShare-th of the memory, in as many ranges as wait or are merged, each once as it is
	// read and once as it is given.
	mergeShare = 4
)

// prefixColumn is where rows on their way to another run have their keys' beginnings, behind the table's columns.
var prefixColumn = arrow.Field{Name: "varve.prefix", Type: arrow.PrimitiveTypes.Uint64}

// rangeBytes is the room for one range of a merge. A column of it has to fit into a batch, which holds 2 GiB of text.
func (w *Writer) rangeBytes() int64 {
	return min(max(w.layout.memoryLimit/int64(mergeShare*(w.layout.parallelism+1)), 1), 1<<30)
}

// fewerRuns merges runs into longer ones until they can be merged at once.
func (w *Writer) fewerRuns(runs []*spilledRun) ([]*spilledRun, error) {
	for {
		var longer []*spilledRun
		for rest := runs; len(rest) > 0; {
			n := w.mergeable(rest)
			if n == len(runs) {
				return runs, nil
			}
			run := rest[0]
			if n > 1 {
				var err error
				if run, err = w.longerRun(rest[:n]); err != nil {
					return nil, fmt.Errorf("merge spilled rows: %w", err)
				}
			}
			longer, rest = append(longer, run), rest[n:]
		}
		runs = longer
	}
}

// mergeable is how many of the first runs can be merged at once: two, whatever the largest rows take.
func (w *Writer) mergeable(runs []*spilledRun) int {
	taken := int64(0)
	for i, run := range runs {
		if taken += run.largest(); i >= 2 && (taken > w.rangeBytes() || i >= maxRuns) {
			return i
		}
	}
	return len(runs)
}

// largest is the most bytes between two marks.
func (r *spilledRun) largest() int64 {
	most := int64(0)
	for i := 1; i < len(r.marks); i++ {
		most = max(most, r.marks[i].bytes-r.marks[i-1].bytes)
	}
	return most
}

// longerRun merges runs into one.
func (w *Writer) longerRun(runs []*spilledRun) (*spilledRun, error) {
	plan, err := w.spill.planMerge(runs, w.rangeBytes())
	if err != nil {
		return nil, err
	}
	table := w.layout.arrow
	merged := w.merged(plan, arrow.NewSchema(append(table.Fields(), prefixColumn), nil))
	defer merged.Release()
	out := &spilledRun{exact: plan.exact, flagged: plan.flagged}
	for merged.Next() {
		batch := merged.RecordBatch()
		n := table.NumFields()
		own := recordOf(table, batch.Columns()[:n], batch.NumRows())
		sizes := rowSizesOf([]arrow.RecordBatch{own}, w.codes)
		err := w.writeBatch(out, own, batch.Column(n).(*array.Uint64).Uint64Values(), sizes.by(func(row int) (int, int) { return 0, row }))
		own.Release()
		if err != nil {
			return nil, err
		}
	}
	return out, merged.Err()
}

// merged gives the rows of sorted runs in order, equal ones as they came. The schema is the table's, or that with prefixColumn.
func (w *Writer) merged(plan *mergePlan, schema *arrow.Schema) array.RecordReader {
	return readOrdered(w.ctx, orderedOptions{
		what: "merge spilled rows", schema: schema, files: len(plan.ranges), parallelism: w.layout.parallelism,
		read: func(ctx context.Context, i int, each func(arrow.RecordBatch) error) error {
			m := &rangeMerge{mergePlan: plan, sort: w.sort, codes: w.codes, schema: schema, columns: w.layout.arrow}
			if plan.ranges[i].long {
				return m.long(ctx, plan.ranges[i], each)
			}
			return m.whole(plan.ranges[i], each)
		},
	})
}

// rangeMerge merges a range of runs.
type rangeMerge struct {
	*mergePlan
	sort    *sorter
	codes   *textCodes
	schema  *arrow.Schema // of what is given
	columns *arrow.Schema // of what the runs have
}

func (m *rangeMerge) parts(r mergeRange) (out []sectionPart) {
	for i, run := range m.runs {
		out = append(out, run.parts(r.from[i], r.to[i])...)
	}
	return out
}

// whole merges a range that there is room for, column by column.
func (m *rangeMerge) whole(r mergeRange, each func(arrow.RecordBatch) error) error {
	entries := make([]sortEntry, 0, r.rows)
	for i := range m.runs {
		prefixes, err := m.prefixes(i, r.from[i], r.to[i])
		if err != nil {
			return err
		}
		for _, prefix := range prefixes {
			entries = append(entries, sortEntry{prefix, rows.At(0, len(entries))})
		}
	}
	parts := m.parts(r)
	columns := make([]arrow.Array, m.columns.NumFields())
	defer func() { releaseAll(columns) }()
	entries = byPrefix(entries)
	if !m.exact {
		for i := range columns {
			if err := m.read(columns, i, parts); err != nil {
				return err
			}
		}
		together := recordOf(m.columns, columns, r.rows)
		keys := m.sort.keys(together)
		together.Release()
		breakTies(entries, func(at rows.Ref) []byte { return keys.at(at.Row()) })
	}
	var refs []rows.Ref
	if !unmoved(entries) {
		refs = make([]rows.Ref, len(entries))
		for i, e := range entries {
			refs[i] = e.at
		}
	}
	for i := range columns {
		if columns[i] == nil {
			if err := m.read(columns, i, parts); err != nil {
				return err
			}
		}
		if refs == nil {
			continue
		}
		sorted, err := rows.Gather(columns[i:i+1], refs)
		if err != nil {
			return fmt.Errorf("column %s: %w", m.columns.Field(i).Name, err)
		}
		columns[i].Release()
		columns[i] = sorted
	}
	return m.give(columns, entries, each)
}

func (m *rangeMerge) read(columns []arrow.Array, i int, sections []sectionPart) (err error) {
	parts, coded := make([]part, len(sections)), 0
	for j, s := range sections {
		parts[j] = part{&s.section.columns[i], s.from, s.to}
		if parts[j].coded {
			coded++
		}
	}
	switch coded {
	case 0:
		columns[i], err = m.spill.get(m.columns.Field(i).Type, parts)
	case len(parts):
		columns[i], err = m.spill.get(m.codes.codedType(i), parts)
	default:
		columns[i], err = m.readMixed(i, parts)
	}
	if err != nil {
		return fmt.Errorf("column %s: %w", m.columns.Field(i).Name, err)
	}
	return nil
}

// readMixed reads parts of which some are codes, and some texts: as texts.
func (m *rangeMerge) readMixed(column int, parts []part) (arrow.Array, error) {
	var texts []arrow.Array
	defer func() { releaseAll(texts) }()
	for len(parts) > 0 {
		n := 1
		for n < len(parts) && parts[n].coded == parts[0].coded {
			n++
		}
		t := m.columns.Field(column).Type
		if parts[0].coded {
			t = m.codes.codedType(column)
		}
		stored, err := m.spill.get(t, parts[:n])
		if err != nil {
			return nil, err
		}
		own, err := m.codes.texts(column, stored)
		stored.Release()
		if err != nil {
			return nil, err
		}
		texts, parts = append(texts, own), parts[n:]
	}
	return array.Concatenate(texts, allocator)
}

// give gives rows in order, with their keys' beginnings where these are wanted.
func (m *rangeMerge) give(columns []arrow.Array, entries []sortEntry, each func(arrow.RecordBatch) error) error {
	if m.schema.NumFields() > len(columns) {
		b := array.NewUint64Builder(allocator)
		defer b.Release()
		b.Reserve(len(entries))
		for _, e := range entries {
			b.UnsafeAppend(e.prefix)
		}
		prefixes := b.NewArray()
		defer prefixes.Release()
		columns = append(columns[:len(columns):len(columns)], prefixes)
	}
	batch := recordOf(m.schema, columns, int64(len(entries)))
	defer batch.Release()
	return each(batch)
}

// mergeInput is rows of one sorted run being merged by their whole keys: a batch at hand, and from where on it is not merged yet.
type mergeInput struct {
	run      int
	from, to int64 // of the run, behind the batch
	batch    arrow.RecordBatch
	keys     sortKeys
	at       int
}

func (in *mergeInput) left() int { return int(in.batch.NumRows()) - in.at }

// long merges rows of one prefix by their whole keys. It goes by blocks: of the batches at hand the one that ends first says up to
// which key all of them may be given out; these rows are sorted together. So rows move by batches, and each step uses up a batch.
func (m *rangeMerge) long(ctx context.Context, r mergeRange, each func(arrow.RecordBatch) error) error {
	var inputs []*mergeInput
	defer func() {
		for _, in := range inputs {
			if in.batch != nil {
				in.batch.Release()
			}
		}
	}()
	for i := range m.runs {
		if r.from[i] < r.to[i] {
			inputs = append(inputs, &mergeInput{run: i, from: r.from[i], to: r.to[i]})
		}
	}
	prefix, err := m.prefixes(inputs[0].run, inputs[0].from, inputs[0].from+1)
	if err != nil {
		return err
	}
	for {
		live := false
		for _, in := range inputs {
			if err := m.fill(in, m.room/int64(len(inputs))); err != nil {
				return err
			}
			live = live || in.batch != nil
		}
		if !live {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := m.block(inputs, prefix[0], each); err != nil {
			return err
		}
	}
}

// fill reads an input's next batch where none is at hand.
func (m *rangeMerge) fill(in *mergeInput, room int64) error {
	if in.batch != nil && in.left() > 0 {
		return nil
	}
	if in.batch != nil {
		in.batch.Release()
		in.batch = nil
	}
	if in.from == in.to {
		return nil
	}
	run := m.runs[in.run]
	end := min(run.within(in.from, room), in.to)
	parts := run.parts(in.from, end)
	columns := make([]arrow.Array, m.columns.NumFields())
	defer func() { releaseAll(columns) }()
	for i := range columns {
		if err := m.read(columns, i, parts); err != nil {
			return err
		}
	}
	in.batch = recordOf(m.columns, columns, end-in.from)
	in.keys, in.at, in.from = m.sort.keys(in.batch), 0, end
	return nil
}

// block gives out the inputs' rows that can be: those before the least key with which a batch ends that has more behind it, and
// with this very key those that came no later.
func (m *rangeMerge) block(inputs []*mergeInput, prefix uint64, each func(arrow.RecordBatch) error) error {
	first := -1
	var cut []byte
	for i, in := range inputs {
		if in.batch == nil || in.from == in.to {
			continue
		}
		if last := in.keys.at(int(in.batch.NumRows()) - 1); first < 0 || bytes.Compare(last, cut) < 0 {
			first, cut = i, last
		}
	}
	chunks, keys := make([][]arrow.Array, m.columns.NumFields()), []sortKeys(nil)
	var entries []sortEntry
	for i, in := range inputs {
		if in.batch == nil {
			continue
		}
		for c, column := range in.batch.Columns() {
			chunks[c] = append(chunks[c], column)
		}
		keys = append(keys, in.keys)
		for ; in.left() > 0; in.at++ {
			if first >= 0 {
				if order := bytes.Compare(in.keys.at(in.at), cut); order > 0 || order == 0 && i > first {
					break
				}
			}
			entries = append(entries, sortEntry{prefix, rows.At(len(keys)-1, in.at)})
		}
	}
	breakTies(entries, func(at rows.Ref) []byte { return keys[at.Chunk()].at(at.Row()) })
	sorted, err := gatherEntries(m.columns, m.codes, chunks, entries)
	if err != nil {
		return err
	}
	defer sorted.Release()
	return m.give(sorted.Columns(), entries, each)
}

// eachOfRun calls each with the rows of a run, a little at a time, as new references.
func (w *Writer) eachOfRun(run *spilledRun, each func(arrow.RecordBatch) error) error {
	m := &rangeMerge{mergePlan: &mergePlan{spill: w.spill, runs: []*spilledRun{run}}, codes: w.codes, columns: w.layout.arrow}
	for from := int64(0); from < run.rows; {
		if w.ctx.Err() != nil {
			return w.failure()
		}
		to := run.within(from, w.rangeBytes())
		columns := make([]arrow.Array, m.columns.NumFields())
		for i := range columns {
			if err := m.read(columns, i, run.parts(from, to)); err != nil {
				releaseAll(columns)
				return err
			}
		}
		batch := recordOf(m.columns, columns, to-from)
		releaseAll(columns)
		if err := each(batch); err != nil {
			return err
		}
		from = to
	}
	return nil
}
