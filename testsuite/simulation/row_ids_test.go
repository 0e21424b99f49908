package simulation

import (
	"cmp"
	"context"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/merge"
)

// In format 3 a row has an id of its own: it keeps that when it is updated, moved or copied, and no other row ever has the same. The
// model's records stay the same ones in the same cases.

// identified is a row with its id; -1 is none, as of a snapshot from before the table was of format 3.
type identified struct {
	row
	id int64
}

// rowsAt reads a snapshot, with the ids of its rows where it has such, sorted.
func rowsAt(t *table.Table, snap table.Snapshot) ([]identified, error) {
	o := datafile.ScanOptions{SnapshotID: &snap.SnapshotID, Columns: []string{"k", "v"}, Parallelism: 1}
	if snap.FirstRowID != nil {
		o.Columns = append(o.Columns, iceberg.RowIDColumnName)
	}
	r, err := datafile.Scan(context.Background(), t, o)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	var out []identified
	for r.Next() {
		batch := r.RecordBatch()
		k, v := batch.Column(0).(*array.Int64), batch.Column(1).(*array.Int64)
		for i := range k.Len() {
			at := identified{row{k.Value(i), v.Value(i)}, -1}
			if snap.FirstRowID != nil && batch.Column(2).IsValid(i) {
				at.id = batch.Column(2).(*array.Int64).Value(i)
			}
			out = append(out, at)
		}
	}
	slices.SortFunc(out, func(a, b identified) int {
		return cmp.Or(cmp.Compare(a.k, b.k), cmp.Compare(a.v, b.v), cmp.Compare(a.id, b.id))
	})
	return out, r.Err()
}

func rowsWithout(all []identified) (out []row) {
	for _, r := range all {
		out = append(out, r.row)
	}
	return out
}

// rowIDs is what the snapshots of a run say of rows' ids.
type rowIDs struct {
	sim     *sim
	records map[int64]int64 // by the id
	ids     map[int64]int64 // by the record
}

func newRowIDs(s *sim) *rowIDs { return &rowIDs{s, map[int64]int64{}, map[int64]int64{}} }

// look compares a snapshot's rows with the model's records, which are the same rows. Which of equal rows is which record cannot be told:
// of those it is only known that no two have one id.
func (r *rowIDs) look(snap table.Snapshot, got []identified, want []record) {
	if snap.FirstRowID == nil {
		return
	}
	seen := map[int64]row{}
	for i, g := range got {
		if g.id < 0 {
			r.sim.violate("snapshot %d: row %v has no id", snap.SequenceNumber, g.row)
			continue
		}
		if other, shared := seen[g.id]; shared {
			r.sim.violate("snapshot %d: rows %v and %v share the id %d", snap.SequenceNumber, other, g.row, g.id)
		}
		seen[g.id] = g.row
		if i > 0 && got[i-1].row == g.row || i+1 < len(got) && got[i+1].row == g.row {
			continue
		}
		record := want[i].id
		if id, known := r.ids[record]; known && id != g.id {
			r.sim.violate("snapshot %d: row %v has the id %d, and had %d", snap.SequenceNumber, g.row, g.id, id)
		}
		if of, known := r.records[g.id]; known && of != record {
			r.sim.violate("snapshot %d: row %v has the id %d, which another row had", snap.SequenceNumber, g.row, g.id)
		}
		r.ids[record], r.records[g.id] = g.id, record
		r.sim.count("row id compared", 1)
	}
}

// rowIDMutants break what keeps ids.
var rowIDMutants = []mutant{
	{
		// A compaction writes rows anew, without their ids.
		"compaction-renumbers", 200, []string{", and had "},
		func(_ *sim, op *operation) {
			if op.kind == "compact" {
				op.do = func(p *process) (bool, error) { return p.writeAnew(commit.Rewrite, nil, nil) }
			}
		},
	},
	{
		// A compaction gives its files ids that others have.
		"compaction-counts-from-zero", 200, []string{" share the id ", ", which another row had"},
		func(_ *sim, op *operation) {
			if op.kind == "compact" {
				op.do = func(p *process) (bool, error) { return p.writeAnew(commit.Rewrite, new(int64), nil) }
			}
		},
	},
	{
		// A MERGE removes the rows that it is to update, and inserts others in their place.
		"update-by-another-row", 200, []string{", and had "},
		func(s *sim, op *operation) {
			if op.kind == "merge" {
				op.checkpoint, op.isolation = "", merge.Serializable
				op.do = func(p *process) (bool, error) { return p.writeAnew(commit.Overwrite, nil, op.changes) }
			}
		},
	},
}

// writeAnew puts the rows of the head, as changes make them, into new files, whose rows are numbered from an id on if that is given.
func (p *process) writeAnew(as commit.Operation, from *int64, changes []change) (bool, error) {
	return p.planned(func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
		out := &commit.Change{Operation: as}
		tasks, err := head.Scan().PlanFiles(ctx)
		if err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for _, task := range tasks {
			out.RemoveData = append(out.RemoveData, task.File)
			for _, d := range slices.Concat(task.DeleteFiles, task.DeletionVectorFiles) {
				if name := d.FilePath() + commit.ReferencedFile(d); !seen[name] {
					out.RemoveDeletes, seen[name] = append(out.RemoveDeletes, d), true
				}
			}
		}
		rows, err := rowsOf(head, nil)
		if err != nil {
			return nil, err
		}
		out.AddData, err = p.staged(applied(rows, changes), from)
		if len(out.RemoveData) == 0 && changes == nil {
			return nil, err
		}
		return out, err
	})
}

// applied are rows as a MERGE's changes make them.
func applied(rows []row, changes []change) (out []change) {
	by, matched := map[int64]change{}, map[int64]bool{}
	for _, c := range changes {
		by[c.k] = c
	}
	for _, r := range rows {
		c, is := by[r.k]
		matched[r.k] = is
		switch {
		case !is:
			out = append(out, change{k: r.k, v: r.v})
		case !c.del:
			out = append(out, c)
		}
	}
	for _, c := range changes {
		if !matched[c.k] && !c.del {
			out = append(out, c)
		}
	}
	return out
}

// staged writes rows into files, whose rows are numbered from an id on if that is given.
func (p *process) staged(rows []change, from *int64) ([]iceberg.DataFile, error) {
	t, err := p.table()
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	staged, err := t.Stage(bg, (&source{rows: rows, without: true}).all(), tables.StageOptions{})
	if err != nil {
		return nil, err
	}
	for i, f := range staged.Files {
		if from == nil {
			break
		}
		spec := t.Iceberg().Metadata().PartitionSpecByID(int(f.SpecID()))
		b, err := iceberg.NewDataFileBuilder(*spec, f.ContentType(), f.FilePath(), f.FileFormat(), f.Partition(), nil, nil, f.Count(), f.FileSizeBytes())
		if err != nil {
			return nil, err
		}
		staged.Files[i] = b.FirstRowID(*from).Build()
	}
	return staged.Files, nil
}

// TestRowIDMutants: each is found.
func TestRowIDMutants(t *testing.T) {
	searchAll(t, rowIDMutants, simulated)
}
