package merge

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/semaphore"

	"github.com/varve-lake/varve/tables/datafile"
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
	carriedBytes                                   int64 // copied, not decoded
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
	columns []int // that some update clause may change
	options datafile.WriterOptions
	// room is for the row groups of files written anew that are worked on, over
	// all groups, in bytes.
	room  *semaphore.Weighted
	space int64
	once  sync.Once
	bytes *datafile.Carrier
	err   error
}

func newChanger(b *binding, r *reader, options datafile.WriterOptions) (*changer, error) {
	fs, ok := r.fs.(iceio.WriteFileIO)
	if !ok {
		return nil, fmt.Errorf("merge into %s: its store cannot be written to", b.table)
	}
	space := max(b.opts.MemoryLimit/2, minGroupBytes)
	return &changer{
		binding: b, reader: r, fs: fs, meta: r.meta, columns: b.changing(), options: options, room: semaphore.NewWeighted(space), space: space,
	}, nil
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

// carrier is what files are written anew with, made when there is a first one.
func (c *changer) carrier(ctx context.Context) (*datafile.Carrier, error) {
	c.once.Do(func() {
		meta := c.meta
		if c.lineage {
			meta = lineageMeta{meta}
		}
		c.bytes, c.err = datafile.NewCarrier(ctx, meta, c.fs, c.options)
	})
	return c.bytes, c.err
}

func (c *changer) openWriter(ctx context.Context, lineage bool) (*datafile.Writer, error) {
	meta := c.meta
	if lineage {
		meta = lineageMeta{meta}
	}
	return datafile.NewWriter(ctx, meta, c.fs, c.options)
}
