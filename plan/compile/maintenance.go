package compile

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/spec"
)

// Maintenance is what a table's file says of its upkeep; nil if it says nothing. It does not look at the table's schema.
func Maintenance(t *spec.Table) *plan.Maintenance {
	if t.Maintenance == nil && t.Retain == nil {
		return nil
	}
	out := &plan.Maintenance{Every: seconds(time.Hour)}
	if m := t.Maintenance; m != nil {
		out.Every = seconds(m.Every)
		if c := m.Compact; c != nil {
			out.Compact = &plan.Compact{
				Strategy: c.Strategy, Columns: values(c.Columns), TargetFileSize: c.TargetFileSize, MinFileSize: c.MinFileSize, MinInputFiles: c.MinInputFiles,
				DeleteRatio: c.DeleteRatio, DeleteFiles: c.DeleteFiles, CleanBytes: c.CleanBytes, MaxDepth: c.MaxDepth, AfterFiles: c.AfterFiles, MaxBytes: c.MaxBytes, MaxTime: seconds(c.MaxTime),
			}
		}
		if d := m.MergeDeletes; d != nil {
			out.MergeDeletes = &plan.MergeDeletes{MinInputFiles: d.MinInputFiles}
		}
		if d := m.RemoveDangling; d != nil {
			out.RemoveDangling = &plan.Dangling{MinFiles: d.MinFiles}
		}
		if r := m.RewriteManifests; r != nil {
			out.Manifests = &plan.Manifests{TargetSize: r.TargetSize, MinInputManifests: r.MinInputManifests}
		}
		if e := m.ExpireSnapshots; e != nil {
			out.Expire = &plan.Expire{OlderThan: seconds(e.OlderThan), KeepLast: e.KeepLast}
		}
		if o := m.RemoveOrphans; o != nil {
			out.RemoveOrphans = &plan.Orphans{OlderThan: seconds(o.OlderThan)}
		}
	}
	if t.Retain != nil {
		if out.Expire == nil { // rows that are past their time go with the snapshots that have them
			out.Expire = &plan.Expire{OlderThan: seconds(7 * 24 * time.Hour), KeepLast: 1}
		}
		out.Retain = &plan.Retain{Column: t.Retain.Column.Value, For: seconds(t.Retain.For)}
	}
	return out
}

// clustering checks that the columns that compaction lays rows by are the table's.
func (c *compiler) clustering(b *build) {
	if b.spec.Maintenance == nil || b.spec.Maintenance.Compact == nil {
		return
	}
	for _, text := range b.spec.Maintenance.Compact.Columns {
		c.term(b, text, readTerm(text.Value))
	}
}

// retain checks that the column by which rows are kept is one that tells a time.
func (c *compiler) retain(b *build) {
	r := b.spec.Retain
	if r == nil || b.unknown[r.Column.Value] {
		return
	}
	f, found := lookup(b.schema, r.Column.Value)
	switch {
	case !found:
		c.noColumn(r.Column.Pos, r.Column.Value, b.name(), b.schema)
	case f.Type.ID() != arrow.DATE32 && f.Type.ID() != arrow.TIMESTAMP:
		c.fail(r.Column.Pos, "", "retain takes a column of type date or timestamp, and %q has type %s", r.Column.Value, notation(f.Type))
	}
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
