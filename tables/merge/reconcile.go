package merge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
)

// Shape is what a table's files are written by; if it changes between two
// attempts, everything is done again.
type Shape struct {
	Schema  int `json:"schema"`
	Spec    int `json:"spec"`
	Order   int `json:"order"`
	Version int `json:"version"`
}

func shapeOf(t *table.Table) Shape {
	m := t.Metadata()
	spec := m.PartitionSpec()
	return Shape{Schema: m.CurrentSchema().ID, Spec: spec.ID(), Order: m.DefaultSortOrder(), Version: m.Version()}
}

// decoder reads files that were described for a table of the shape.
func (s Shape) decoder(meta table.Metadata) (*datafile.Decoder, error) {
	return datafile.NewDecoder(meta, s.Schema, s.Version)
}

func (p *Plan) plan(ctx context.Context, head *table.Table) (*commit.Change, error) {
	if err := p.begin(head); err != nil {
		return nil, err
	}
	todo, err := p.reconcile(ctx, head)
	if err != nil {
		return nil, err
	}
	r, err := newReader(ctx, head, &p.read)
	if err != nil {
		return nil, fmt.Errorf("merge into %s: %w", p.binding.table, err)
	}
	if err := p.matchAndWrite(ctx, head, r, todo); err != nil {
		return nil, err
	}
	p.base = headOf(head)
	if err := p.insert(ctx, r); err != nil {
		return nil, err
	}
	p.planned = true
	return p.change(), nil
}

// headOf is the id of a table's current snapshot; 0 is a table without one.
func headOf(t *table.Table) *int64 {
	var id int64
	if s := t.CurrentSnapshot(); s != nil {
		id = s.SnapshotID
	}
	return &id
}

// begin makes what all stages share, unless it is there already, and takes over
// what other processes have done.
func (p *Plan) begin(head *table.Table) error {
	if p.began && p.shape == shapeOf(head) {
		return nil
	}
	if p.began {
		p.discard()
	}
	if err := p.bind(head); err != nil {
		return err
	}
	p.stats = Stats{Warnings: p.binding.warnings}
	p.files, p.groups, p.inserts, p.began = map[string]*fileState{}, map[*groupState]bool{}, nil, true
	return p.adopt(head.Metadata())
}

func (p *Plan) bind(head *table.Table) error {
	ctx := context.Background() // what was written is removed by this store also after a call was cancelled
	b, err := bind(ctx, head, p.source.Schema(), p.opts)
	if err != nil {
		return err
	}
	fs, err := head.FS(ctx)
	if err != nil {
		return fmt.Errorf("merge into %s: %w", b.table, err)
	}
	var ok bool
	if p.fs, ok = fs.(iceio.WriteFileIO); !ok {
		return fmt.Errorf("merge into %s: its store cannot be written to", b.table)
	}
	if b.opts.Strategy == MergeOnRead && head.Metadata().Version() < 2 {
		return b.errorf("merge-on-read takes table format version 2")
	}
	p.shape, p.binding = shapeOf(head), b
	return nil
}

// load reads the source's keys, unless they are there. With boundsOnly it is
// enough to know where they lie.
func (p *Plan) load(ctx context.Context, head *table.Table, boundsOnly bool) error {
	if p.loaded != nil && (boundsOnly || !p.loaded.boundsOnly) {
		return nil
	}
	start := time.Now()
	specs := head.Metadata().PartitionSpecs()
	var l *loaded
	var err error
	if boundsOnly {
		l, err = p.binding.loadBounds(ctx, p.source, specs)
	} else {
		l, err = p.binding.load(ctx, p.source, specs)
	}
	if err != nil {
		return err
	}
	p.loaded = l
	p.stats.SourceRows = int64(l.rows)
	p.stats.timed("load", start)
	if l.shards != nil {
		p.stats.SpilledBytes += l.shards.spill.size()
	}
	return nil
}

// reconcile brings what is known of the table's files up to the head's: files
// that are as they were keep their results. It returns the others, which are to
// be matched.
func (p *Plan) reconcile(ctx context.Context, head *table.Table) ([]table.FileScanTask, error) {
	if p.base != nil {
		if added, known, err := p.since(ctx, head); known || err != nil {
			return added, err
		}
	}
	// Where others have matched files, few or none are left: their keys may never be needed here.
	if err := p.load(ctx, head, len(p.adopted) > 0); err != nil {
		return nil, err
	}
	start := time.Now()
	tasks, pruned, err := p.binding.candidates(ctx, head, p.loaded)
	if err != nil {
		return nil, fmt.Errorf("merge into %s: plan files: %w", p.binding.table, err)
	}
	p.stats.FilesPruned = pruned
	p.stats.timed("prune", start)
	todo, redone := p.forget(tasks)
	p.stats.GroupsRedone += redone
	return todo, p.divide(head, todo)
}

// since finds out from what changed since the base alone what is to be looked
// through: nothing, or files that others have appended. It is not known that way
// if they did more that concerns this merge.
func (p *Plan) since(ctx context.Context, head *table.Table) (added []table.FileScanTask, known bool, err error) {
	if *p.base == *headOf(head) {
		return nil, true, nil
	}
	from := head.SnapshotByID(*p.base)
	if from == nil && *p.base != 0 {
		return nil, false, nil // it has expired
	}
	if from != nil && from.FirstRowID == nil && head.Metadata().Version() >= 3 {
		return nil, false, nil // its rows have got their ids since
	}
	diff, err := commit.BetweenSnapshots(ctx, head, from, head.CurrentSnapshot())
	if err != nil {
		return nil, false, ctx.Err() // its manifests are gone: look at all files instead
	}
	if p.touched(diff) {
		return nil, false, nil
	}
	fresh, err := p.wanted(ctx, head, diff.AddedData)
	if err != nil || len(fresh) == 0 {
		return nil, err == nil, err
	}
	// Of files that were appended, and are as they were written, all is known. Those that replace others may be older than
	// some deletes; those of format 3 have row ids, which only their manifests tell.
	appended := len(diff.RemovedData)+len(diff.AddedDeletes) == 0 && head.Metadata().Version() < 3
	for _, f := range fresh {
		added = append(added, table.FileScanTask{File: f, Length: f.FileSizeBytes()})
	}
	if !appended {
		return nil, false, nil
	}
	return added, true, p.divide(head, added)
}

// touched tells whether others changed which rows are live in a file that this
// merge has looked at.
func (p *Plan) touched(diff *commit.Diff) bool {
	removed := func(f iceberg.DataFile) bool { return p.files[f.FilePath()] != nil }
	deletes := func(f iceberg.DataFile) bool {
		of := commit.ReferencedFile(f)
		return of == "" || p.files[of] != nil
	}
	return slices.ContainsFunc(diff.RemovedData, removed) ||
		slices.ContainsFunc(diff.AddedDeletes, deletes) || slices.ContainsFunc(diff.RemovedDeletes, deletes)
}

// wanted are those of the files that others have added that this merge has to
// look through.
func (p *Plan) wanted(ctx context.Context, head *table.Table, added []iceberg.DataFile) ([]iceberg.DataFile, error) {
	want := p.binding.wants(int(p.stats.SourceRows))
	if p.opts.Isolation == Snapshot || len(added) == 0 || want == nothing {
		return nil, nil
	}
	if err := p.load(ctx, head, true); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(added), func(f iceberg.DataFile) bool {
		return p.opts.Skip != nil && p.opts.Skip(f) || want != everything && !p.binding.mayHold(f, p.loaded)
	}), nil
}

// forget drops the results of files that are gone or have other deletes than
// before, and of those that were written together with them. It returns the
// files to look through.
func (p *Plan) forget(tasks []table.FileScanTask) (todo []table.FileScanTask, redone int) {
	now := make(map[string]string, len(tasks))
	for _, t := range tasks {
		now[t.File.FilePath()] = signatureOf(t)
	}
	known := make(map[string]bool, len(p.files))
	touchedGone := false
	was := maps.Clone(p.files) // some are dropped with their group before their turn comes
	for _, path := range p.filesInOrder() {
		f := was[path]
		known[path] = true
		if now[path] == f.signature {
			continue
		}
		touchedGone = touchedGone || f.group != nil || !f.matched.IsEmpty()
		if p.drop(f) {
			redone++
		}
	}
	// Under snapshot isolation, rows that came since are none of our business;
	// but if a file with matches was rewritten, its rows are in one of the new ones.
	skipNew := p.base != nil && p.opts.Isolation == Snapshot && !touchedGone
	for _, t := range tasks {
		path := t.File.FilePath()
		if p.files[path] == nil && (known[path] || !skipNew) {
			todo = append(todo, t)
		}
	}
	return todo, redone
}

// drop forgets a file's results and, if something was written for it, those of
// the files that it was written with. It tells whether that was so.
func (p *Plan) drop(f *fileState) bool {
	delete(p.files, f.path)
	g := f.group
	if g == nil || !p.groups[g] {
		return false
	}
	delete(p.groups, g)
	p.remove(g)
	for _, member := range g.files {
		delete(p.files, member.path)
	}
	return true
}

// signatureOf is equal for two tasks of a file if the same rows are live, with
// the same ids: those of a table whose format was just raised get theirs by the
// next commit.
func signatureOf(t table.FileScanTask) string {
	out := "live"
	if t.FirstRowID != nil {
		out += "#" + strconv.FormatInt(*t.FirstRowID, 10)
	}
	for _, files := range [][]iceberg.DataFile{t.DeleteFiles, t.EqualityDeleteFiles, t.DeletionVectorFiles} {
		for _, d := range files {
			out += "|" + d.FilePath()
			if at := d.ContentOffset(); at != nil {
				out += "@" + strconv.FormatInt(*at, 10)
			}
		}
	}
	return out
}

// matchAndWrite looks through files, and writes what changes in them.
func (p *Plan) matchAndWrite(ctx context.Context, head *table.Table, r *reader, todo []table.FileScanTask) error {
	if len(todo) == 0 {
		return nil
	}
	if err := p.load(ctx, head, false); err != nil {
		return err
	}
	start := time.Now()
	files, log, err := p.match(ctx, r, todo)
	if err != nil {
		return err
	}
	defer log.close()
	p.stats.timed("match", start)
	start = time.Now()
	defer func() { p.stats.timed("write", start) }()
	return p.write(ctx, r, files, log)
}

// discard forgets everything, to begin anew. What was written stays: an attempt
// whose answer was lost may still commit it.
func (p *Plan) discard() {
	for _, g := range p.groupsInOrder() {
		if !g.elsewhere {
			p.leftover = append(p.leftover, slices.Concat(g.out.addData, g.out.addDeletes)...)
		}
	}
	if p.inserts != nil && !p.inserts.elsewhere {
		p.leftover = append(p.leftover, p.inserts.files...)
	}
	p.groups, p.inserts, p.files = nil, nil, nil
	p.adopted, p.dropped = nil, nil
	p.release()
}

// remove removes what was written for a group. What another process has written
// is kept until the merge is committed without it: the same merge may be under
// way a second time, at a head for which it still holds.
func (p *Plan) remove(g *groupState) {
	if g.elsewhere {
		p.dropped = append(p.dropped, g.out)
		return
	}
	p.removeWritten(g.out)
}

func (p *Plan) removeWritten(w *written) {
	p.removeFiles(w.addData)
	p.removeFiles(w.addDeletes)
}

// removeFiles removes files that nobody else knows of. What cannot be removed
// is an orphan, for maintenance to find.
func (p *Plan) removeFiles(files []iceberg.DataFile) {
	for _, f := range files {
		_ = p.fs.Remove(f.FilePath())
	}
}

// Landed is told that this process has committed the last Change, and that no
// other outcome was ever in doubt. It removes what the change did not need.
func (p *Plan) Landed() {
	for _, w := range p.dropped {
		p.removeWritten(w)
	}
	p.dropped = nil
	p.removeLeftover()
}

func (p *Plan) removeLeftover() {
	p.removeFiles(p.leftover)
	p.leftover = nil
}

// errMoved says that the table's schema or layout is no longer the one that a
// division was made for.
var errMoved = errors.New("the table's schema or layout has changed since the merge was divided")
