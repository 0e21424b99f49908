package tables

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/varve-lake/varve/tables/maintain"
)

// heldBeside says what else than the data files of snapshots may hold values of rows; what manifests do, was found.
func (t *Table) heldBeside(ctx context.Context, found *besides) ([]string, error) {
	out := found.say()
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
	unnamed, err := t.unnamedFiles(ctx)
	if err != nil {
		return nil, err
	}
	if unnamed > 0 {
		out = append(out, fmt.Sprintf("%d files in the table's folder that no snapshot names, as builds under way, those that died and commits that lost leave them, until a removal of orphans takes them", unnamed))
	}
	if scheme, _, remote := strings.Cut(t.Location(), "://"); remote && scheme != "file" {
		out = append(out, "the folders .varve/cache of this machine and of workers, which have bounds and pages of files for a week at most")
	}
	return out, nil
}

// unnamedFiles counts the files in the table's folder that may hold rows and are no snapshot's. Where they cannot be told from
// those of other branches or tables it counts none.
func (t *Table) unnamedFiles(ctx context.Context) (int64, error) {
	found, err := t.PlanOrphans(ctx, maintain.OrphanOptions{OlderThan: maintain.LeastOrphanAge})
	if errors.Is(err, maintain.ErrShared) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n := found.Young
	for _, f := range found.Files {
		if f.Kind != maintain.KindMetadata && f.Kind != maintain.KindState {
			n++
		}
	}
	return n, nil
}
