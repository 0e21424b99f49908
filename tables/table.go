package tables

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// Table is a table as it was when loaded: its head does not move. Operations that commit look at the newest head
// themselves, and return what they made; Refresh loads the table again.
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
}

// Version names a snapshot: by id, by time, or by branch or tag. At most one is set; none is the head.
type Version struct {
	SnapshotID *int64
	Timestamp  *time.Time
	Ref        string
}

// IsHead tells whether v names the head of the main branch.
func (v Version) IsHead() bool { return v.SnapshotID == nil && v.Timestamp == nil && v.Ref == "" }

// Name is the table's name as namespace.name.
func (t *Table) Name() string { return t.name }

// Location is the URI of the table's folder.
func (t *Table) Location() string { return t.tbl.Location() }

// Iceberg gives the loaded table to the rooms of package tables.
func (t *Table) Iceberg() *table.Table { return t.tbl }

// Refresh loads the table's newest head.
func (t *Table) Refresh(ctx context.Context) (*Table, error) { return nil, errNotBuilt }

// Schema is the current schema, in the Arrow types of internal/columntype.
func (t *Table) Schema() (*arrow.Schema, error) { return nil, errNotBuilt }

// SchemaAt is the schema that a version's rows are read with.
func (t *Table) SchemaAt(v Version) (*arrow.Schema, error) { return nil, errNotBuilt }

// Identifier names the columns that identify a row.
func (t *Table) Identifier() []string { return nil }

// Head is the current snapshot; false if the table has none.
func (t *Table) Head() (Snapshot, bool) { return Snapshot{}, false }

// Snapshots lists the table's snapshots, oldest first.
func (t *Table) Snapshots() []Snapshot { return nil }

// At finds the snapshot that v names; ErrNoSuchSnapshot if there is none.
func (t *Table) At(v Version) (Snapshot, error) { return Snapshot{}, errNotBuilt }

// ScanOptions says what to read.
type ScanOptions struct {
	Version     Version
	Columns     []string // nil means all
	Filter      iceberg.BooleanExpression
	Limit       int64 // 0 means all rows
	Parallelism int
	Files       []table.FileScanTask // only these, as from AddedSince
}

// Scan reads rows with the schema of the version that is read.
func (t *Table) Scan(ctx context.Context, opts ScanOptions) (array.RecordReader, error) {
	return nil, errNotBuilt
}

// Added is what was appended to a table since a snapshot.
type Added struct {
	From, To int64 // snapshots; From is 0 for the table's beginning
	Files    []table.FileScanTask
	Rows     int64
	Bytes    int64
}

// AddedSince lists the data files appended after the snapshot since (0: from the beginning, the whole table). It is
// ErrRewritten if rows were changed or removed in between (a rewrite that keeps the rows, as compaction's, is passed
// over), ErrExpired if the snapshot is gone.
func (t *Table) AddedSince(ctx context.Context, since int64) (*Added, error) { return nil, errNotBuilt }

// Info is what `trigger table show` prints.
type Info struct {
	Name          string            `json:"name"`
	Location      string            `json:"location"`
	UUID          string            `json:"uuid"`
	FormatVersion int               `json:"format_version"`
	Doc           string            `json:"doc,omitempty"`
	Owner         string            `json:"owner,omitempty"`
	Columns       []ColumnInfo      `json:"columns"`
	Identifier    []string          `json:"identifier,omitempty"`
	PartitionBy   []string          `json:"partition_by,omitempty"`
	SortBy        []string          `json:"sort_by,omitempty"`
	Properties    map[string]string `json:"properties,omitempty"`
	SnapshotID    int64             `json:"snapshot_id,omitempty"`
	Rows          int64             `json:"rows"` // of data files, less what position deletes say
	DataFiles     int               `json:"data_files"`
	DeleteFiles   int               `json:"delete_files"`
	Bytes         int64             `json:"bytes"`
	Partitions    []PartitionInfo   `json:"partitions,omitempty"`
	Snapshots     int               `json:"snapshots"`
}

// ColumnInfo is a column of Info.
type ColumnInfo struct {
	ID       int    `json:"id"`
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required,omitempty"`
	Doc      string `json:"doc,omitempty"`
}

// PartitionInfo is a partition of Info.
type PartitionInfo struct {
	Path  string `json:"path"` // "ts_day=2026-01-01"
	Rows  int64  `json:"rows"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// Info reads the head's manifests.
func (t *Table) Info(ctx context.Context) (*Info, error) { return nil, errNotBuilt }
