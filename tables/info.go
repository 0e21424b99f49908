package tables

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/planning"
)

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
	Properties    map[string]string `json:"properties,omitempty"` // less what is shown elsewhere or internal
	SnapshotID    int64             `json:"snapshot_id,omitempty"`
	Rows          int64             `json:"rows"` // less those that position deletes and deletion vectors remove
	DataFiles     int               `json:"data_files"`
	DeleteFiles   int               `json:"delete_files"`
	Bytes         int64             `json:"bytes"` // of data and delete files
	Partitions    []PartitionInfo   `json:"partitions,omitempty"`
	Snapshots     int               `json:"snapshots"`
	// Writers are those that commit to the table and keep a checkpoint in it.
	Writers []string `json:"writers,omitempty"`
	// EqualityDeletes, by other engines, make Rows an upper bound.
	EqualityDeletes bool `json:"equality_deletes,omitempty"`
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

// Info reads the head's manifests, and the delete files that they name, for a count of rows that is exact.
func (t *Table) Info(ctx context.Context) (*Info, error) {
	meta := t.tbl.Metadata()
	info := &Info{
		Name: t.name, Location: t.Location(), UUID: meta.TableUUID().String(), FormatVersion: meta.Version(),
		Doc: meta.Properties()["comment"], Owner: meta.Properties()["owner"], Identifier: t.Identifier(),
		PartitionBy: formatPartition(t.tbl.Spec(), t.tbl.Schema()), SortBy: formatSort(t.tbl.SortOrder(), t.tbl.Schema()),
		Properties: map[string]string{}, Snapshots: len(meta.Snapshots()),
	}
	if s := t.tbl.CurrentSnapshot(); s != nil {
		info.SnapshotID = s.SnapshotID
	}
	info.describe(t.tbl.Schema(), meta.Properties())
	if err := t.count(ctx, info); err != nil {
		return nil, fmt.Errorf("show %s: %w", t.name, err)
	}
	return info, nil
}

// count counts files and rows, by partition too.
func (t *Table) count(ctx context.Context, info *Info) error {
	partitions := map[string]*PartitionInfo{}
	of := func(f iceberg.DataFile) *PartitionInfo {
		path := datafile.PartitionPath(t.tbl.Metadata(), f)
		if partitions[path] == nil {
			partitions[path] = &PartitionInfo{Path: path}
		}
		return partitions[path]
	}
	err := eachLiveFile(ctx, t.tbl, func(f iceberg.DataFile) error {
		info.Bytes += f.FileSizeBytes()
		if f.ContentType() != iceberg.EntryContentData {
			info.DeleteFiles++
			info.EqualityDeletes = info.EqualityDeletes || f.ContentType() == iceberg.EntryContentEqDeletes
			return nil
		}
		p := of(f)
		info.Rows, info.DataFiles = info.Rows+f.Count(), info.DataFiles+1
		p.Rows, p.Files, p.Bytes = p.Rows+f.Count(), p.Files+1, p.Bytes+f.FileSizeBytes()
		return nil
	})
	if err == nil && info.DeleteFiles > 0 {
		err = t.countDeleted(ctx, func(f iceberg.DataFile, n int64) {
			info.Rows -= n
			of(f).Rows -= n
		})
	}
	for path, p := range partitions {
		if path != "" {
			info.Partitions = append(info.Partitions, *p)
		}
	}
	slices.SortFunc(info.Partitions, func(a, b PartitionInfo) int { return cmp.Compare(a.Path, b.Path) })
	return err
}

// countDeleted tells how many rows of each data file are deleted, where any are. The row count of a delete file would not do: it may
// be about several data files, of which some are gone.
func (t *Table) countDeleted(ctx context.Context, each func(iceberg.DataFile, int64)) error {
	store, err := t.FS(ctx)
	if err != nil {
		return err
	}
	plan, err := planning.Files(ctx, t.tbl.Metadata(), store, planning.Options{
		Snapshot: t.tbl.CurrentSnapshot(), Schema: t.tbl.Schema(), Described: true, Choose: func(task table.FileScanTask) bool { return len(deletesOf(task)) > 0 },
	})
	if err != nil {
		return err
	}
	for _, task := range plan.Tasks {
		deleted, err := datafile.Deletes(ctx, store, task)
		if err != nil {
			return err
		}
		if deleted != nil {
			each(task.File, int64(deleted.GetCardinality()))
		}
	}
	return nil
}

func (i *Info) describe(schema *iceberg.Schema, props iceberg.Properties) {
	for _, f := range schema.Fields() {
		i.Columns = append(i.Columns, ColumnInfo{ID: f.ID, Name: f.Name, Type: typeText(f.Type), Required: f.Required, Doc: f.Doc})
	}
	for k, v := range props {
		writer, isCheckpoint := strings.CutPrefix(k, checkpointPrefix)
		switch {
		case isCheckpoint && strings.Contains(writer, "/"): // what it remembers
		case isCheckpoint:
			i.Writers = append(i.Writers, writer)
		case k == "comment", k == "owner", k == commit.RollbackKey, strings.HasPrefix(k, commit.PropertyPrefix), strings.HasPrefix(k, commit.SequencePrefix),
			strings.HasPrefix(k, commit.ClaimPrefix):
		default:
			i.Properties[k] = v
		}
	}
	slices.Sort(i.Writers)
}
