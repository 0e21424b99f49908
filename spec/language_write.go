package spec

import (
	"go.yaml.in/yaml/v3"
)

// writeShape reads a mode alone, or a map with one of the modes that have settings.
var writeShape = union("append, replace, replace_partitions, or a map with merge, replace_partitions, replace_where or cdc",
	as(yaml.ScalarNode, writeModes, func(out *Write, v Write) { *out = v }),
	as(yaml.MappingNode, writeLanguage.shape(), func(out *Write, v Write) { *out = v }),
)

var writeModes = func() shape[Write] {
	modes := enum(
		value{name: "append", doc: "rows are added"},
		value{name: "replace", doc: "the new rows replace all of the table's"},
		value{name: "replace_partitions", doc: "the new rows replace those of the partitions in which they fall"},
	)
	return shape[Write]{modes.kind, func(d *decoder, n *yaml.Node, out *Write) {
		out.Pos = d.pos(n)
		if text := n.Value; text == "merge" || text == "cdc" || text == "replace_where" {
			form := map[string]string{"replace_where": "day >= ..."}[text]
			if form == "" {
				form = "{...}"
			}
			d.failHint(out.Pos, "write: {"+text+": "+form+"}", "%s needs its settings", text)
			return
		}
		modes.decode(d, n, &out.Mode)
	}}
}()

var writeLanguage = define("write",
	"A way of writing that has settings.",
	field("merge", optional(mergeLanguage.shape()), func(w *Write) **Merge { return &w.Merge }, "SQL's MERGE."),
	field("replace_partitions", nonEmpty(list("a list of columns", aColumn)), func(w *Write) *[]Text { return &w.Partitions },
		"The new rows replace those that agree with them in these columns, which the table must be partitioned by. Without a list, as `write: replace_partitions`, it is the table's own partitions.", example("[day]")),
	field("replace_where", optional(anExpression), func(w *Write) **Text { return &w.Where },
		"The new rows replace those of the table for which a condition over its columns holds, in one snapshot, as Spark's `overwrite(condition)` and Delta's `replaceWhere`; without new rows it deletes them. "+
			"The condition has to hold for the new rows too, or the run stops: they would not be replaced the next time. Where it is unknown, a row stays. A file whose statistics say that it holds for all of its rows is removed unread.",
		example(`day >= date("2024-01-01")`)),
	field("cdc", optional(cdcLanguage.shape()), func(w *Write) **CDC { return &w.CDC }, "Change data, in a short form of merge.", example("{keys: [customer_id], sequence_by: [lsn]}")),
).at(func(w *Write) *Pos { return &w.Pos }).
	rule(exactlyOne, "merge", "replace_partitions", "replace_where", "cdc").
	checked(func(d *decoder, m keys, w *Write) {
		for _, mode := range []string{"merge", "replace_partitions", "replace_where", "cdc"} {
			if m.has(mode) {
				w.Mode = mode
			}
		}
		refuseTwice(d, "column", w.Partitions)
	})

var mergeLanguage = define("merge",
	"SQL's MERGE: `s` is a source row, `t` a target row. Clauses are tried in order, and the first whose condition holds applies; a condition that is unknown does not hold. "+
		"A target row that two source rows would change is an error that names the key, and nothing is committed. A merge that changes nothing makes no snapshot.",
	field("on", onShape, func(m *Merge) *on { return &m.on },
		"The key's columns, or a predicate over `s` and `t`. Null keys match nothing, as in SQL, unless `null_safe`.", required, example("[flight_id]")),
	field("null_safe", aBoolean, func(m *Merge) *bool { return &m.NullSafe }, "Null keys match each other.", initial("false")),
	field("strategy", strategies, func(m *Merge) *string { return &m.Strategy }, "How changed rows are written.", initial("copy-on-write")),
	field("new_columns", enum(
		value{name: "ignore", doc: "they are left out"},
		value{name: "evolve", doc: "they are added to the table"},
		value{name: "error", doc: "the run stops"},
	), func(m *Merge) *string { return &m.NewColumns }, "What happens to source columns that the target lacks.", auto("`evolve` where the table's `schema_mode` is, else `ignore`")),
	field("when_matched", clauses("when_matched", matchedLanguage), func(m *Merge) *[]Clause { return &m.WhenMatched },
		"What happens to a target row that a source row matches.", example(`[{if: t.updated_at < s.updated_at, update: "*"}]`)),
	field("when_not_matched", clauses("when_not_matched", notMatchedLanguage), func(m *Merge) *[]Clause { return &m.WhenNotMatched },
		"What happens to a source row that matches no target row.", example(`[{insert: "*"}]`)),
	field("when_not_matched_by_source", clauses("when_not_matched_by_source", bySourceLanguage), func(m *Merge) *[]Clause { return &m.WhenNotMatchedBySource },
		"What happens to a target row that no source row matches. Its expressions have `t` only. It reads the whole table.", example("[{if: t.active, update: {active: false}}]")),
	field("isolation", enum(
		value{name: "serializable", doc: "also rows that others added meanwhile and that could match are a conflict, and their part is redone"},
		value{name: "snapshot", doc: "only files that this merge changed are"},
	), func(m *Merge) *string { return &m.Isolation }, "What counts as a conflict with a commit of another writer.", initial("serializable")),
).at(func(m *Merge) *Pos { return &m.Pos }).checked(checkMerge)

var strategies = enum(
	value{name: "copy-on-write", doc: "files with changed rows are rewritten: reads stay fast"},
	value{name: "merge-on-read", doc: "changed rows are marked as deleted and written anew: writes are fast"},
)

// on is a merge's condition in either of its forms.
type on struct {
	columns   []Text
	predicate *Text
}

// onShape reads a list of columns or a predicate. A column's name alone is a key too: as a predicate it would say nothing.
var onShape = union("a list of columns, or a predicate over s and t",
	as(yaml.SequenceNode, nonEmpty(list("a list of columns", aColumn)), func(out *on, v []Text) { out.columns = v }),
	as(yaml.ScalarNode, anExpression, func(out *on, v Text) {
		switch {
		case identifierForm.MatchString(v.Value):
			out.columns = []Text{v}
		case v.Value != "":
			out.predicate = &v
		}
	}),
)

var (
	condition = field("if", optional(anExpression), func(c *Clause) **Text { return &c.If }, "A condition; without one the clause always applies, and must be the list's last.",
		example("t.updated_at < s.updated_at"))
	updateAll = field("update", optional(assignments), func(c *Clause) **Assignments { return &c.Update },
		"`\"*\"` sets every column of the target that the source has; a map sets columns by expressions.", example(`"*"`))
	updateSome = field("update", optional(assignmentMap), func(c *Clause) **Assignments { return &c.Update },
		"Sets columns by expressions over `t`.", example("{active: false}"))
	insert = field("insert", optional(assignments), func(c *Clause) **Assignments { return &c.Insert },
		"`\"*\"` takes every column from the source; a map gives columns by expressions over `s`, the others are null.", required, example(`"*"`))
	remove = field("delete", onlyTrue, func(c *Clause) *bool { return &c.Delete }, "Deletes the target row.", example("true"))

	matchedLanguage = define("when_matched_clause", "A clause of `when_matched`.", condition, updateAll, remove).
			rule(exactlyOne, "update", "delete").
			misplaced("insert", "insert goes only in when_not_matched")
	notMatchedLanguage = define("when_not_matched_clause", "A clause of `when_not_matched`.", condition, insert).
				misplaced("update", "update goes only in when_matched and when_not_matched_by_source").
				misplaced("delete", "delete goes only in when_matched and when_not_matched_by_source")
	bySourceLanguage = define("when_not_matched_by_source_clause", "A clause of `when_not_matched_by_source`.", condition, updateSome, remove).
				rule(exactlyOne, "update", "delete").
				misplaced("insert", "insert goes only in when_not_matched")
)

var onlyTrue = scalar(&kind{label: "true", scalar: map[string]any{"const": true}}, []tag{tagBool}, func(t Text) (bool, *problem) {
	if t.Value != "true" && t.Value != "True" && t.Value != "TRUE" {
		return false, &problem{message: "delete: false says nothing: expected true, or no delete"}
	}
	return true, nil
})

// clauses reads a list of clauses, of which only the last may be without a condition.
func clauses(name string, language *object[Clause]) shape[[]Clause] {
	language.at(func(c *Clause) *Pos { return &c.Pos }).called("a clause of " + name)
	s := list("a list of clauses", language.shape())
	return shape[[]Clause]{s.kind, func(d *decoder, n *yaml.Node, out *[]Clause) {
		s.decode(d, n, out)
		for i, c := range *out {
			if i > 0 && (*out)[i-1].If == nil {
				d.fail(c.Pos, "this clause of %s never applies: the one before has no `if`", name)
			}
		}
	}}
}

var everything = scalar(&kind{label: `"*"`, scalar: map[string]any{"const": "*"}}, onlyString, func(t Text) (Assignments, *problem) {
	if t.Value != "*" {
		return Assignments{}, &problem{message: `expected "*" or a map of expressions by column, found ` + shorten(t.Value)}
	}
	return Assignments{All: true}, nil
})

var assignmentList = nonEmpty(assigns("a map of expressions by column", aColumn, anExpression))

var assignments = union(`"*", or a map of expressions by column`,
	as(yaml.ScalarNode, everything, func(out *Assignments, v Assignments) { *out = v }),
	as(yaml.MappingNode, assignmentList, func(out *Assignments, v []Assign) { out.Set = v }),
)

var assignmentMap = shape[Assignments]{assignmentList.kind, func(d *decoder, n *yaml.Node, out *Assignments) {
	if n.Kind == yaml.ScalarNode && n.Value == "*" {
		d.fail(d.pos(n), `update: "*" needs a source row, and when_not_matched_by_source has none: give a map of expressions over t`)
		return
	}
	assignmentList.decode(d, n, &out.Set)
}}
