// Package merge plans and carries out a MERGE into an Iceberg table: which
// rows of which files change, and the files that say so. What it makes is a
// commit.Change; committing it is tables/commit's business.
//
// A merge goes through five stages, each a function of values that can travel:
//
//	load    the source's keys into a hash table
//	prune   the table's files that cannot hold one of those keys
//	match   stream the key columns of each file past the hash table
//	write   the deletes and the new versions of changed rows, group by group
//	insert  the source rows that no file matched
//
// Where there is much to match, files are divided into groups that other
// processes match and write: see Fanout.
package merge

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
)

// Plan is one MERGE of one source. Its Change is a commit.Planner: called again
// after the head of the table moved, it redoes only the file groups that
// conflict, and keeps the rest.
//
// A Plan owns its temporary files and, until they are committed, the data files
// it has written. Close removes the former; Abort the latter too. A Plan is for
// one goroutine.
type Plan struct {
	source Source
	opts   Options
	stats  Stats
	read   atomic.Int64 // bytes of the table's files, by all attempts

	// What depends on the table's schema and layout, and is made anew with them.
	shape   Shape
	binding *binding
	loaded  *loaded        // nil until something is to be looked through
	memory  *memoryPayload // the source's rows, if they fit
	routed  bool           // they do not
	fs      iceio.WriteFileIO

	// What was found and written so far.
	began bool
	// base is the snapshot as of which files has all that matters; nil if it has not.
	base    *int64
	files   map[string]*fileState // all candidate files, by path
	groups  map[*groupState]bool
	inserts *inserted
	matched *roaring.Bitmap // by any file, when inserts was made

	// What was, or is to be, done by other processes.
	fan     Fanout
	planned bool            // at some head, and sent or found late
	taken   Stats           // what the results from elsewhere have cost
	adopted map[string]bool // files with results from elsewhere, by path
	dropped []*written      // results from elsewhere that no longer hold

	// leftover is what was written here and given up when it could not be known
	// whether an earlier attempt had committed it.
	leftover []iceberg.DataFile
}

// fileState is what is known of a candidate file.
type fileState struct {
	path      string
	signature string
	// matched and applied are the source rows that matched a row of the file, and
	// those of them that a clause applied to.
	matched, applied *roaring.Bitmap
	group            *groupState // nil if nothing in the file changes
	elsewhere        bool        // another process found it, or takes it over
}

// groupState is a set of files whose changes were written together.
type groupState struct {
	files     []*fileState
	out       *written
	elsewhere bool // another process has written it, or takes it over
}

// New checks what can be checked without the table.
func New(source Source, opts Options) (*Plan, error) {
	if opts.Strategy == "" {
		opts.Strategy = CopyOnWrite
	}
	if opts.NewColumns == "" {
		opts.NewColumns = IgnoreNewColumns
	}
	if opts.Isolation == "" {
		opts.Isolation = Serializable
	}
	if opts.MemoryLimit <= 0 {
		opts.MemoryLimit = 1 << 30
	}
	if opts.Parallelism <= 0 {
		opts.Parallelism = runtime.GOMAXPROCS(0)
	}
	if opts.TempDir == "" {
		opts.TempDir = os.TempDir()
	}
	switch {
	case opts.Strategy != CopyOnWrite && opts.Strategy != MergeOnRead:
		return nil, fmt.Errorf("%w: strategy %q", ErrOptions, opts.Strategy)
	case opts.NewColumns != IgnoreNewColumns && opts.NewColumns != RefuseNewColumns:
		return nil, fmt.Errorf("%w: policy %q for new columns", ErrOptions, opts.NewColumns)
	case opts.Isolation != Serializable && opts.Isolation != Snapshot:
		return nil, fmt.Errorf("%w: isolation %q", ErrOptions, opts.Isolation)
	case len(opts.Matched)+len(opts.NotMatched)+len(opts.NotMatchedBySource) == 0:
		return nil, fmt.Errorf("%w: there is no clause", ErrOptions)
	case source.Schema().NumFields() == 0:
		return nil, fmt.Errorf("%w: the source has no columns", ErrOptions)
	}
	return &Plan{source: plain(source), opts: opts}, nil
}

// Change computes what to commit on top of head; nil if nothing changes. After
// an error it begins anew; what was written stays until Landed or Abort.
func (p *Plan) Change(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
	change, err := p.plan(ctx, head)
	if err != nil {
		p.discard()
	}
	return change, err
}

// match matches files in parallel. What changes in them is in the log, by the
// index of the file.
func (p *Plan) match(ctx context.Context, r *reader, tasks []table.FileScanTask) ([]*targetFile, *verdictLog, error) {
	files := make([]*targetFile, len(tasks))
	states := make([]*fileState, len(tasks))
	err := p.parallel(ctx, len(tasks), func(ctx context.Context, i int) (err error) {
		states[i] = &fileState{path: tasks[i].File.FilePath(), signature: signatureOf(tasks[i]), matched: roaring.New(), applied: roaring.New()}
		files[i], err = r.file(ctx, tasks[i])
		return err
	})
	if err != nil {
		return nil, nil, wrap(p.binding.table, "match", err)
	}
	log := newVerdictLog(p.opts.TempDir, p.opts.MemoryLimit/16)
	var mu sync.Mutex
	found := func(file int, m *matches) error {
		applied := slices.Clone(m.also)
		for _, v := range m.verdicts {
			if v.source != noSource {
				applied = append(applied, v.source)
			}
		}
		matched, changing := bitmapOfRows(m.source), bitmapOfRows(applied)
		mu.Lock()
		states[file].matched.Or(matched)
		states[file].applied.Or(changing)
		mu.Unlock()
		return log.add(file, m.verdicts)
	}
	m := &matcher{binding: p.binding, reader: r, loaded: p.loaded, source: p.source}
	if p.loaded.shards != nil {
		var spilled int64
		spilled, err = m.sharded(ctx, files, found)
		p.stats.SpilledBytes += spilled
		p.fan.passed(len(files))
	} else {
		err = p.parallel(ctx, len(files), func(ctx context.Context, i int) error {
			out, err := m.file(ctx, files[i])
			if err != nil {
				return err
			}
			p.fan.passed(1)
			return found(i, out)
		})
	}
	if err != nil {
		log.close()
		return nil, nil, wrap(p.binding.table, "match", err)
	}
	for i, f := range files {
		p.files[tasks[i].File.FilePath()] = states[i]
		f.state = states[i]
	}
	return files, log, nil
}

// parallel calls do for 0 to n-1, some at a time, until one fails.
func (p *Plan) parallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(p.opts.Parallelism)
	for i := range n {
		g.Go(func() error {
			if err := each.Err(); err != nil {
				return err
			}
			return do(each, i)
		})
	}
	return g.Wait()
}

func bitmapOfRows(numbers []uint32) *roaring.Bitmap {
	out := roaring.New()
	out.AddMany(numbers)
	return out
}

// wrap says what was attempted, unless the error does so itself.
func wrap(name, what string, err error) error {
	switch err.(type) {
	case *CardinalityError, *NullError, *ValueError:
		return err
	}
	return fmt.Errorf("merge into %s: %s: %w", name, what, err)
}

// write writes the changes, groups in parallel.
func (p *Plan) write(ctx context.Context, r *reader, files []*targetFile, log *verdictLog) error {
	var changes []changed
	for i, f := range files {
		if log.count(i) > 0 {
			changes = append(changes, changed{file: f, number: i})
		}
	}
	if len(changes) == 0 {
		return nil
	}
	source, done, err := p.payload(ctx, files, log)
	if err != nil {
		return err
	}
	defer done()
	c, err := p.changer(r)
	if err != nil {
		return err
	}
	c.payload, c.log = source, log
	groups := groupFiles(changes, p.opts.Parallelism)
	outs := make([]*written, len(groups))
	err = p.parallel(ctx, len(groups), func(ctx context.Context, i int) (err error) {
		outs[i], err = c.write(ctx, groups[i])
		return err
	})
	for i, group := range groups {
		if outs[i] == nil {
			continue
		}
		state := &groupState{out: outs[i]}
		for _, f := range group {
			f.file.state.group = state
			state.files = append(state.files, f.file.state)
		}
		p.groups[state] = true
	}
	if err != nil {
		return wrap(p.binding.table, "write", err)
	}
	return nil
}

// payload makes the source's rows ready for the files that they go to: in
// memory, where they stay for inserts and further attempts, or on disk.
func (p *Plan) payload(ctx context.Context, files []*targetFile, log *verdictLog) (payload, func(), error) {
	start := time.Now()
	defer func() { p.stats.timed("load", start) }()
	b := p.binding
	if len(b.sourceUpdate) == 0 {
		return &memoryPayload{}, func() {}, nil
	}
	if p.memory == nil && !p.routed {
		columns := columnSet{}
		for _, c := range slices.Concat(b.sourceUpdate, b.sourceInsert) {
			columns.name(c)
		}
		var err error
		p.memory, err = loadPayload(ctx, b, p.source, p.loaded.decide, columns.of(b.source), p.opts.MemoryLimit/2-p.loaded.bytes)
		if p.routed = err == errTooMuch; err != nil && !p.routed {
			return nil, nil, err
		}
	}
	if p.memory != nil {
		return p.memory, func() {}, nil
	}
	routed, err := route(ctx, b, p.source, b.sourceUpdate, files, log)
	if err != nil {
		return nil, nil, wrap(b.table, "write", err)
	}
	p.stats.SpilledBytes += routed.spill.size()
	return routed, routed.release, nil
}

func (p *Plan) changer(r *reader) (*changer, error) {
	return newChanger(p.binding, r, datafile.WriterOptions{
		MemoryLimit: max(p.opts.MemoryLimit/int64(4*p.opts.Parallelism), 16<<20),
		Parallelism: p.opts.Parallelism,
	})
}

// insert writes the source rows that no file matched, unless that is done.
func (p *Plan) insert(ctx context.Context, r *reader) error {
	start := time.Now()
	defer func() { p.stats.timed("insert", start) }()
	matched := roaring.New()
	for _, f := range p.files {
		matched.Or(f.matched)
	}
	if p.inserts != nil && p.matched.Equals(matched) {
		return nil
	}
	p.dropInserts()
	c, err := p.changer(r)
	if err != nil {
		return err
	}
	if p.inserts, err = c.insert(ctx, p.source, p.memory, int(p.stats.SourceRows), matched); err != nil {
		return err
	}
	p.matched = matched
	return nil
}

// Stats is what the last call of Change came to.
func (p *Plan) Stats() Stats {
	out := p.stats
	out.BytesRead += p.read.Load()
	out.Stages = maps.Clone(p.stats.Stages)
	return out
}

// Close removes temporary files and lets go of the source's rows. The files of
// the last Change stay.
func (p *Plan) Close() error {
	p.release()
	return nil
}

func (p *Plan) release() {
	if p.memory != nil {
		p.memory.release()
	}
	p.loaded.close()
	p.memory, p.loaded, p.routed, p.began, p.base = nil, nil, false, false, nil
}

// Abort is Close for a merge that is not committed: it also removes the files
// that Change has written.
func (p *Plan) Abort(ctx context.Context) error {
	p.discard()
	p.removeLeftover()
	return p.Close()
}
