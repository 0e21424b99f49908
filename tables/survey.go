package tables

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/maintain"
)

// Writers are those that keep a checkpoint in the table, by name.
func (t *Table) Writers() []string {
	var out []string
	for k := range t.tbl.Properties() {
		if writer, ok := strings.CutPrefix(k, checkpointPrefix); ok && !strings.Contains(writer, "/") {
			out = append(out, writer)
		}
	}
	slices.Sort(out)
	return out
}

// FilesCount is what some of a table's data files hold.
type FilesCount struct {
	Files int
	Rows  int64 // with those that are deleted
	Bytes int64
}

func (c *FilesCount) add(task table.FileScanTask) {
	c.Files, c.Rows, c.Bytes = c.Files+1, c.Rows+task.File.Count(), c.Bytes+task.File.FileSizeBytes()
}

// FilesWith counts the data files that Delete of rows would remove unread, and those that it would look into.
func (t *Table) FilesWith(ctx context.Context, rows Rows) (whole, parts FilesCount, err error) {
	if t.tbl.CurrentSnapshot() == nil {
		return whole, parts, nil
	}
	d := &deletion{rows: rows}
	if err := d.wholeFiles(ctx, t.tbl); err != nil {
		return whole, parts, fmt.Errorf("files of %s: %w", t.name, err)
	}
	all, err := filesWith(ctx, t.tbl, t.tbl.CurrentSnapshot(), rows.May)
	if err != nil {
		return whole, parts, fmt.Errorf("files of %s: %w", t.name, err)
	}
	for _, task := range all {
		if d.skip(task.File) {
			whole.add(task)
		} else {
			parts.add(task)
		}
	}
	return whole, parts, nil
}

// PlanExpiry lists the snapshots, and the branches and tags, that Expire would remove of the table as it was loaded.
func (t *Table) PlanExpiry(e maintain.ExpireOptions) (snapshots []int64, refs []string, err error) {
	if e.Now == nil {
		e.Now = t.lake.cfg.Commit.Now
	}
	expiry, err := maintain.NewExpiry(e)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", t.name, err)
	}
	return expiry.Plan(t.tbl)
}

// AddedSinceCompaction counts the data and delete files that commits have added since the last compaction, as far back as
// the table's snapshots go: without the newest commit, and with it.
func (t *Table) AddedSinceCompaction() (before, now int) {
	for s := t.tbl.CurrentSnapshot(); s != nil && s.Summary != nil && s.Summary.Properties[maintain.CompactionKey] == ""; {
		added, keys := 0, []string{"added-data-files", "added-delete-files"}
		if maintain.KeepsRows(s.Summary) {
			keys = nil // what it added, it added in place of others
		}
		for _, key := range keys {
			n, _ := strconv.Atoi(s.Summary.Properties[key]) // another engine may not count
			added += n
		}
		if now > 0 || s.SnapshotID != t.tbl.CurrentSnapshot().SnapshotID {
			before += added
		}
		now += added
		if s.ParentSnapshotID == nil {
			break
		}
		s = t.tbl.SnapshotByID(*s.ParentSnapshotID)
	}
	return before, now
}
