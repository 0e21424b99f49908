package tables

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// Table is a table as it was when loaded, or as an operation of its own left it; what others commit it does not see
// before Refresh. Operations that commit look at the newest head themselves. A Table is not for use by several goroutines
// at once.
type Table struct {
	lake *Lake
	name string
	tbl  *table.Table
}

// Snapshot is one version of a table.
type Snapshot struct {
	ID        int64             `json:"id"`
	ParentID  int64             `json:"parent_id,omitempty"`
	Sequence  int64             `json:"sequence"`
	Timestamp time.Time         `json:"timestamp"`
	Operation string            `json:"operation"`
	Summary   map[string]string `json:"summary,omitempty"`
	Refs      []string          `json:"refs,omitempty"` // branches and tags that point at it
	Current   bool              `json:"current,omitempty"`
	SchemaID  int               `json:"schema_id"`
	Commit    string            `json:"commit,omitempty"` // of Nessie's, in which it became the table's; see History
}

// Version names a snapshot: by id, by time, or by branch or tag. At most one is set; none is the head.
type Version struct {
	SnapshotID *int64
	Timestamp  *time.Time
	Ref        string
}

// IsHead tells whether v names the head of the main branch.
func (v Version) IsHead() bool { return v.SnapshotID == nil && v.Timestamp == nil && v.Ref == "" }

func (v Version) String() string {
	switch {
	case v.SnapshotID != nil:
		return fmt.Sprintf("snapshot %d", *v.SnapshotID)
	case v.Timestamp != nil:
		return "time " + v.Timestamp.UTC().Format(time.RFC3339Nano)
	case v.Ref != "":
		return fmt.Sprintf("branch or tag %q", v.Ref)
	}
	return "head"
}

// Name is the table's name as namespace.name.
func (t *Table) Name() string { return t.name }

// Location is the URI of the table's folder.
func (t *Table) Location() string { return t.tbl.Location() }

// Iceberg gives the loaded table to the rooms of package tables.
func (t *Table) Iceberg() *table.Table { return t.tbl }

// FS is the store that the table's files lie in.
func (t *Table) FS(ctx context.Context) (iceio.WriteFileIO, error) {
	fs, err := t.tbl.FS(ctx)
	if err != nil {
		return nil, fmt.Errorf("store of %s: %w", t.name, err)
	}
	w, ok := fs.(iceio.WriteFileIO)
	if !ok {
		return nil, fmt.Errorf("store of %s: it cannot be written to", t.name)
	}
	return w, nil
}

// Refresh loads the table's newest head.
func (t *Table) Refresh(ctx context.Context) (*Table, error) { return t.lake.Table(ctx, t.name) }

// Schema is the current schema, in the Arrow types of internal/columntype.
func (t *Table) Schema() (*arrow.Schema, error) {
	s, err := arrowSchema(t.tbl.Schema())
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", t.name, err)
	}
	return s, nil
}

// SchemaAt is the schema that a version's rows are read with: for a branch the current one, for others the one that was
// current when the snapshot was made, as in Spark.
func (t *Table) SchemaAt(v Version) (*arrow.Schema, error) {
	schema, err := t.schemaAt(v)
	if err != nil {
		return nil, err
	}
	s, err := arrowSchema(schema)
	if err != nil {
		return nil, fmt.Errorf("schema of %s at %s: %w", t.name, v, err)
	}
	return s, nil
}

func (t *Table) schemaAt(v Version) (*iceberg.Schema, error) {
	if v.IsHead() {
		return t.tbl.Schema(), nil
	}
	s, err := t.at(v)
	if err != nil {
		return nil, err
	}
	if v.Ref != "" {
		for name, ref := range t.tbl.Metadata().Refs() {
			if name == v.Ref && ref.SnapshotRefType == table.BranchRef {
				return t.tbl.Schema(), nil
			}
		}
	}
	if s.SchemaID != nil {
		if was, ok := t.tbl.Schemas()[*s.SchemaID]; ok {
			return was, nil
		}
	}
	return t.tbl.Schema(), nil
}

// Identifier names the columns that identify a row.
func (t *Table) Identifier() []string { return identifierNames(t.tbl.Schema()) }

// Properties are the table's properties.
func (t *Table) Properties() map[string]string { return t.tbl.Properties() }

// Head is the current snapshot; false if the table has none.
func (t *Table) Head() (Snapshot, bool) {
	s := t.tbl.CurrentSnapshot()
	if s == nil {
		return Snapshot{}, false
	}
	return t.snapshot(s), true
}

// Snapshots lists the table's snapshots, oldest first.
func (t *Table) Snapshots() []Snapshot {
	all := t.tbl.Metadata().Snapshots()
	out := make([]Snapshot, len(all))
	for i := range all {
		out[i] = t.snapshot(&all[i])
	}
	slices.SortStableFunc(out, func(a, b Snapshot) int { return int(min(max(a.Sequence-b.Sequence, -1), 1)) })
	return out
}

func (t *Table) snapshot(s *table.Snapshot) Snapshot {
	out := Snapshot{ID: s.SnapshotID, Sequence: s.SequenceNumber, Timestamp: time.UnixMilli(s.TimestampMs).UTC()}
	if s.ParentSnapshotID != nil {
		out.ParentID = *s.ParentSnapshotID
	}
	if s.Summary != nil {
		out.Operation, out.Summary = string(s.Summary.Operation), s.Summary.Properties
	}
	if s.SchemaID != nil {
		out.SchemaID = *s.SchemaID
	}
	for name, ref := range t.tbl.Metadata().Refs() {
		if ref.SnapshotID == s.SnapshotID {
			out.Refs = append(out.Refs, name)
		}
	}
	slices.Sort(out.Refs)
	now := t.tbl.CurrentSnapshot()
	out.Current = now != nil && now.SnapshotID == s.SnapshotID
	return out
}

// At finds the snapshot that v names; ErrNoSuchSnapshot if there is none. A time names what was the head of the main
// branch then.
func (t *Table) At(v Version) (Snapshot, error) {
	s, err := t.at(v)
	if err != nil {
		return Snapshot{}, err
	}
	return t.snapshot(s), nil
}

func (t *Table) at(v Version) (*table.Snapshot, error) {
	var s *table.Snapshot
	switch {
	case v.SnapshotID != nil:
		s = t.tbl.SnapshotByID(*v.SnapshotID)
	case v.Timestamp != nil:
		s = t.tbl.SnapshotAsOf(v.Timestamp.UnixMilli(), true)
	case v.Ref != "":
		s = t.tbl.SnapshotByName(v.Ref)
	default:
		s = t.tbl.CurrentSnapshot()
	}
	if s == nil && t.lake.cat.HeadOnly() && !v.IsHead() {
		return nil, fmt.Errorf("%s at %s: %w: Nessie shows the current snapshot alone; its history is the commits of its branches", t.name, v, ErrNoSuchSnapshot)
	}
	if s == nil {
		return nil, fmt.Errorf("%s at %s: %w", t.name, v, ErrNoSuchSnapshot)
	}
	return s, nil
}
