package plan

import "slices"

// CDC is change data: rows that are events. Before they are merged, the events of a run are resolved, together with what
// the table has of the same keys, into rows to merge; Write.Merge is the MERGE of those.
type CDC struct {
	Keys       []string `json:"keys"`
	SequenceBy []string `json:"sequence_by"` // columns of the events
	// Kept are the table's columns that hold SequenceBy, in its order: of history the first is ValidFrom.
	Kept       []string `json:"kept"`
	Ties       string   `json:"ties"`
	DeleteWhen string   `json:"delete_when,omitempty"`
	Tombstones int64    `json:"tombstones"` // seconds
	History    bool     `json:"history,omitempty"`
	Except     []string `json:"except,omitempty"`
	Events     []Column `json:"events"` // the rows that leave the steps, in their enforced types
}

// The columns of a history, and DeletedColumn, which only the rows to merge have: it is true of those that leave the table.
const (
	ValidFrom     = "valid_from"
	ValidTo       = "valid_to"
	IsCurrent     = "is_current"
	DeletedColumn = "_deleted"
)

// SequencePrefix begins the name of the column that keeps a sequence that the table would not have otherwise.
const SequencePrefix = "_sequence_"

// Written tells whether a column of the events is one of the table's.
func (c *CDC) Written(column string) bool { return !slices.Contains(c.Except, column) }

// ExpandCDC is the MERGE of the rows that events resolve to: of each key the last event, or of a history the states that
// are new, have ended or are gone.
func ExpandCDC(c *CDC, strategy string) *Merge {
	m := &Merge{On: slices.Clone(c.Keys), Strategy: strategy, NewColumns: "evolve", Isolation: "serializable"}
	newer := ""
	if c.History {
		m.On = append(m.On, c.Kept...)
	} else {
		newer = c.newer()
	}
	insert := Clause{Action: "insert", All: true}
	if c.DeleteWhen != "" {
		gone := "s." + DeletedColumn
		insert.If = "not " + gone
		if newer != "" {
			gone += " and (" + newer + ")"
		}
		m.WhenMatched = append(m.WhenMatched, Clause{If: gone, Action: "delete"})
	}
	m.WhenMatched = append(m.WhenMatched, Clause{If: newer, Action: "update", All: true})
	m.WhenNotMatched = []Clause{insert}
	return m
}

// newer says that an event comes after the one that made the row. A row without a sequence is older than any event.
func (c *CDC) newer() string {
	var after func(i int) string
	after = func(i int) string {
		s, t := "s."+c.Kept[i], "t."+c.Kept[i]
		if rest := len(c.Kept) - 1 - i; rest > 1 {
			return s + " > " + t + " or " + s + " == " + t + " and (" + after(i+1) + ")"
		} else if rest == 1 {
			return s + " > " + t + " or " + s + " == " + t + " and " + after(i+1)
		}
		if c.Ties == "last" {
			return s + " >= " + t
		}
		return s + " > " + t
	}
	return "t." + c.Kept[0] + " == null or " + after(0)
}
