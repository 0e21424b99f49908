package merge

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/merge/internal/rows"
)

// editResult is a row group's new version.
type editResult struct {
	rowGroup
	encoded *datafile.CarriedGroup // nil if no row stays
	// moved has the columns of updated rows that belong to another partition now,
	// in batches.
	moved   [][]arrow.Array
	carried int64 // rows that stay as they are
	// stream is set, and nothing was done, if the group is too large to be decoded
	// in memory.
	stream bool
	err    error
}

// edit works out the new version of one row group. Rows are counted among the
// live ones of the group; an update's place is its index among the updates.
type edit struct {
	*carrying
	rowGroup
	ctx    context.Context
	chunks [][]arrow.Array // of each column that was read, of all live rows
	live   []uint32        // positions
	at     []int32         // row of each update
	update []int32         // of each row: its update, or -1
	fresh  []arrow.Array   // of each column in which an update changes a value: the updates' new values
	leaves []bool          // of each update: its row moves to another partition
	gone   int             // rows that do not stay: deleted now or moved
}

// edit decodes what has to be decoded of a row group, and encodes what changed.
func (c *carrying) edit(ctx context.Context, rg rowGroup) (out editResult) {
	out.rowGroup = rg
	defer func() {
		if r := recover(); r != nil { // it runs alone: what a hostile file makes a library panic of must not end the process
			out.err = fmt.Errorf("rewrite %s: row group %d: %v", c.f.task.File.FilePath(), rg.number, r)
		}
	}()
	columns := c.c.target.NumFields()
	if c.c.lineage {
		columns += len(lineageColumns)
	}
	e := &edit{carrying: c, rowGroup: rg, ctx: ctx, chunks: make([][]arrow.Array, columns), fresh: make([]arrow.Array, columns), leaves: make([]bool, len(rg.updates))}
	defer e.release()
	if err := e.place(); err != nil {
		out.err = err
		return out
	}
	if out.stream = e.tooLarge(); out.stream {
		return out
	}
	if out.err = e.compare(); out.err != nil {
		return out
	}
	out.carried = int64(len(e.live) - len(rg.verdicts))
	e.gone = len(rg.verdicts) - len(rg.updates)
	for _, left := range e.leaves {
		if left {
			e.gone++
		}
	}
	if out.err = e.readRest(); out.err != nil {
		return out
	}
	if out.encoded, out.err = e.encode(); out.err != nil {
		return out
	}
	out.moved, out.err = e.moved()
	return out
}

func (e *edit) release() {
	for _, c := range e.chunks {
		rows.Release(c)
	}
	rows.Release(e.fresh)
}

// place finds the live rows and which of them are updated.
func (e *edit) place() error {
	e.live = make([]uint32, 0, e.end-e.first)
	for p := e.first; p < e.end; p++ {
		if e.f.deleted == nil || !e.f.deleted.Contains(uint64(p)) {
			e.live = append(e.live, p)
		}
	}
	e.update = make([]int32, len(e.live))
	e.at = make([]int32, 0, len(e.updates))
	found, next := 0, e.verdicts
	for i, p := range e.live {
		e.update[i] = -1
		if len(next) == 0 || next[0].position != p {
			continue
		}
		if e.c.clauseOf(next[0]).action == Update {
			e.update[i] = int32(len(e.at))
			e.at = append(e.at, int32(i))
		} else {
			e.update[i] = removed
		}
		found, next = found+1, next[1:]
	}
	if found < len(e.verdicts) {
		return fmt.Errorf("%s: row %d is not there any more", e.f.task.File.FilePath(), next[0].position)
	}
	return nil
}

// removed marks, in place of an update, a row that is deleted.
const removed = -2

// whole tells whether all rows of the group stay.
func (e *edit) whole() bool { return e.gone == 0 && len(e.live) == int(e.end-e.first) }

// tooLarge tells whether what surely has to be decoded exceeds what a writer may hold.
func (e *edit) tooLarge() bool {
	var read []int
	for c := range e.chunks {
		if len(e.verdicts) > len(e.updates) || !e.whole() || !e.file.Fits(e.number, c) || len(e.updates) > 0 && slices.Contains(e.c.columns, c) {
			read = append(read, c)
		}
	}
	return len(read) > 0 && e.file.DecodedBytes(e.number, read) > maxDecoded(e.c.options.MemoryLimit)
}

// maxDecoded is how many bytes of a row group may be decoded at once, where a
// writer may hold limit. Tests make it small.
var maxDecoded = func(limit int64) int64 { return max(limit, minGroupBytes) }

// read decodes columns of all live rows.
func (e *edit) read(columns []int) error {
	columns = slices.DeleteFunc(columns, func(c int) bool { return e.chunks[c] != nil })
	if len(columns) == 0 {
		return nil
	}
	stored := e.c.stored()
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = stored[c]
		e.chunks[c] = []arrow.Array{}
	}
	n := 0
	err := e.c.reader.scanGroup(e.ctx, e.f, e.number, targetScope, names, func(b block) error {
		for i, c := range columns {
			a := b.column(targetScope + names[i])
			a.Retain()
			e.chunks[c] = append(e.chunks[c], a)
		}
		n += b.n
		return nil
	})
	if err == nil && n != len(e.live) {
		err = fmt.Errorf("read %s: row group %d has %d rows where there should be %d", e.f.task.File.FilePath(), e.number, n, len(e.live))
	}
	return err
}

// refs names some rows, ascending, of a column that was read.
func (e *edit) refs(column int, rowNumbers []int32) []rows.Ref {
	out := make([]rows.Ref, len(rowNumbers))
	chunk, from := 0, int32(0)
	for i, r := range rowNumbers {
		for int(r-from) >= e.chunks[column][chunk].Len() {
			from += int32(e.chunks[column][chunk].Len())
			chunk++
		}
		out[i] = rows.At(chunk, int(r-from))
	}
	return out
}

// gather picks rows of a column as they were.
func (e *edit) gather(column int, rowNumbers []int32) (arrow.Array, error) {
	a, err := gather(e.c.target.Field(column).Type, e.chunks[column], e.refs(column, rowNumbers))
	if err != nil {
		return nil, fmt.Errorf("column %s: %w", e.c.target.Field(column).Name, err)
	}
	return a, nil
}

// compare computes the updates' new values and keeps those of columns in which
// one differs from the old.
func (e *edit) compare() error {
	if len(e.updates) == 0 {
		return nil
	}
	_, target := e.c.needs(e.c.columns)
	read := slices.Clone(e.c.columns)
	for _, name := range target {
		read = append(read, e.c.target.FieldIndices(name)[0])
	}
	slices.Sort(read)
	if err := e.read(slices.Compact(read)); err != nil {
		return err
	}
	picked := newFrame(len(e.updates))
	defer picked.release()
	for _, name := range target {
		a, err := e.gather(e.c.target.FieldIndices(name)[0], e.at)
		if err != nil {
			return err
		}
		picked.add(targetScope+name, a)
	}
	fresh, err := e.c.updated(e.ctx, e.source.join(picked), e.updates, e.c.columns)
	if err != nil {
		return err
	}
	for i, column := range e.c.columns {
		if err := e.keepIfChanged(column, fresh[i]); err != nil {
			rows.Release(fresh[i+1:])
			return err
		}
	}
	return nil
}

// keepIfChanged takes over the new values of a column.
func (e *edit) keepIfChanged(column int, fresh arrow.Array) error {
	old, err := e.gather(column, e.at)
	if err != nil {
		fresh.Release()
		return err
	}
	defer old.Release()
	differs := make([]bool, len(e.updates))
	if err := rows.Differ(fresh, old, differs); err != nil {
		fresh.Release()
		return fmt.Errorf("column %s: %w", e.c.target.Field(column).Name, err)
	}
	if !slices.Contains(differs, true) {
		fresh.Release()
		return nil
	}
	e.fresh[column] = fresh
	carrier, err := e.c.carrier(e.ctx)
	if err == nil {
		carrier.Moves(column, old, fresh, e.leaves)
	}
	return err
}

// readRest decodes what cannot be carried: all columns if rows are gone, else
// those whose bytes do not fit.
func (e *edit) readRest() error {
	var columns []int
	for c := range e.chunks {
		if !e.whole() || !e.file.Fits(e.number, c) || e.isLineage(c) && len(e.updates) > 0 {
			columns = append(columns, c)
		}
	}
	if len(columns) > 0 && e.isLineage(columns[len(columns)-1]) { // one follows from both
		n := len(e.chunks)
		columns = append(slices.DeleteFunc(columns, e.isLineage), n-2, n-1)
	}
	if err := e.read(columns); err != nil {
		return err
	}
	if n := len(e.chunks); e.c.lineage && e.chunks[n-1] != nil {
		return e.completeLineage()
	}
	return nil
}

func (e *edit) isLineage(column int) bool { return column >= e.c.target.NumFields() }

// completeLineage gives all rows the ids and sequence numbers that they have.
func (e *edit) completeLineage() error {
	n, from := len(e.chunks), 0
	ids, sequence := e.chunks[n-2], e.chunks[n-1]
	for i := range ids {
		if ids[i].Len() != sequence[i].Len() {
			return fmt.Errorf("batches of %d row ids and %d sequence numbers", ids[i].Len(), sequence[i].Len())
		}
		b := block{frame: newFrame(ids[i].Len()), positions: e.live[from : from+ids[i].Len()]}
		b.add(targetScope+iceberg.RowIDColumnName, ids[i])
		b.add(targetScope+iceberg.LastUpdatedSequenceNumberColumnName, sequence[i])
		id, seq := lineageOf(e.f, b, func(row int) bool { return e.update[from+row] >= 0 })
		from += b.n
		b.release()
		ids[i], sequence[i] = id, seq
	}
	return nil
}

// encode makes the new row group out of the rows that stay.
func (e *edit) encode() (*datafile.CarriedGroup, error) {
	stay := make([]int32, 0, len(e.live))
	for i, u := range e.update {
		if u != removed && (u < 0 || !e.leaves[u]) {
			stay = append(stay, int32(i))
		}
	}
	if len(stay) == 0 {
		return nil, nil
	}
	columns := make([][]arrow.Array, len(e.chunks))
	defer func() {
		for i, c := range columns {
			if c != nil && &c[0] != &e.chunks[i][0] {
				rows.Release(c)
			}
		}
	}()
	for c := range columns {
		var err error
		switch {
		case e.fresh[c] == nil && e.whole() && e.file.Fits(e.number, c) && !(e.isLineage(c) && e.chunks[c] != nil):
		case e.fresh[c] == nil && e.whole():
			columns[c] = e.chunks[c]
		default:
			columns[c], err = e.overlay(c, stay)
		}
		if err != nil {
			return nil, err
		}
	}
	return e.file.Encode(e.number, columns, int64(len(stay)))
}

// overlay is a column of some rows, with the new values of those updated.
func (e *edit) overlay(column int, stay []int32) (out []arrow.Array, err error) {
	refs, chunks := e.refs(column, stay), e.chunks[column]
	if fresh := e.fresh[column]; fresh != nil {
		for i, row := range stay {
			if u := e.update[row]; u >= 0 {
				refs[i] = rows.At(len(chunks), int(u))
			}
		}
		chunks = append(slices.Clone(chunks), fresh)
	}
	for part := range slices.Chunk(refs, batchRows) {
		a, err := rows.Gather(chunks, part)
		if err != nil {
			rows.Release(out)
			return nil, fmt.Errorf("column %s: %w", e.c.stored()[column], err)
		}
		out = append(out, a)
	}
	return out, nil
}

// moved are the new versions of rows that go to another partition.
func (e *edit) moved() ([][]arrow.Array, error) {
	var moving []int32
	for u, left := range e.leaves {
		if left {
			moving = append(moving, e.at[u])
		}
	}
	if len(moving) == 0 {
		return nil, nil
	}
	out := make([][]arrow.Array, (len(moving)+batchRows-1)/batchRows)
	for c := range e.chunks {
		parts, err := e.overlay(c, moving)
		if err != nil {
			return nil, err
		}
		for i, a := range parts {
			out[i] = append(out[i], a)
		}
	}
	return out, nil
}
