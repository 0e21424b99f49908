package merge_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/merge"
)

// sparkSQL writes a merge as Spark takes it. Spark wants a value for every column of an insert, no sort of clause behind one
// without a condition, and no "*" where the source lacks a column.
func sparkSQL(m *randomMerge, target []random.Column, into, using string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "MERGE INTO varve.%s AS t USING varve.%s AS s ON (%s)", into, using, m.onSpark)
	for _, l := range []struct {
		what    string
		clauses []merge.Clause
	}{{"MATCHED", m.opts.Matched}, {"NOT MATCHED", m.opts.NotMatched}, {"NOT MATCHED BY SOURCE", m.opts.NotMatchedBySource}} {
		for i, c := range l.clauses {
			fmt.Fprintf(&b, "\nWHEN %s", l.what)
			switch {
			case c.If != nil:
				b.WriteString(" AND " + c.If.(*random.Expression).Spark)
			case i < len(l.clauses)-1:
				b.WriteString(" AND true")
			}
			b.WriteString(" THEN " + sparkAction(c, m.source.Columns, target))
		}
	}
	return b.String()
}

func sparkAction(c merge.Clause, source, target []random.Column) string {
	if c.Action == merge.Delete {
		return "DELETE"
	}
	var set, columns, values []string
	for _, t := range target {
		value := sparkValue(c, source, t)
		if value != "" {
			set = append(set, "t."+t.Name+" = "+value)
		} else {
			value = "CAST(NULL AS " + t.Kind.Spark + ")"
		}
		columns, values = append(columns, t.Name), append(values, value)
	}
	if c.Action == merge.Update {
		return "UPDATE SET " + strings.Join(set, ", ")
	}
	return "INSERT (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
}

// sparkValue is what a clause assigns to a column, "" for nothing.
func sparkValue(c merge.Clause, source []random.Column, t random.Column) string {
	value := ""
	if c.All && slices.ContainsFunc(source, func(s random.Column) bool { return s.Name == t.Name }) {
		value = "s." + t.Name
	}
	for _, a := range c.Set {
		if a.Column == t.Name {
			value = a.Value.(*random.Expression).Spark
		}
	}
	if value == "" {
		return ""
	}
	return "CAST(" + value + " AS " + t.Kind.Spark + ")"
}
