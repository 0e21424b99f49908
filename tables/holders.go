package tables

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/planning"
)

// Holder is a snapshot whose files hold rows.
type Holder struct {
	Snapshot
	Files int        `json:"files"`           // that hold such rows
	Rows  int64      `json:"rows"`            // in them
	Until *time.Time `json:"until,omitempty"` // when the next expiry takes it; nil if no time is known
	Why   string     `json:"why"`             // what keeps it
}

// Held is what holds rows, or may.
type Held struct {
	// Holders are the snapshots whose data files hold rows, the newest first: also rows that delete files hide, since those are in the
	// files still, so that the head can be one.
	Holders []Holder
	// Beside says what else than the data files of snapshots may hold values of the rows, and is not looked into: what manifests say of
	// files that were removed, equality-delete files of other engines, deletes of change data that are remembered, files that no
	// snapshot names, and caches of what is read from afar.
	Beside []string
}

// Held looks for what holds rows, in all snapshots, which go by the options. Each manifest is read once, and each file that may hold a
// row once, in the columns that the condition names.
func (t *Table) Held(ctx context.Context, rows Rows, e maintain.ExpireOptions) (*Held, error) {
	fates, err := t.fates(e)
	if err != nil {
		return nil, err
	}
	search, files, err := t.search(ctx, rows)
	if err != nil {
		return nil, err
	}
	out, known, b := &Held{}, map[string]int64{}, newBesides()
	for _, s := range slices.Backward(t.Snapshots()) {
		manifests, err := t.tbl.SnapshotByID(s.ID).Manifests(files)
		if err != nil {
			return nil, fmt.Errorf("manifests of %s at snapshot %d: %w", t.name, s.ID, err)
		}
		listed, err := search.In(ctx, manifests)
		if err != nil {
			return nil, fmt.Errorf("files of %s at snapshot %d: %w", t.name, s.ID, err)
		}
		h := Holder{Snapshot: s}
		for _, f := range listed.Live {
			n, err := t.holds(ctx, f, rows, known)
			if err != nil {
				return nil, err
			}
			if n > 0 {
				h.Files, h.Rows = h.Files+1, h.Rows+n
			}
		}
		if h.Files > 0 {
			out.Holders = append(out.Holders, h.kept(fates[s.ID]))
		}
		b.removedFrom(listed.Removed, s.Current, fates[s.ID])
		if err := b.deletesIn(manifests, files); err != nil {
			return nil, fmt.Errorf("delete files of %s: %w", t.name, err)
		}
	}
	out.Beside, err = t.heldBeside(ctx, b)
	return out, err
}

// kept is the holder with what keeps it.
func (h Holder) kept(fate maintain.Fate) Holder {
	if h.Why = fate.Why; !fate.Until.IsZero() {
		h.Until = &fate.Until
	}
	if h.Current {
		h.Why = "its delete files hide them, until the data files are rewritten"
	}
	return h
}

// search looks for files of any snapshot that may have such rows.
func (t *Table) search(ctx context.Context, rows Rows) (*planning.Search, iceio.IO, error) {
	files, err := t.FS(ctx)
	if err != nil {
		return nil, nil, err
	}
	search, err := planning.NewSearch(t.tbl.Metadata(), files, t.tbl.Schema(), rows.May)
	if err != nil {
		return nil, nil, fmt.Errorf("look through %s: %w", t.name, err)
	}
	return search, files, nil
}

// holds counts the rows of a data file that are meant, deleted or not.
func (t *Table) holds(ctx context.Context, f iceberg.DataFile, rows Rows, known map[string]int64) (int64, error) {
	path := f.FilePath()
	if n, seen := known[path]; seen {
		return n, nil
	}
	var columns []string
	for _, c := range rows.Where.Columns() {
		columns = append(columns, strings.TrimPrefix(c, "t."))
	}
	if len(columns) == 0 { // of a condition without columns, all rows or none
		columns = []string{t.tbl.Schema().Field(0).Name}
	}
	batches, err := datafile.Scan(ctx, t.tbl, datafile.ScanOptions{Columns: columns, Files: []table.FileScanTask{wholeFile(f)}, Filter: rows.May, Parallelism: 1})
	if err != nil {
		return 0, fmt.Errorf("look into %s: %w", path, err)
	}
	defer batches.Release()
	var n int64
	for batches.Next() {
		meant, err := countTrue(ctx, batches.RecordBatch(), rows)
		if err != nil {
			return 0, fmt.Errorf("look into %s: %w", path, err)
		}
		n += meant
	}
	if err := batches.Err(); err != nil {
		return 0, fmt.Errorf("look into %s: %w", path, err)
	}
	known[path] = n
	return n, nil
}

// countTrue counts the rows of a batch for which the condition holds.
func countTrue(ctx context.Context, batch arrow.RecordBatch, rows Rows) (int64, error) {
	fields := slices.Clone(batch.Schema().Fields())
	for i := range fields {
		fields[i].Name = "t." + fields[i].Name
	}
	scoped := array.NewRecordBatch(arrow.NewSchema(fields, nil), batch.Columns(), batch.NumRows())
	defer scoped.Release()
	result, err := rows.Where.Eval(ctx, scoped)
	if err != nil {
		return 0, err
	}
	defer result.Release()
	holds, ok := result.(*array.Boolean)
	if !ok {
		return 0, nil // a condition that is null throughout
	}
	var n int64
	for i := range holds.Len() {
		if holds.IsValid(i) && holds.Value(i) {
			n++
		}
	}
	return n, nil
}

// fates says of each snapshot when an expiry takes it, and what keeps it until then.
func (t *Table) fates(e maintain.ExpireOptions) (map[int64]maintain.Fate, error) {
	if e.Now == nil {
		e.Now = t.now
	}
	expiry, err := maintain.NewExpiry(e)
	if err != nil {
		return nil, err
	}
	return expiry.Fates(t.tbl), nil
}
