package tables

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
)

// HeldBeside says what else than data files may hold values of the table's rows, and is not looked into: equality-delete files
// of other engines, deletes of change data that are remembered, and caches of what is read from afar.
func (t *Table) HeldBeside(ctx context.Context) ([]string, error) {
	var out []string
	equality := map[string]bool{}
	for _, s := range t.tbl.Metadata().Snapshots() {
		files, err := liveFilesAt(ctx, t.tbl, &s)
		if err != nil {
			return nil, fmt.Errorf("delete files of %s: %w", t.name, err)
		}
		for _, f := range files.deletes {
			if f.ContentType() == iceberg.EntryContentEqDeletes {
				equality[f.FilePath()] = true
			}
		}
	}
	if len(equality) > 0 {
		out = append(out, fmt.Sprintf("%d equality-delete files of other engines, which have the keys of deleted rows, as long as a snapshot names them", len(equality)))
	}
	remembered := func(properties map[string]string) bool {
		for key := range checkpointsIn(properties) {
			if strings.HasSuffix(key, "/tombstones") {
				return true
			}
		}
		return false
	}
	tombstones := remembered(t.tbl.Properties())
	for _, s := range t.tbl.Metadata().Snapshots() {
		tombstones = tombstones || s.Summary != nil && remembered(s.Summary.Properties)
	}
	if tombstones {
		out = append(out, "the tombstones of change data, which have the keys of deleted rows for the period that its `tombstones` says, and as state files until a removal of orphans")
	}
	if scheme, _, remote := strings.Cut(t.Location(), "://"); remote && scheme != "file" {
		out = append(out, "the folders .varve/cache of this machine and of workers, which have bounds and pages of files for a week at most")
	}
	return out, nil
}
