package merge

import (
	"context"
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/merge/internal/rows"
)

// payload gives the source's columns of changed rows.
type payload interface {
	// cursor reads the rows of one file's verdicts. Calls of take go through the
	// verdicts in order, and may leave some out.
	cursor(ctx context.Context, f *targetFile) (cursor, error)
}

type cursor interface {
	take(ctx context.Context, columns []string, verdicts []verdict) (*frame, error)
	close()
}

// written is what changing the files of a group made.
type written struct {
	addData, removeData, addDeletes, removeDeletes []iceberg.DataFile
	updated, deleted, identical, carried           int64
}

// changer writes the changes of file groups. Any number of goroutines may use
// one, each for a group of its own.
type changer struct {
	*binding
	reader  *reader
	payload payload
	log     *verdictLog
	fs      iceio.WriteFileIO
	meta    table.Metadata
	columns []int // that some update clause assigns
	options datafile.WriterOptions
}

func newChanger(b *binding, r *reader, options datafile.WriterOptions) (*changer, error) {
	fs, ok := r.fs.(iceio.WriteFileIO)
	if !ok {
		return nil, fmt.Errorf("merge into %s: its store cannot be written to", b.table)
	}
	return &changer{binding: b, reader: r, fs: fs, meta: r.meta, columns: b.changing(), options: options}, nil
}

// group is a writer of one group's new rows, opened when there is a first one.
type group struct {
	c       *changer
	ctx     context.Context
	writer  *datafile.Writer
	vectors []datafile.VectorDelete
	out     written
}

// changed is one file in which something changes.
type changed struct {
	file   *targetFile
	number int // in the verdict log
}

// write carries out the changes to a group of files. On an error it removes
// what it has written.
func (c *changer) write(ctx context.Context, files []changed) (*written, error) {
	g := &group{c: c, ctx: ctx}
	err := g.files(files)
	if err == nil {
		err = g.close()
	}
	if err != nil {
		g.abort()
		return nil, err
	}
	return &g.out, nil
}

func (g *group) files(files []changed) error {
	for _, f := range files {
		if err := g.ctx.Err(); err != nil {
			return err
		}
		verdicts, err := g.c.log.of(f.number)
		if err != nil {
			return err
		}
		if verdicts, err = g.drop(f.file, verdicts); err != nil {
			return err
		}
		if len(verdicts) == 0 {
			continue
		}
		cur, err := g.c.payload.cursor(g.ctx, f.file)
		if err != nil {
			return err
		}
		if g.c.opts.Strategy == MergeOnRead {
			err = g.mergeOnRead(f.file, verdicts, cur)
		} else {
			err = g.copyOnWrite(f.file, verdicts, cur)
		}
		cur.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// drop leaves out the updates that would change no value of their row. They
// count as updated all the same.
func (g *group) drop(f *targetFile, verdicts []verdict) ([]verdict, error) {
	var unsure []verdict
	for _, v := range verdicts {
		if g.c.clauseOf(v).action == Delete {
			g.out.deleted++
			continue
		}
		g.out.updated++
		if !v.differs {
			unsure = append(unsure, v)
		}
	}
	if len(unsure) == 0 {
		return verdicts, nil
	}
	identical, err := g.c.identical(g.ctx, f, unsure, g.c.payload)
	if err != nil || len(identical) == 0 {
		return verdicts, err
	}
	g.out.identical += int64(len(identical))
	same := make(map[uint32]bool, len(identical))
	for _, v := range identical {
		same[v.position] = true
	}
	return slices.DeleteFunc(verdicts, func(v verdict) bool { return same[v.position] }), nil
}

// identical finds the updates after which every column would be as it was, bit
// for bit. It reads column after column, only for the rows still in doubt: as a
// rule the first one settles it.
func (c *changer) identical(ctx context.Context, f *targetFile, unsure []verdict, p payload) ([]verdict, error) {
	for _, column := range c.columns {
		if len(unsure) == 0 {
			return nil, nil
		}
		cur, err := p.cursor(ctx, f)
		if err != nil {
			return nil, err
		}
		source, target := c.needs([]int{column})
		name := c.target.Field(column).Name
		if !slices.Contains(target, name) {
			target = append(target, name)
		}
		var left []verdict
		err = c.eachUpdate(ctx, f, cur, unsure, source, target, func(fr *frame, v []verdict, _ block) error {
			values, err := c.updated(ctx, fr, v, []int{column})
			if err != nil {
				return err
			}
			defer rows.Release(values)
			differs := make([]bool, len(v))
			if err := rows.Differ(values[0], fr.column(targetScope+name), differs); err != nil {
				return fmt.Errorf("column %s: %w", name, err)
			}
			for i, d := range differs {
				if !d {
					left = append(left, v[i])
				}
			}
			return nil
		})
		cur.close()
		if err != nil {
			return nil, err
		}
		unsure = left
	}
	return unsure, nil
}

// eachUpdate passes on the rows of update verdicts, with columns of the source
// and of the target, in blocks.
func (c *changer) eachUpdate(ctx context.Context, f *targetFile, cur cursor, verdicts []verdict, source, target []string, do func(*frame, []verdict, block) error) error {
	with := func(b block, v []verdict) error {
		s, err := cur.take(ctx, source, v)
		if err != nil {
			return err
		}
		defer s.release()
		return do(s.join(b.frame), v, b)
	}
	positions := make([]uint32, len(verdicts))
	for i, v := range verdicts {
		positions[i] = v.position
	}
	if len(target) == 0 {
		for len(verdicts) > 0 {
			n := min(len(verdicts), batchRows)
			if err := with(block{frame: newFrame(n), positions: positions[:n]}, verdicts[:n]); err != nil {
				return err
			}
			verdicts, positions = verdicts[n:], positions[n:]
		}
		return nil
	}
	return c.reader.scan(ctx, f, targetScope, target, bitmapOf(positions), func(b block) error {
		if b.n > len(verdicts) {
			return fmt.Errorf("%d rows more than the %d asked for", b.n-len(verdicts), len(verdicts))
		}
		v := verdicts[:b.n]
		verdicts = verdicts[b.n:]
		return with(b, v)
	})
}

// add writes rows: one array for each of the target's columns and, with
// lineage, two more.
func (g *group) add(columns []arrow.Array, n int) error {
	if n == 0 {
		return nil
	}
	if g.writer == nil {
		var err error
		if g.writer, err = g.c.openWriter(g.ctx, g.c.lineage); err != nil {
			return err
		}
	}
	batch := array.NewRecordBatch(g.c.writeSchema(g.c.lineage), columns, int64(n))
	defer batch.Release()
	if err := g.writer.Write(batch); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func (g *group) close() error {
	if g.writer != nil {
		files, err := g.writer.Close()
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		g.out.addData = append(g.out.addData, files...)
	}
	if len(g.vectors) > 0 {
		files, err := datafile.WriteDeletionVectors(g.ctx, g.c.meta, g.c.fs, g.vectors)
		if err != nil {
			return fmt.Errorf("write deletion vectors: %w", err)
		}
		g.out.addDeletes = append(g.out.addDeletes, files...)
	}
	return nil
}

func (g *group) abort() {
	if g.writer != nil {
		_ = g.writer.Abort()
	}
	for _, f := range slices.Concat(g.out.addData, g.out.addDeletes) {
		_ = g.c.fs.Remove(f.FilePath())
	}
}

// lineageMeta is a table's metadata whose rows carry their ids with them.
type lineageMeta struct{ table.Metadata }

func (m lineageMeta) CurrentSchema() *iceberg.Schema {
	return iceberg.SchemaWithRowLineage(m.Metadata.CurrentSchema())
}

func (c *changer) openWriter(ctx context.Context, lineage bool) (*datafile.Writer, error) {
	meta := c.meta
	if lineage {
		meta = lineageMeta{meta}
	}
	return datafile.NewWriter(ctx, meta, c.fs, c.options)
}

// writeSchema is the Arrow schema of the rows to write.
func (b *binding) writeSchema(lineage bool) *arrow.Schema {
	if !lineage {
		return b.target
	}
	return arrow.NewSchema(append(b.target.Fields(),
		arrow.Field{Name: iceberg.RowIDColumnName, Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		arrow.Field{Name: iceberg.LastUpdatedSequenceNumberColumnName, Type: arrow.PrimitiveTypes.Int64, Nullable: true}), nil)
}

var lineageColumns = []string{iceberg.RowIDColumnName, iceberg.LastUpdatedSequenceNumberColumnName}

// lineageOf gives the ids and sequence numbers of a block's rows. Rows that were
// never rewritten take them from their file's entry in the manifest. A row that
// was updated gets the sequence number of the coming snapshot: null, for now.
func lineageOf(f *targetFile, b block, updated func(i int) bool) (ids, sequence arrow.Array) {
	id, seq := array.NewInt64Builder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator)
	defer id.Release()
	defer seq.Release()
	oldID := b.column(targetScope + iceberg.RowIDColumnName).(*array.Int64)
	oldSeq := b.column(targetScope + iceberg.LastUpdatedSequenceNumberColumnName).(*array.Int64)
	for i, p := range b.positions {
		switch {
		case oldID.IsValid(i):
			id.Append(oldID.Value(i))
		case f.task.FirstRowID != nil:
			id.Append(*f.task.FirstRowID + int64(p))
		default:
			id.AppendNull()
		}
		switch {
		case updated(i):
			seq.AppendNull()
		case oldSeq.IsValid(i):
			seq.Append(oldSeq.Value(i))
		case f.task.DataSequenceNumber != nil:
			seq.Append(*f.task.DataSequenceNumber)
		default:
			seq.AppendNull()
		}
	}
	return id.NewArray(), seq.NewArray()
}

// mergeOnRead marks changed rows as deleted and writes their new versions.
func (g *group) mergeOnRead(f *targetFile, verdicts []verdict, cur cursor) error {
	gone := make([]uint32, len(verdicts))
	var updates []verdict
	for i, v := range verdicts {
		gone[i] = v.position
		if g.c.clauseOf(v).action == Update {
			updates = append(updates, v)
		}
	}
	all := allColumns(g.c.target)
	source, target := g.c.needs(all)
	if g.c.lineage {
		target = append(target, lineageColumns...)
	}
	err := g.c.eachUpdate(g.ctx, f, cur, updates, source, target, func(fr *frame, v []verdict, b block) error {
		columns, err := g.c.updated(g.ctx, fr, v, all)
		if err != nil {
			return err
		}
		if g.c.lineage {
			id, seq := lineageOf(f, b, func(int) bool { return true })
			columns = append(columns, id, seq)
		}
		defer rows.Release(columns)
		return g.add(columns, len(v))
	})
	if err != nil {
		return err
	}
	return g.deletes(f, bitmapOf(gone))
}

func allColumns(s *arrow.Schema) []int {
	out := make([]int, s.NumFields())
	for i := range out {
		out[i] = i
	}
	return out
}

// deletes marks positions of a file as deleted: in format v3 by one vector that
// holds the former deletes too, in v2 by one more file of positions.
func (g *group) deletes(f *targetFile, gone *roaring64.Bitmap) error {
	if g.c.meta.Version() >= 3 {
		gone.Or(f.deleted)
		g.vectors = append(g.vectors, datafile.VectorDelete{DataFile: f.task.File, Positions: gone})
		g.out.removeDeletes = append(g.out.removeDeletes, f.task.DeletionVectorFiles...)
		return nil
	}
	file, err := datafile.WritePositionDeletes(g.ctx, g.c.meta, g.c.fs, f.task.File, gone)
	if err != nil {
		return fmt.Errorf("write position deletes of %s: %w", f.task.File.FilePath(), err)
	}
	g.out.addDeletes = append(g.out.addDeletes, file)
	return nil
}

// copyOnWrite writes a file's rows again, changed.
func (g *group) copyOnWrite(f *targetFile, verdicts []verdict, cur cursor) error {
	read := columnNames(g.c.target)
	if g.c.lineage {
		read = append(read, lineageColumns...)
	}
	err := g.c.reader.scan(g.ctx, f, targetScope, read, nil, func(b block) error {
		n := 0
		for n < len(verdicts) && verdicts[n].position <= b.positions[b.n-1] {
			n++
		}
		mine := verdicts[:n]
		verdicts = verdicts[n:]
		return g.rewrite(f, b, mine, cur)
	})
	if err != nil {
		return err
	}
	if len(verdicts) > 0 {
		return fmt.Errorf("%s: row %d is not there any more", f.task.File.FilePath(), verdicts[0].position)
	}
	g.out.removeData = append(g.out.removeData, f.task.File)
	g.out.removeDeletes = append(g.out.removeDeletes, ownDeletes(f.task)...)
	return nil
}

// ownDeletes are the delete files that concern no other file than the task's.
func ownDeletes(task table.FileScanTask) []iceberg.DataFile {
	out := slices.Clone(task.DeletionVectorFiles)
	for _, d := range task.DeleteFiles {
		if ref := d.ReferencedDataFile(); ref != nil && *ref == task.File.FilePath() {
			out = append(out, d)
		}
	}
	return out
}

// rewrite writes a block of rows, of which some are updated or deleted.
func (g *group) rewrite(f *targetFile, b block, verdicts []verdict, cur cursor) error {
	// refs names for each row that stays its place in the old columns (chunk 0)
	// or in the new ones (chunk 1).
	refs := make([]rows.Ref, 0, b.n)
	var updates []verdict
	var index []int32 // the updated rows in the block
	at, kept := 0, []int32{}
	for i, p := range b.positions {
		if at < len(verdicts) && verdicts[at].position == p {
			v := verdicts[at]
			at++
			if g.c.clauseOf(v).action == Delete {
				continue
			}
			refs = append(refs, rows.At(1, len(updates)))
			updates, index = append(updates, v), append(index, int32(i))
		} else {
			refs = append(refs, rows.At(0, i))
		}
		kept = append(kept, int32(i))
	}
	if at < len(verdicts) {
		return fmt.Errorf("row %d is not there any more", verdicts[at].position)
	}
	g.out.carried += int64(len(kept) - len(updates))
	columns, err := g.overlay(b, refs, updates, index, cur)
	if err != nil {
		return err
	}
	defer func() { rows.Release(columns) }()
	if g.c.lineage {
		isUpdated := make([]bool, b.n)
		for _, i := range index {
			isUpdated[i] = true
		}
		id, seq := lineageOf(f, b, func(i int) bool { return isUpdated[i] })
		for _, a := range []arrow.Array{id, seq} {
			stay := make([]rows.Ref, len(kept))
			for i, k := range kept {
				stay[i] = rows.At(0, int(k))
			}
			out, err := rows.Gather([]arrow.Array{a}, stay)
			a.Release()
			if err != nil {
				return err
			}
			columns = append(columns, out)
		}
	}
	return g.add(columns, len(refs))
}

// overlay puts the new values of updated rows in the place of the old ones.
func (g *group) overlay(b block, refs []rows.Ref, updates []verdict, index []int32, cur cursor) ([]arrow.Array, error) {
	old := b.columns[:g.c.target.NumFields()]
	var fresh []arrow.Array
	if len(updates) > 0 {
		source, target := g.c.needs(g.c.columns)
		names := &frame{n: b.n}
		for _, t := range target {
			names.add(targetScope+t, b.column(targetScope+t))
		}
		picked, err := names.pick(index)
		if err != nil {
			return nil, err
		}
		defer picked.release()
		s, err := cur.take(g.ctx, source, updates)
		if err != nil {
			return nil, err
		}
		defer s.release()
		if fresh, err = g.c.updated(g.ctx, s.join(picked), updates, g.c.columns); err != nil {
			return nil, err
		}
		defer rows.Release(fresh)
	}
	out := make([]arrow.Array, len(old))
	for c, a := range old {
		i := slices.Index(g.c.columns, c)
		switch {
		case len(refs) == b.n && (len(updates) == 0 || i < 0):
			a.Retain()
			out[c] = a
			continue
		case i < 0 || len(updates) == 0:
			// Of updated rows too the old value stays: read it from there.
			stay := slices.Clone(refs)
			for k, r := range stay {
				if r>>32 == 1 {
					stay[k] = rows.At(0, int(index[uint32(r)]))
				}
			}
			var err error
			if out[c], err = rows.Gather([]arrow.Array{a}, stay); err != nil {
				rows.Release(out)
				return nil, fmt.Errorf("column %s: %w", g.c.target.Field(c).Name, err)
			}
		default:
			var err error
			if out[c], err = rows.Gather([]arrow.Array{a, fresh[i]}, refs); err != nil {
				rows.Release(out)
				return nil, fmt.Errorf("column %s: %w", g.c.target.Field(c).Name, err)
			}
		}
	}
	return out, nil
}
