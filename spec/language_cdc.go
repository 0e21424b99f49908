package spec

import "time"

var cdcLanguage = define("cdc",
	"Change data in a short form, with Lakeflow's nouns, that expands to a merge. Each row that comes is an event: what a row of another database, told by its key, became, or that it was deleted. "+
		"Events may come twice and out of order, within a run and across runs: the table is what all of them make in the order of their sequence. An event without a key or a sequence is an error.",
	field("keys", nonEmpty(list("a list of columns", aColumn)), func(c *CDC) *[]Text { return &c.Keys }, "The columns that name a row.", required, example("[customer_id]")),
	field("sequence_by", nonEmpty(list("a list of columns", aColumn)), func(c *CDC) *[]Text { return &c.SequenceBy },
		"The columns that order a row's events, the first one first.", required, example("[lsn]")),
	field("ties", enum(
		value{name: "fail", doc: "the run stops and names the key and the sequence"},
		value{name: "first", doc: "the one that came first counts"},
		value{name: "last", doc: "the one that came last counts"},
	), func(c *CDC) *string { return &c.Ties },
		"What happens to events of one row with equal sequences, in one run or in two. Identical ones collapse first, into the one that came first: they agree in all columns that are written, but for `_source_file`, `_source_row` and `_loaded_at`, or are both deletes.", initial("fail")),
	field("delete_when", optional(anExpression), func(c *CDC) **Text { return &c.DeleteWhen }, "The events that delete their row. Where it is unknown, as where `op` is null, the event is none.", example(`op == "d"`)),
	field("tombstones", aDuration(0), func(c *CDC) *time.Duration { return &c.Tombstones },
		"How long a delete is remembered, so that an older event that comes late does not bring its row back. It is kept beside the table, and rolled back with it.", initial("7d")),
	field("history", enum(
		value{name: "scd1", doc: "the table has the present state of each row"},
		value{name: "scd2", doc: "the table has all states of each row: each event that is no delete makes one, which counts from `valid_from`, its own first `sequence_by` column, to before `valid_to`, that of the row's next event, or null; `is_current` tells those that no event has ended"},
	), func(c *CDC) *string { return &c.History }, "What is kept of the past.", initial("scd1")),
	field("except", list("a list of columns", aColumn), func(c *CDC) *[]Text { return &c.Except },
		"Columns that are not written. What orders events has to be kept with the rows: of a column `lsn` of `sequence_by` it is then called `_sequence_lsn`, or is `valid_from`.", example("[op, lsn]")),
	field("strategy", strategies, func(c *CDC) *string { return &c.Strategy }, "How changed rows are written.", initial("copy-on-write")),
).at(func(c *CDC) *Pos { return &c.Pos }).checked(func(d *decoder, _ keys, c *CDC) {
	for _, columns := range [][]Text{c.Keys, c.SequenceBy, c.Except} {
		refuseTwice(d, "column", columns)
	}
})
