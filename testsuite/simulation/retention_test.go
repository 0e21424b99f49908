package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/internal/rowfilter"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// Values are a row's time, of which a table that is partitioned by ranges has four partitions.
const (
	valueRange = 1 << 32
	rangeWidth = valueRange / 4
)

// retain deletes the rows whose value is below a bound, often one between two partitions: whole files go by what metadata
// says of them, and the rest by writing files anew.
func (s *sim) retain(writer string, i int, rng *rand.Rand) *operation {
	time.Sleep(time.Duration(rng.Int64N(int64(2 * olderThan))))
	bound := rng.Int64N(valueRange * 3 / 4)
	if rng.IntN(2) == 0 {
		bound = rangeWidth * (1 + rng.Int64N(3))
	}
	op := &operation{kind: "retain", writer: writer, token: fmt.Sprintf("%s-%d", writer, i), bound: bound}
	op.effect = func(now state) state {
		return now.with(now.without(func(r row) bool { return r.v < bound }))
	}
	op.do = func(p *process) (bool, error) {
		return p.retain(below(bound), below(bound), true)
	}
	return op
}

func below(bound int64) string { return fmt.Sprintf("v < %d", bound) }

// retain deletes where a condition holds; whole says of which files all rows are taken to be meant, and marked whether the
// snapshot tells what it is.
func (p *process) retain(condition, whole string, marked bool) (bool, error) {
	t, rows, err := p.rowsWhere(condition, whole)
	if err != nil {
		return false, err
	}
	opts := p.commitOptions()
	if marked {
		opts.Summary = map[string]string{maintain.RetentionKey: "true"}
	}
	return p.put(t, nil, func() (tables.Result, error) { return t.Delete(bg, opts, rows) })
}

// retainOnce plans at the first head only.
func (p *process) retainOnce(bound int64) (bool, error) {
	filter, err := rowfilter.Compile(below(bound), (&source{without: true}).Schema())
	if err != nil {
		return false, err
	}
	plan, err := merge.Deletion(filter, merge.Options{Strategy: merge.CopyOnWrite, Within: filter.May, Parallelism: 1})
	if err != nil {
		return false, err
	}
	defer plan.Close()
	return p.planned(once(plan.Change))
}

// settle lets the time go by in which snapshots stay, and then has one maintenance, without faults: what a retention has
// erased has to be gone after it, from wherever no tag or branch keeps it, also where snapshots are kept by number, and what a build
// left that died.
func (s *sim) settle() {
	s.count("row erased", len(s.model.erased))
	if len(s.model.erased) == 0 || s.catalog.currentOnly {
		return
	}
	s.faultRate = 0
	rng := rand.New(rand.NewPCG(s.seed, 8))
	s.spawn(rng, func() {
		time.Sleep(10 * olderThan)
		s.perform(s.expiry("settle", "settle-expire", 3), rng)
		time.Sleep(10 * olderThan) // the expiry counts as a build that ended just now
		swept := 0
		s.perform(s.sweep("settle-sweep", false, &swept), rng)
	})
	s.run()
	s.checkErased()
}

// checkErased looks into the data files themselves.
func (s *sim) checkErased() {
	t := s.catalog.table(nil, len(s.catalog.versions)-1)
	tagged := map[string]bool{}
	for name, ref := range t.Metadata().Refs() {
		if name != table.MainBranch {
			for _, task := range s.filesOf(t, ref.SnapshotID) {
				tagged[task.File.FilePath()] = true
			}
		}
	}
	named := map[string]bool{}
	for _, snap := range t.Metadata().Snapshots() {
		for _, task := range s.filesOf(t, snap.SnapshotID) {
			path := task.File.FilePath()
			if named[path] || tagged[path] {
				continue
			}
			named[path] = true
			if v, found := s.holdsErased(t, task); found {
				s.violate("snapshot %d still holds the value %d, which a retention erased", snap.SequenceNumber, v)
			}
		}
	}
	for name := range s.store.files {
		if kindOf(name) == "data" && !named[name] && !tagged[name] {
			s.violate("%s is left, and no snapshot names it", kindOf(name))
		}
	}
}

func (s *sim) filesOf(t *table.Table, snapshot int64) []table.FileScanTask {
	tasks, err := t.Scan(table.WithSnapshotID(snapshot)).PlanFiles(context.Background())
	if err != nil {
		s.violate("snapshot %d cannot be planned: %v", snapshot, err)
	}
	return tasks
}

// holdsErased looks into a file for an erased value, also where a delete file hides it.
func (s *sim) holdsErased(t *table.Table, task table.FileScanTask) (int64, bool) {
	whole := table.FileScanTask{File: task.File, Length: task.File.FileSizeBytes()}
	rows, err := rowsIn(t, datafile.ScanOptions{Files: []table.FileScanTask{whole}})
	if err != nil {
		s.violate("%v", err)
	}
	for _, r := range rows {
		if s.model.erased[r.v] {
			return r.v, true
		}
	}
	return 0, false
}
