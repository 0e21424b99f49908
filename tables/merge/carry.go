package merge

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/internal/rows"
)

// carrying is one file being written anew by its row groups: those without a
// changed row are copied as bytes, and of the others every column chunk without
// a changed value. Whether a value changes is seen by comparing it bit for bit.
type carrying struct {
	*group
	f    *targetFile
	file *datafile.Carried
	cur  cursor
}

// carry writes a file anew by its row groups. It is false, and nothing happened,
// if the file's bytes do not fit the table as it is now.
func (g *group) carry(f *targetFile, verdicts []verdict, cur cursor) (bool, error) {
	carrier, err := g.c.carrier(g.ctx)
	if err != nil {
		return false, err
	}
	file, err := carrier.Open(g.ctx, f.task.File)
	if err != nil || file == nil {
		return false, err
	}
	kept, err := g.keepsOrder(f, verdicts, carrier.SortColumns())
	if err != nil || !kept {
		return false, errors.Join(err, file.Abort())
	}
	c := &carrying{group: g, f: f, file: file, cur: cur}
	if err := c.run(verdicts); err != nil {
		return false, errors.Join(err, file.Abort())
	}
	files, bytes, err := file.Close()
	if err != nil {
		return false, errors.Join(err, file.Abort())
	}
	g.out.addData = append(g.out.addData, files...)
	g.out.carriedBytes += bytes
	return true, nil
}

// keepsOrder tells whether the updates leave all values that the table is sorted
// by as they are.
func (g *group) keepsOrder(f *targetFile, verdicts []verdict, sorted []int) (bool, error) {
	sorted = slices.DeleteFunc(slices.Clone(sorted), func(c int) bool { return !slices.Contains(g.c.columns, c) })
	if len(sorted) == 0 {
		return true, nil
	}
	updates := g.c.updates(verdicts)
	same, err := g.c.identical(g.ctx, f, updates, g.c.payload, sorted)
	return len(same) == len(updates), err
}

// updates are the verdicts that update their row.
func (b *binding) updates(verdicts []verdict) []verdict {
	var out []verdict
	for _, v := range verdicts {
		if b.clauseOf(v).action == Update {
			out = append(out, v)
		}
	}
	return out
}

// rowGroup is a row group with what happens to its rows.
type rowGroup struct {
	number     int
	first, end uint32 // positions
	verdicts   []verdict
	updates    []verdict
	source     *frame // the source's columns of the updates
	room       int64  // that it takes of the changer's
}

// run takes row groups through decoding and encoding, some at a time and in the
// order of the file. Only this goroutine lays them into files.
func (c *carrying) run(verdicts []verdict) error {
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	results := make(chan chan editResult, c.c.atOnce())
	var fed error
	go func() {
		defer close(results)
		fed = c.feed(ctx, verdicts, results)
	}()
	var err error
	for result := range results {
		r := <-result
		if err == nil {
			err = r.err
		}
		if err == nil {
			err = c.lay(r)
		}
		if err != nil {
			cancel(err)
		}
		c.c.room.Release(r.room)
	}
	if err == nil {
		err = fed
	}
	return err
}

// feed starts the work on each row group. The source's rows are taken here,
// since cursors go forward only.
func (c *carrying) feed(ctx context.Context, verdicts []verdict, results chan<- chan editResult) error {
	source, _ := c.c.needs(c.c.columns)
	for number := range c.file.RowGroups() {
		first, end := c.file.Positions(number)
		if first == end {
			continue
		}
		rg := rowGroup{number: number, first: uint32(first), end: uint32(end)}
		n := 0
		for n < len(verdicts) && verdicts[n].position < rg.end {
			n++
		}
		rg.verdicts, verdicts = verdicts[:n], verdicts[n:]
		rg.updates = c.c.updates(rg.verdicts)
		rg.room = c.roomOf(rg)
		if c.c.room.Acquire(ctx, rg.room) != nil {
			return context.Cause(ctx)
		}
		result := make(chan editResult, 1)
		results <- result
		if len(rg.updates) > 0 {
			var err error
			if rg.source, err = c.cur.take(ctx, source, rg.updates); err != nil {
				result <- editResult{rowGroup: rg, err: err}
				return err
			}
		}
		go func() { result <- c.edit(ctx, rg) }()
	}
	if len(verdicts) > 0 {
		return fmt.Errorf("%s: row %d is not there any more", c.f.task.File.FilePath(), verdicts[0].position)
	}
	return nil
}

// atOnce is how many row groups are worked on at one time, at most.
func (c *changer) atOnce() int64 { return int64(max(c.options.Parallelism, 1) + 1) }

// roomOf is about what a row group takes while it is worked on: encoded, the
// columns that are decoded at one time twice, and the source's rows.
func (c *carrying) roomOf(rg rowGroup) int64 {
	bytes := c.file.StoredBytes(rg.number) + 2*portionBytes(c.c.options.MemoryLimit)
	if n := int64(len(rg.updates)); n > 0 {
		all := int64(0)
		for column := range c.c.target.NumFields() {
			all += c.file.DecodedBytes(rg.number, column)
		}
		bytes += all / int64(rg.end-rg.first) * n
	}
	return min(max(bytes, c.c.space/c.c.atOnce()), c.c.space)
}

// lay puts a row group into the new file, and rows that left it into the
// writer's.
func (c *carrying) lay(r editResult) error {
	if r.rowGroup.source != nil {
		defer r.rowGroup.source.release()
	}
	if r.stream {
		return c.stream(r.rowGroup)
	}
	c.out.carried += r.carried
	if r.encoded != nil {
		if err := c.file.Add(r.encoded); err != nil {
			return err
		}
	}
	for _, b := range r.moved {
		err := c.add(b, b[0].Len())
		rows.Release(b)
		if err != nil {
			return err
		}
	}
	return nil
}

// stream writes a row group that is too large to be held decoded: its rows go
// through the writer, block by block.
func (c *carrying) stream(rg rowGroup) error {
	held := &heldRows{updates: rg.updates, source: rg.source}
	verdicts := rg.verdicts
	err := c.c.reader.scanGroup(c.ctx, c.f, rg.number, targetScope, c.c.stored(), func(b block) error {
		n := 0
		for n < len(verdicts) && verdicts[n].position <= b.positions[b.n-1] {
			n++
		}
		mine := verdicts[:n]
		verdicts = verdicts[n:]
		return c.rewrite(c.f, b, mine, held)
	})
	if err == nil && len(verdicts) > 0 {
		err = fmt.Errorf("%s: row %d is not there any more", c.f.task.File.FilePath(), verdicts[0].position)
	}
	return err
}

// stored names the columns that a data file of the table has.
func (c *changer) stored() []string {
	out := columnNames(c.target)
	if c.lineage {
		out = append(out, lineageColumns...)
	}
	return out
}

// heldRows is a cursor over source rows that were taken before.
type heldRows struct {
	updates []verdict
	source  *frame
}

func (h *heldRows) close() {}

func (h *heldRows) take(_ context.Context, columns []string, verdicts []verdict) (*frame, error) {
	index := make([]int32, 0, len(verdicts))
	at := 0
	for _, v := range verdicts {
		for at < len(h.updates) && h.updates[at].position != v.position {
			at++
		}
		if at == len(h.updates) {
			return nil, fmt.Errorf("row %d is not among those taken", v.position)
		}
		index = append(index, int32(at))
	}
	wanted := newFrame(h.source.n)
	for _, name := range columns {
		wanted.add(sourceScope+name, h.source.column(sourceScope+name))
	}
	return wanted.pick(index)
}
