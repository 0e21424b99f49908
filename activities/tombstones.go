package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/changes"
)

// tombstones are the deletes that a table of change data remembers: immutable files beside the table, which what the
// commit remembers names. They are not rows of a table of their own, since then a build would be two commits: a crash
// between them would leave deletes that no row agrees with, and a rollback of the table would leave the deletes of what
// was rolled back, which may never have been. So they are committed with the rows, once, and rolled back with them.
type tombstones struct {
	Files []tombstoneFile `json:"files"`
}

// tombstoneFile has the keys and sequences of deletes, and when each was seen.
type tombstoneFile struct {
	rowsFile
	Last time.Time `json:"last"` // when the youngest was seen: after its period the file is let go
}

const (
	// seenColumn is when the build began that found a delete.
	seenColumn = "_seen"
	// maxTombstoneFiles bounds how many are read by each build; beyond it they are joined.
	maxTombstoneFiles = 16
)

// loadTombstones reads which files have deletes that are still remembered.
func loadTombstones(ctx context.Context, t *tables.Table, j *job) (*tombstones, error) {
	out := &tombstones{}
	c, err := t.Memory(ctx, j.writer(), memoryOfTombstones)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return out, nil
	}
	var all tombstones
	if err := json.Unmarshal(c.Body, &all); err != nil {
		return nil, fmt.Errorf("tombstones of %s: %w", t.Name(), err)
	}
	for _, f := range all.Files {
		if f.Last.After(j.forgets()) {
			out.Files = append(out.Files, f)
		}
	}
	return out, nil
}

// forgets is the time before which deletes are forgotten.
func (j *job) forgets() time.Time {
	return j.Build.LoadedAt.Add(-time.Duration(j.Table.Write.CDC.Tombstones) * time.Second)
}

// tombstoneSchema has the keys, and the sequence under the names by which the table keeps it.
func tombstoneSchema(t *plan.Table) (*arrow.Schema, error) {
	cdc := t.Write.CDC
	var columns []plan.Column
	for _, list := range [][]string{cdc.Keys, cdc.Kept} {
		for _, name := range list {
			i := position(t.Rows, name)
			if i < 0 {
				return nil, fmt.Errorf("plan of %s: it has no column %q", t.Name, name)
			}
			columns = append(columns, plan.Column{Name: name, Type: t.Rows[i].Type})
		}
	}
	return compile.Schema(append(columns, plan.Column{Name: seenColumn, Type: "timestamptz"}))
}

// remembered are the deletes that are not forgotten.
type remembered struct {
	*staged
	since time.Time
}

// rows is nil if there are none.
func (k *tombstones) rows(t *tables.Table, j *job) transforms.Rewindable {
	schema, err := tombstoneSchema(&j.Table)
	if len(k.Files) == 0 || err != nil {
		return nil
	}
	files := make([]rowsFile, len(k.Files))
	for i, f := range k.Files {
		files[i] = f.rowsFile
	}
	return &remembered{&staged{table: t, files: files, schema: schema}, j.forgets()}
}

func (r *remembered) Open(ctx context.Context, columns []string) (array.RecordReader, error) {
	rows, err := r.staged.Open(ctx, nil)
	if err != nil {
		return nil, err
	}
	return changes.Since(ctx, rows, seenColumn, r.since), nil
}

// remember stores the deletes among the events. It is nil if what is remembered stays as it is.
func (r *resolution) remember(ctx context.Context, in changes.Input, decisions rowsFile, known *tombstones) (*tombstones, error) {
	schema, err := tombstoneSchema(&r.j.Table)
	if err != nil || r.cdc.DeleteWhen == "" || r.cdc.Tombstones == 0 {
		return nil, err
	}
	fresh := &sequence{schema: schema}
	fresh.refs.Store(1)
	if decisions.Rows > 0 {
		fresh.parts = append(fresh.parts, func() (array.RecordReader, error) { return r.deleted(ctx, in, decisions, schema) })
	}
	keep := known.Files
	if len(known.Files) >= maxTombstoneFiles {
		fresh.parts = append(fresh.parts, func() (array.RecordReader, error) { return conformedTo(ctx, in.Tombstones, schema) })
		keep = nil
	}
	uri := r.table.States().URI(fmt.Sprintf("tombstones-%s.parquet", unique()))
	file, err := writeRows(ctx, r.table, uri, fresh)
	if err != nil {
		return nil, fmt.Errorf("tombstones of %s: %w", r.table.Name(), err)
	}
	if file.Rows == 0 {
		store, err := r.table.FS(ctx)
		if err != nil {
			return nil, err
		}
		return nil, store.Remove(uri)
	}
	return &tombstones{Files: append(keep[:len(keep):len(keep)], tombstoneFile{rowsFile: file, Last: r.j.Build.LoadedAt})}, nil
}

// conformedTo opens rows in the columns that they would have today: those of an older definition may have narrower types.
func conformedTo(ctx context.Context, rows transforms.Rewindable, schema *arrow.Schema) (array.RecordReader, error) {
	opened, err := rows.Open(ctx, nil)
	if err != nil {
		return nil, err
	}
	out, err := transforms.Conform(opened, schema, transforms.ConformOptions{Context: ctx})
	if err != nil {
		opened.Release()
	}
	return out, err
}

// discard removes the file that a build added which never came to commit: the last one.
func (k *tombstones) discard(ctx context.Context, t *tables.Table) error {
	if k == nil || len(k.Files) == 0 {
		return nil
	}
	store, err := t.FS(ctx)
	if err != nil {
		return err
	}
	if err := store.Remove(k.Files[len(k.Files)-1].URI); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// deleted streams the deletes among the events, with the time.
func (r *resolution) deleted(ctx context.Context, in changes.Input, decisions rowsFile, schema *arrow.Schema) (array.RecordReader, error) {
	read, err := r.read(ctx, decisions)
	if err != nil {
		return nil, err
	}
	fields := schema.Fields()
	bare := arrow.NewSchema(fields[:len(fields)-1], nil)
	return changes.Seen(ctx, changes.Tombstones(ctx, r.def, in, read, bare), schema, r.j.Build.LoadedAt), nil
}

// unmoved makes sure that the rows of a table are those of a snapshot, from which a history was read: since then there
// were at most rewrites that keep all rows. Otherwise the build begins anew.
func unmoved(name string, snapshot int64) func(context.Context, *table.Table) error {
	return func(_ context.Context, head *table.Table) error {
		if snapshot == 0 && head.CurrentSnapshot() == nil {
			return nil
		}
		for s := head.CurrentSnapshot(); ; {
			switch {
			case s != nil && s.SnapshotID == snapshot:
				return nil
			case s == nil, s.Summary == nil, s.Summary.Operation != table.OpReplace, s.ParentSnapshotID == nil:
				return &marked{mark: errStale, text: fmt.Sprintf("the rows of %s changed since its history was read", name)}
			}
			s = head.SnapshotByID(*s.ParentSnapshotID)
		}
	}
}
