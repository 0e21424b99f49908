package compile

import (
	"slices"
	"strings"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/transforms/expression"
)

// write checks how rows reach the table.
func (c *compiler) write(b *build) {
	w := b.spec.Write
	b.out.Write = plan.Write{Mode: w.Mode, Partitions: values(w.Partitions)}
	switch {
	case w.Mode == "replace_partitions":
		c.replacePartitions(b)
	case w.Where != nil:
		c.replaceWhere(b)
	case w.Merge != nil:
		c.merge(b, w.Merge)
	case w.CDC != nil:
		c.cdc(b)
	}
}

// replaceWhere checks the condition against the table, whose rows it picks, and against the new rows, for which it has to
// hold.
func (c *compiler) replaceWhere(b *build) {
	b.out.Write.Where = b.spec.Write.Where.Value
	g := merging{compiler: c, b: b, where: map[string]string{"": b.name()}}
	if !g.condition(*b.spec.Write.Where, expression.Scope{"": b.schema}) {
		return
	}
	g.where = map[string]string{"": b.where()}
	g.condition(*b.spec.Write.Where, expression.Scope{"": b.rows})
}

// replacePartitions checks that the table's partitions are such that a part of it can be replaced as asked.
func (c *compiler) replacePartitions(b *build) {
	w := b.spec.Write
	for _, column := range w.Partitions {
		if b.unknown[column.Value] {
			continue
		}
		if !b.schema.HasField(column.Value) {
			c.noColumn(column.Pos, column.Value, b.name(), b.schema)
			continue
		}
		if !slices.ContainsFunc(b.out.PartitionBy, func(p string) bool { return p == column.Value }) {
			c.fail(column.Pos, "", "%s is partitioned by %s, not by %s: whole partitions are replaced", b.name(), strings.Join(b.out.PartitionBy, ", "), column.Value)
		}
	}
}
