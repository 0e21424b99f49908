package merge

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
)

// Fanout shares a merge out among processes. Its plan is divided by one of them,
// at the first head that it sees; its groups are matched and written by any
// number of them; and one takes over what they found, redoes what no longer
// holds, inserts and commits.
//
// A merge with little to look through is not divided: there it costs nothing.
// With Redo it is once there was a conflict, however little has to be redone,
// so that whoever watches sees it. What the process that divides has found and
// written itself, and what of it still holds, is a result of the division as
// those of the groups are: see Division.Kept.
type Fanout struct {
	// Above is how many bytes of data files are looked through by this process at
	// most: of more, Change makes a Division, and a *DividedError. 0: any number.
	Above int64
	// Redo has any number of files divided, also into one group, that are to be
	// looked through again after a conflict.
	Redo bool
	// GroupBytes is where a group ends, of GroupFiles and of its description in
	// bytes too. 0: 512 MiB, 1000 files, 1 MiB. A group takes more bytes where
	// there would be too many of them.
	GroupBytes int64
	GroupFiles int
	// Done is what became of earlier divisions of this merge, oldest first.
	Done []Done
	// Progress, when set, is told how many more files have been looked through. It
	// may be called from several goroutines.
	Progress func(files int)
}

// Done is a division and what came of it: what was kept, if something was, and
// of each group. Where something is missing, its files are looked through again.
type Done struct {
	Division Division
	Found    []*Found
}

// Share makes a plan one that is shared out. It is called before the first Change.
func (p *Plan) Share(f Fanout) { p.fan = f }

func (f *Fanout) passed(files int) {
	if f.Progress != nil {
		f.Progress(files)
	}
}

// Division says how the files that a merge has to look through are shared out.
// It travels without its groups, which may be many, and without what was kept.
type Division struct {
	Shape Shape `json:"shape"`
	// Snapshot is the head that the groups are to be looked through at; 0 is a
	// table without rows.
	Snapshot int64 `json:"snapshot"`
	// Fresh says that nothing of earlier divisions holds; Dropped are the files of
	// which nothing does, by path.
	Fresh   bool     `json:"fresh,omitempty"`
	Dropped []string `json:"dropped,omitempty"`

	SourceRows int64 `json:"source_rows"`
	Pruned     int   `json:"pruned"`
	Redone     int   `json:"redone,omitempty"` // groups whose results no longer hold

	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	// Count is how many results there are to be: one of each group and, if who
	// divides has kept something, one more. Without Kept among them nothing that
	// rests on it is taken for known.
	Count  int     `json:"count"`
	Groups []Group `json:"-"`
	// Kept is what who divides has found and written itself since it took over the
	// earlier results, and what still holds; nil if nothing does.
	Kept *Found `json:"-"`
	// Sent says that what was kept may be the table's: it was sent to the catalog,
	// and nothing has proved since that it is not there. It is not to be removed.
	Sent bool `json:"-"`

	// What it has cost so far, without what the earlier results say of theirs.
	Spilled int64                    `json:"spilled,omitempty"`
	Read    int64                    `json:"read,omitempty"` // bytes of the table's files
	Stages  map[string]time.Duration `json:"stages,omitempty"`
}

// Group is a part of a division.
type Group struct {
	Files []File `json:"files"`
	Bytes int64  `json:"bytes"`
	// Narrow says that most of the source's keys lie outside of the group's bounds.
	Narrow bool `json:"narrow,omitempty"`
}

// Weight is about the size of the group's JSON.
func (g Group) Weight() int {
	n := 64
	for _, f := range g.Files {
		n += f.Weight()
	}
	return n
}

// DividedError is the error of a Change that was not made, because the merge has
// more to look through than Fanout.Above, or something again and Fanout.Redo.
type DividedError struct{ Division *Division }

func (e *DividedError) Error() string {
	return fmt.Sprintf("%d files are to be looked through in %d groups", e.Division.Files, len(e.Division.Groups))
}

const (
	defaultGroupBytes = 512 << 20
	defaultGroupFiles = 1000
	groupWeight       = 1 << 20
	// fewGroups is how many groups there should be at most, unless they become
	// larger than largestGroup by it.
	fewGroups    = 250
	largestGroup = 8 << 30
)

// divide is a *DividedError if there is much to do, and more than one group of
// it, or something to be done again.
func (p *Plan) divide(head *table.Table, todo []table.FileScanTask) error {
	redo := p.redoes() && len(todo) > 0
	if !redo && (p.fan.Above <= 0 || bytesOf(todo) <= p.fan.Above) {
		return nil
	}
	groups, err := p.group(head.Metadata(), todo)
	if err != nil {
		return fmt.Errorf("merge into %s: divide: %w", p.binding.table, err)
	}
	if len(groups) < 2 && !redo {
		return nil
	}
	d := &Division{
		Shape: p.shape, Snapshot: *headOf(head), SourceRows: int64(p.loaded.rows), Pruned: p.stats.FilesPruned,
		Redone: p.stats.GroupsRedone, Files: len(todo), Bytes: bytesOf(todo), Count: len(groups), Groups: groups,
	}
	if err := p.keep(head.Metadata(), d); err != nil {
		return err
	}
	return &DividedError{d}
}

// redoes tells whether what is to be looked through now is so after a conflict,
// and is to be divided.
func (p *Plan) redoes() bool { return p.fan.Redo && (p.planned || len(p.fan.Done) > 0) }

func bytesOf(tasks []table.FileScanTask) (n int64) {
	for _, t := range tasks {
		n += t.File.FileSizeBytes()
	}
	return n
}

// group divides files into groups. Those whose keys lie close together stay so:
// their group has to know of few of the source's keys, and its changes end up in
// few files.
func (p *Plan) group(meta table.Metadata, tasks []table.FileScanTask) ([]Group, error) {
	tasks = p.binding.ordered(tasks)
	limit := cmp.Or(p.fan.GroupBytes, defaultGroupBytes)
	limit = max(limit, min(bytesOf(tasks)/fewGroups, largestGroup))
	files := cmp.Or(p.fan.GroupFiles, defaultGroupFiles)
	var out []Group
	var members [][]table.FileScanTask
	weight := 0
	for _, t := range tasks {
		f, err := p.describe(meta, t)
		if err != nil {
			return nil, err
		}
		last := len(out) - 1
		if last < 0 || out[last].Bytes+t.File.FileSizeBytes() > limit || len(out[last].Files) >= files || weight+f.Weight() > groupWeight {
			out, members = append(out, Group{}), append(members, nil)
			last, weight = last+1, 0
		}
		out[last].Files = append(out[last].Files, f)
		out[last].Bytes += t.File.FileSizeBytes()
		members[last] = append(members[last], t)
		weight += f.Weight()
	}
	for i := range out {
		out[i].Narrow = p.binding.narrows(p.loaded, members[i])
	}
	return out, nil
}

// ordered sorts files by partition, and within it by the least values of their keys.
func (b *binding) ordered(tasks []table.FileScanTask) []table.FileScanTask {
	type place struct {
		task      table.FileScanTask
		partition string
		keys      []keyBounds // the zero value where nothing is known
	}
	places := make([]place, len(tasks))
	for i, t := range tasks {
		places[i] = place{task: t, partition: datafile.PartitionKey(int(t.File.SpecID()), t.File.Partition())}
		for _, k := range b.keys {
			bounds, _ := k.bounds(t)
			places[i].keys = append(places[i].keys, bounds)
		}
	}
	slices.SortFunc(places, func(x, y place) int {
		if c := cmp.Compare(x.partition, y.partition); c != 0 {
			return c
		}
		for i, k := range x.keys {
			if c := cmp.Or(cmp.Compare(k.low, y.keys[i].low), bytes.Compare(k.lowest, y.keys[i].lowest)); c != 0 {
				return c
			}
		}
		return cmp.Compare(x.task.File.FilePath(), y.task.File.FilePath())
	})
	out := make([]table.FileScanTask, len(places))
	for i, p := range places {
		out[i] = p.task
	}
	return out
}

// Match looks through one group of a division, at a table as it is now, and
// writes what changes. Called twice, it writes twice, and each result may be
// taken over. errMoved, as Moved tells, is for a table that has another layout
// than when the merge was divided.
func (p *Plan) Match(ctx context.Context, head *table.Table, d Division, g Group) (_ *Found, err error) {
	if shapeOf(head) != d.Shape {
		return nil, errMoved
	}
	p.fan.Above, p.fan.Redo, p.fan.Done = 0, false, nil
	defer func() {
		if err != nil {
			_ = p.Abort(ctx)
		}
	}()
	if err := p.begin(head); err != nil {
		return nil, err
	}
	files, err := d.Shape.decoder(head.Metadata())
	if err != nil {
		return nil, fmt.Errorf("merge into %s: %w", p.binding.table, err)
	}
	tasks, err := files.Tasks(g.Files)
	if err != nil {
		return nil, fmt.Errorf("merge into %s: %w", p.binding.table, err)
	}
	var kept *narrowed
	if g.Narrow {
		if kept, err = p.binding.narrow(ctx, p.source, tasks); err != nil {
			return nil, fmt.Errorf("merge into %s: load the source's keys: %w", p.binding.table, err)
		}
		p.source = kept
	}
	r, err := newReader(ctx, head, &p.read)
	if err != nil {
		return nil, fmt.Errorf("merge into %s: %w", p.binding.table, err)
	}
	if err := p.matchAndWrite(ctx, head, r, tasks); err != nil {
		return nil, err
	}
	found, err := p.found(head.Metadata(), kept)
	if err != nil {
		return nil, err
	}
	found.Spilled, found.Read, found.Stages = p.spent()
	return found, nil
}
