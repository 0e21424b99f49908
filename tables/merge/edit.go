package merge

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/internal/rows"
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
	ctx      context.Context
	chunks   [][]arrow.Array // of each column that is decoded at the moment, of all live rows
	live     []uint32        // positions
	at       []int32         // row of each update
	update   []int32         // of each row: its update, or -1
	compared []bool          // of each column: whether it is known if an update changes a value
	fresh    []arrow.Array   // of each column in which an update changes a value: the updates' new values
	leaves   []bool          // of each update: its row moves to another partition
	gone     int             // rows that do not stay: deleted now or moved
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
	e := &edit{
		carrying: c, rowGroup: rg, ctx: ctx, chunks: make([][]arrow.Array, columns), compared: make([]bool, columns),
		fresh: make([]arrow.Array, columns), leaves: make([]bool, len(rg.updates)),
	}
	defer e.release()
	if err := e.place(); err != nil {
		out.err = err
		return out
	}
	if out.stream = e.tooLarge(); out.stream {
		return out
	}
	out.err = e.run(&out)
	return out
}

// run works through the columns, some at a time. Those that rows are
// partitioned by come first: what they say of rows that leave decides what can
// be carried of all others.
func (e *edit) run(out *editResult) error {
	carrier, err := e.c.carrier(e.ctx)
	if err != nil {
		return err
	}
	if err := e.compare(slices.DeleteFunc(slices.Clone(e.c.columns), func(c int) bool { return !carrier.Partitions(c) })); err != nil {
		return err
	}
	out.carried = int64(len(e.live) - len(e.verdicts))
	e.gone = len(e.verdicts) - len(e.updates)
	for _, left := range e.leaves {
		if left {
			e.gone++
		}
	}
	stay, moving := e.staying(), e.moving()
	if len(stay) > 0 {
		if out.encoded, err = e.file.Begin(e.number, int64(len(stay))); err != nil {
			return err
		}
	}
	out.moved = make([][]arrow.Array, (len(moving)+batchRows-1)/batchRows)
	for i := range out.moved {
		out.moved[i] = make([]arrow.Array, len(e.chunks))
	}
	for _, columns := range e.portions() {
		if err == nil {
			err = e.portion(columns, stay, moving, out)
		}
	}
	if err == nil && out.encoded != nil {
		err = out.encoded.End()
	}
	if err != nil {
		for _, b := range out.moved {
			rows.Release(b)
		}
		out.moved = nil
	}
	return err
}

func (e *edit) release() {
	e.drop()
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

// compare computes the updates' new values of columns and keeps those of columns
// in which one differs from the old.
func (e *edit) compare(columns []int) error {
	columns = slices.DeleteFunc(columns, func(c int) bool { return e.compared[c] })
	if len(e.updates) == 0 || len(columns) == 0 {
		return nil
	}
	_, target := e.c.needs(columns)
	read := slices.Clone(columns)
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
	fresh, err := e.c.updated(e.ctx, e.source.join(picked), e.updates, columns)
	if err != nil {
		return err
	}
	for i, column := range columns {
		e.compared[column] = true
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

// staying are the rows that stay.
func (e *edit) staying() []int32 {
	stay := make([]int32, 0, len(e.live))
	for i, u := range e.update {
		if u != removed && (u < 0 || !e.leaves[u]) {
			stay = append(stay, int32(i))
		}
	}
	return stay
}

// moving are the rows whose new versions go to another partition.
func (e *edit) moving() (out []int32) {
	for u, left := range e.leaves {
		if left {
			out = append(out, e.at[u])
		}
	}
	return out
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
