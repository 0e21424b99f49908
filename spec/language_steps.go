package spec

var stepLanguage = define("step",
	"One row step. Its [expressions](expressions.md) are type-checked against the columns at hand when the pipeline is planned.",
	field("filter", optional(anExpression), func(s *Step) **Text { return &s.Filter },
		"Keeps the rows for which the expression is true; false and unknown drop out.", example("tailnum != null")),
	field("derive", nonEmpty(assigns("a map of expressions by column", aNewColumn, anExpression)), func(s *Step) *[]Assign { return &s.Derive },
		"Adds columns, or replaces them, by expressions over the columns before the step.", example(`{late: arr_delay != null && arr_delay > 15}`)),
	field("select", nonEmpty(list("a list of columns", aColumn)), func(s *Step) *[]Text { return &s.Select },
		"Keeps these columns, in this order.", example("[carrier, flight, time_hour]")),
	field("rename", nonEmpty(assigns("a map of new names by column", aColumn, aNewColumn)), func(s *Step) *[]Assign { return &s.Rename },
		"Renames columns: old name, then new.", example("{dest: destination}")),
	field("cast", nonEmpty(assigns("a map of types by column", aColumn, aType)), func(s *Step) *[]Assign { return &s.Cast },
		"Changes types. A value that the type cannot hold makes its row [malformed](#malformed-rows-and-the-quarantine).", example("{distance: int}")),
	field("drop", nonEmpty(list("a list of columns", aColumn)), func(s *Step) *[]Text { return &s.Drop },
		"Removes columns.", example("[year, month, day]")),
	field("dedupe", optional(dedupeLanguage.shape()), func(s *Step) **Dedupe { return &s.Dedupe },
		"Keeps one row of those with equal keys.", example("{by: [flight_id], keep: latest, order_by: [_loaded_at]}")),
).at(func(s *Step) *Pos { return &s.Pos }).
	rule(exactlyOne, "filter", "derive", "select", "rename", "cast", "drop", "dedupe").
	checked(checkStep)

var dedupeLanguage = define("dedupe",
	"Keeps one row of those with equal keys, among the rows of this build; see [dedupe](#what-dedupe-keeps).",
	field("by", nonEmpty(list("a list of columns", aColumn)), func(dd *Dedupe) *[]Text { return &dd.By }, "The key's columns.", required, example("[flight_id]")),
	field("keep", enum(
		value{name: "latest", doc: "the row that is last by `order_by`; of equals, the one read last"},
		value{name: "earliest", doc: "the row that is first by `order_by`; of equals, the one read first"},
	), func(dd *Dedupe) *string { return &dd.Keep }, "Which row stays.", initial("latest")),
	field("order_by", list("a list of columns", aColumn), func(dd *Dedupe) *[]Text { return &dd.OrderBy },
		"Columns that order the rows of a key; a null comes before every value.", auto("the order in which rows are read"), example("[_loaded_at]")),
).at(func(dd *Dedupe) *Pos { return &dd.Pos })

// assigns reads a map of names to texts.
func assigns(label string, names, values shape[Text]) shape[[]Assign] {
	return convertAll(named(label, names, values), func(e entry[Text]) Assign { return Assign(e) })
}

// checkStep finds what within one step contradicts itself.
func checkStep(d *decoder, _ keys, s *Step) {
	refuseTwice(d, "column", s.Select)
	refuseTwice(d, "column", s.Drop)
	targets := make([]Text, len(s.Rename))
	for i, a := range s.Rename {
		targets[i] = a.Value
	}
	refuseTwice(d, "new name", targets)
	if s.Dedupe != nil {
		refuseTwice(d, "column", s.Dedupe.By)
		refuseTwice(d, "column", s.Dedupe.OrderBy)
	}
}

// refuseTwice reports a text that a list holds a second time.
func refuseTwice(d *decoder, what string, texts []Text) {
	seen := map[string]bool{}
	for _, t := range texts {
		if t.Value != "" && seen[t.Value] {
			d.fail(t.Pos, "%s %q is named twice", what, shorten(t.Value))
		}
		seen[t.Value] = true
	}
}
