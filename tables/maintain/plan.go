package maintain

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/planning"
)

// CompactionPlan says what a compaction would do, and how. It travels as JSON between the processes that carry it out;
// WithoutGroups is what each of them needs beside its own group.
type CompactionPlan struct {
	Table    string `json:"table"` // the table's uuid
	Snapshot int64  `json:"snapshot,omitempty"`
	Sequence int64  `json:"sequence,omitempty"` // of the snapshot
	Schema   int    `json:"schema"`
	Spec     int    `json:"spec"`
	Version  int    `json:"version"` // of the format

	Strategy        Strategy          `json:"strategy"`
	Order           []table.SortField `json:"order,omitempty"`
	TargetFileBytes int64             `json:"target_file_bytes"`
	MemoryLimit     int64             `json:"memory_limit,omitempty"`
	Budget          Budget            `json:"budget,omitzero"`

	// Groups are in the order in which they are to be rewritten: the worst partitions first, and those that a writer wrote to
	// last at the end.
	Groups []CompactionGroup `json:"groups,omitempty"`
	// What the budget of bytes left for another run:
	LeftGroups int   `json:"left_groups,omitempty"`
	LeftBytes  int64 `json:"left_bytes,omitempty"`
}

// CompactionGroup is files of one partition that are rewritten together.
type CompactionGroup struct {
	Number    int                 `json:"number"` // in the plan, from 0
	Partition string              `json:"partition,omitempty"`
	Files     []datafile.TaskForm `json:"files"`
	Bytes     int64               `json:"bytes"`
	Rows      int64               `json:"rows"` // with those that are deleted
	Deletes   int                 `json:"deletes,omitempty"`
	Depth     float64             `json:"depth,omitempty"` // where it is why
	Reason    string              `json:"reason"`
}

// WithoutGroups is the plan without what of it may be large.
func (p CompactionPlan) WithoutGroups() CompactionPlan {
	p.Groups = nil
	return p
}

// PlanCompaction chooses what to rewrite at a head of a table. A table without rows, or in good shape, gives no group.
func PlanCompaction(ctx context.Context, head *table.Table, o CompactOptions) (CompactionPlan, error) {
	plan, groups, err := planGroups(ctx, head, o)
	if err != nil {
		return CompactionPlan{}, wrap(head, err)
	}
	for i, g := range groups {
		form, err := describeGroup(head.Metadata(), i, g)
		if err != nil {
			return CompactionPlan{}, wrap(head, err)
		}
		plan.Groups = append(plan.Groups, form)
	}
	return plan, nil
}

func wrap(head *table.Table, err error) error {
	return fmt.Errorf("compact %s: %w", strings.Join(head.Identifier(), "."), err)
}

// planGroups is PlanCompaction before its groups are described.
func planGroups(ctx context.Context, head *table.Table, o CompactOptions) (CompactionPlan, []*group, error) {
	if err := o.check(); err != nil {
		return CompactionPlan{}, nil, err
	}
	meta := head.Metadata()
	o = o.withDefaults(head.Properties())
	if err := o.bindOrder(meta); err != nil {
		return CompactionPlan{}, nil, err
	}
	spec := meta.PartitionSpec()
	plan := CompactionPlan{
		Table: meta.TableUUID().String(), Schema: meta.CurrentSchema().ID, Spec: spec.ID(), Version: meta.Version(),
		Strategy: o.Strategy, Order: o.Order, TargetFileBytes: o.TargetFileBytes, MemoryLimit: o.MemoryLimit, Budget: o.Budget,
	}
	snapshot := head.CurrentSnapshot()
	if snapshot == nil {
		return plan, nil, nil
	}
	plan.Snapshot, plan.Sequence = snapshot.SnapshotID, snapshot.SequenceNumber
	found, err := findCandidates(ctx, head, o)
	if err != nil {
		return plan, nil, err
	}
	plan.LeftGroups, plan.LeftBytes, o.light, o.deleted = found.left, found.leftBytes, found.light, found.deleted
	return plan, plan.withinBudget(choose(meta, found, o)), nil
}

// planFiles finds files of the head.
func planFiles(ctx context.Context, head *table.Table, o planning.Options) (*planning.Plan, error) {
	fs, err := head.FS(ctx)
	if err != nil {
		return nil, err
	}
	o.Snapshot, o.Schema, o.Described = head.CurrentSnapshot(), head.Schema(), true
	out, err := planning.Files(ctx, head.Metadata(), fs, o)
	if err != nil {
		return nil, fmt.Errorf("plan files: %w", err)
	}
	return out, nil
}

// bindOrder makes sure that there is something to cluster by.
func (o *CompactOptions) bindOrder(meta table.Metadata) error {
	switch {
	case o.Strategy == BinPack || len(o.Order) > 0:
		return nil
	case len(o.Columns) > 0:
		return fmt.Errorf("columns %v are not bound to the table's schema", o.Columns)
	case o.Strategy == ZOrder:
		return errors.New("strategy zorder needs columns")
	case o.Strategy == Sort:
		order := meta.SortOrder()
		if order.IsUnsorted() {
			return errors.New("strategy sort needs columns: the table has no sort order")
		}
		for i := range order.Len() {
			o.Order = append(o.Order, order.Field(i))
		}
	}
	return nil
}

// withinBudget cuts off what the budget of bytes has no room for.
func (p *CompactionPlan) withinBudget(groups []*group) []*group {
	if p.Budget.Bytes <= 0 {
		return groups
	}
	var out []*group
	spent := int64(0)
	for _, g := range groups {
		if len(out) > 0 && spent+g.bytes > p.Budget.Bytes {
			p.LeftGroups++
			p.LeftBytes += g.bytes
			continue
		}
		spent += g.bytes
		out = append(out, g)
	}
	return out
}

func describeGroup(meta table.Metadata, number int, g *group) (CompactionGroup, error) {
	out := CompactionGroup{Number: number, Partition: g.partition, Bytes: g.bytes, Depth: g.depth, Reason: g.reason}
	for _, t := range g.tasks {
		f, err := datafile.EncodeTask(meta, t, t.File)
		if err != nil {
			return out, fmt.Errorf("describe files: %w", err)
		}
		out.Files = append(out.Files, f)
		out.Rows += t.File.Count()
		out.Deletes += len(t.DeleteFiles) + len(t.DeletionVectorFiles) + len(t.EqualityDeleteFiles)
	}
	return out, nil
}

// prefix begins the names of files that a clustering has written, and tells them from those of another one: by it a plan knows
// what came since. Nothing but that rests on it.
func (p CompactionPlan) prefix() string { return prefixOf(p.Strategy, p.Order) }

func (o CompactOptions) prefix() string { return prefixOf(o.Strategy, o.Order) }

func prefixOf(s Strategy, order []table.SortField) string {
	if s == BinPack {
		return "compacted"
	}
	h := fnv.New32a()
	for _, f := range order {
		fmt.Fprint(h, f.SourceIDs, f.Transform, f.Direction, f.NullOrder)
	}
	return fmt.Sprintf("%s-%08x", s, h.Sum32())
}
