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
	live, err := liveFilesOf(ctx, t.tbl)
	if err != nil {
		return nil, fmt.Errorf("show %s: %w", t.name, err)
	}
	info := &Info{
		Name: t.name, Location: t.Location(), UUID: meta.TableUUID().String(), FormatVersion: meta.Version(),
		Doc: meta.Properties()["comment"], Owner: meta.Properties()["owner"], Identifier: t.Identifier(),
		PartitionBy: formatPartition(t.tbl.Spec(), t.tbl.Schema()), SortBy: formatSort(t.tbl.SortOrder(), t.tbl.Schema()),
		Properties: map[string]string{}, DataFiles: len(live.data), DeleteFiles: len(live.deletes),
		Snapshots: len(meta.Snapshots()),
	}
	if s := t.tbl.CurrentSnapshot(); s != nil {
		info.SnapshotID = s.SnapshotID
	}
	info.describe(t.tbl.Schema(), meta.Properties())
	info.count(meta, live)
	if err := t.countDeleted(ctx, info); err != nil {
		return nil, fmt.Errorf("show %s: %w", t.name, err)
	}
	return info, nil
}

// countDeleted takes off the rows that are deleted. The row count of a delete file would not do: it may be about several
// data files, of which some are gone.
func (t *Table) countDeleted(ctx context.Context, info *Info) error {
	if info.DeleteFiles == 0 {
		return nil
	}
	store, err := t.FS(ctx)
	if err != nil {
		return err
	}
	tasks, err := t.tbl.Scan().PlanFiles(ctx)
	if err != nil {
		return err
	}
	for _, task := range datafile.WholeFiles(tasks) {
		deleted, err := datafile.Deletes(ctx, store, task)
		if err != nil {
			return err
		}
		if deleted == nil {
			continue
		}
		n := int64(deleted.GetCardinality())
		info.Rows -= n
		path := datafile.PartitionPath(t.tbl.Metadata(), task.File)
		for i := range info.Partitions {
			if info.Partitions[i].Path == path {
				info.Partitions[i].Rows -= n
			}
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

func (i *Info) count(meta table.Metadata, live *live) {
	partitions := map[string]*PartitionInfo{}
	for _, f := range live.data {
		i.Rows += f.Count()
		i.Bytes += f.FileSizeBytes()
		path := datafile.PartitionPath(meta, f)
		p := partitions[path]
		if p == nil {
			p = &PartitionInfo{Path: path}
			partitions[path] = p
		}
		p.Rows += f.Count()
		p.Files++
		p.Bytes += f.FileSizeBytes()
	}
	for _, f := range live.deletes {
		i.Bytes += f.FileSizeBytes()
		i.EqualityDeletes = i.EqualityDeletes || f.ContentType() == iceberg.EntryContentEqDeletes
	}
	for path, p := range partitions {
		if path != "" {
			i.Partitions = append(i.Partitions, *p)
		}
	}
	slices.SortFunc(i.Partitions, func(a, b PartitionInfo) int { return cmp.Compare(a.Path, b.Path) })
}
