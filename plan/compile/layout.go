package compile

import (
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/spec"
)

// layout checks how the table is partitioned, sorted and identified.
func (c *compiler) layout(b *build) {
	seen := make(map[string]bool)
	for _, text := range b.spec.PartitionBy {
		t := readTerm(text.Value)
		if !c.term(b, text, t) {
			continue
		}
		if f, _ := lookup(b.schema, t.column); t.transform == "identity" && floating(f.Type) {
			c.warn(text.At(t.offset), "", "partitions by the %s column %q: values that look equal may lie in many partitions", notation(f.Type), t.column)
		}
		if seen[t.String()] {
			c.fail(text.Pos, "", "%s is partitioned by %s twice", b.name(), t)
		}
		seen[t.String()] = true
	}
	for _, text := range b.spec.SortBy {
		c.term(b, text, readTerm(text.Value))
	}
	for _, column := range b.spec.Identifier {
		c.identifier(b, column)
	}
	b.out.PartitionBy, b.out.SortBy, b.out.Identifier = values(b.spec.PartitionBy), values(b.spec.SortBy), values(b.spec.Identifier)
}

func (c *compiler) identifier(b *build, column spec.Text) {
	f, found := lookup(b.schema, column.Value)
	switch {
	case b.unknown[column.Value]:
	case !found:
		c.noColumn(column.Pos, column.Value, b.name(), b.schema)
	case arrow.IsNested(f.Type.ID()) || floating(f.Type):
		c.fail(column.Pos, "", "column %q has type %s, which cannot identify a row", column.Value, notation(f.Type))
	case f.Nullable:
		c.fail(column.Pos, "", "column %q of %s is optional in the lake and cannot identify a row", column.Value, b.name())
	}
}

// term is a column of a partition spec or a sort order, with the transform that it goes through.
type term struct {
	transform string // identity if none is written
	argument  string // of bucket and truncate
	column    string
	offset    int // of the column in the text
}

func (t term) String() string {
	if t.transform == "identity" {
		return t.column
	}
	return t.transform + "(" + t.column + ")"
}

// readTerm reads what package spec has checked the form of: column, days(column), bucket(16, column), the last two words
// of a sort term left out.
func readTerm(text string) term {
	name, inside, found := strings.Cut(text, "(")
	if !found {
		column, _, _ := strings.Cut(text, " ")
		return term{transform: "identity", column: column}
	}
	t := term{transform: strings.TrimSpace(name), offset: len(name) + 1}
	inside, _, _ = strings.Cut(inside, ")")
	if argument, column, two := strings.Cut(inside, ","); two {
		t.argument = strings.TrimSpace(argument)
		t.offset += len(argument) + 1
		inside = column
	}
	t.offset += len(inside) - len(strings.TrimLeft(inside, " "))
	t.column = strings.TrimSpace(inside)
	return t
}

// term checks that the column is there and has a type that the transform takes.
func (c *compiler) term(b *build, text spec.Text, t term) bool {
	f, found := lookup(b.schema, t.column)
	switch {
	case b.unknown[t.column]:
		return false
	case !found:
		c.noColumn(text.At(t.offset), t.column, b.name(), b.schema)
		return false
	case !takes(t.transform, f.Type):
		c.fail(text.At(t.offset), "", "%s takes a column of type %s, and %q has type %s", t.transform, transformTypes(t.transform), t.column, notation(f.Type))
		return false
	}
	return true
}

// inputs are the types that a transform takes, by Iceberg's specification, appendix "Partition Transforms".
var inputs = map[string][]arrow.Type{
	"years":    {arrow.DATE32, arrow.TIMESTAMP},
	"months":   {arrow.DATE32, arrow.TIMESTAMP},
	"days":     {arrow.DATE32, arrow.TIMESTAMP},
	"hours":    {arrow.TIMESTAMP},
	"truncate": {arrow.INT32, arrow.INT64, arrow.DECIMAL128, arrow.STRING, arrow.BINARY},
	"bucket": {
		arrow.INT32, arrow.INT64, arrow.DECIMAL128, arrow.DATE32, arrow.TIME64, arrow.TIMESTAMP, arrow.STRING,
		arrow.EXTENSION, arrow.FIXED_SIZE_BINARY, arrow.BINARY,
	},
}

func takes(transform string, t arrow.DataType) bool {
	if types, limited := inputs[transform]; limited {
		return slices.Contains(types, t.ID())
	}
	return !arrow.IsNested(t.ID())
}

func transformTypes(transform string) string {
	switch transform {
	case "years", "months", "days":
		return "date or timestamp"
	case "hours":
		return "timestamp"
	case "truncate":
		return "int, long, decimal, string or binary"
	case "bucket":
		return "int, long, decimal, date, time, timestamp, string, uuid, fixed or binary"
	}
	return "any primitive"
}

func floating(t arrow.DataType) bool { return t.ID() == arrow.FLOAT32 || t.ID() == arrow.FLOAT64 }
