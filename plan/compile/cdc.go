package compile

import (
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/transforms/expression"
)

// changeData checks a table of change data in two steps: columns makes the table's columns of the events', before what the
// lake has is looked at, and settle gives all their types and makes the MERGE of it.
type changeData struct {
	*compiler
	b    *build
	spec *spec.CDC
	out  *plan.CDC
}

func (c *compiler) changeData(b *build) *changeData {
	s := b.spec.Write.CDC
	out := &plan.CDC{
		Keys: values(s.Keys), SequenceBy: values(s.SequenceBy), Ties: s.Ties, Tombstones: int64(s.Tombstones / time.Second),
		History: s.History == "scd2", Except: values(s.Except),
	}
	if s.DeleteWhen != nil {
		out.DeleteWhen = s.DeleteWhen.Value
	}
	for i, column := range out.SequenceBy {
		switch {
		case i == 0 && out.History:
			column = plan.ValidFrom
		case !out.Written(column):
			column = plan.SequencePrefix + column
		}
		out.Kept = append(out.Kept, column)
	}
	return &changeData{compiler: c, b: b, spec: s, out: out}
}

// eventOnly tells whether a column is needed to tell what an event is, and is not the table's: a strict table does not
// mind it.
func (b *build) eventOnly(column string) bool {
	cdc := b.spec.Write.CDC
	return cdc != nil && slices.ContainsFunc(cdc.Except, func(t spec.Text) bool { return t.Value == column })
}

// ofEvents tells whether cdc names a column.
func (b *build) ofEvents(column string) bool {
	cdc := b.spec.Write.CDC
	if cdc == nil {
		return false
	}
	named := func(t spec.Text) bool { return t.Value == column }
	return slices.ContainsFunc(slices.Concat(cdc.Keys, cdc.SequenceBy, cdc.Except), named) ||
		cdc.DeleteWhen != nil && mentions(cdc.DeleteWhen.Value, map[string]bool{column: true})
}

// columns are those of the table, of the target that the declaration makes of the events.
func (d *changeData) columns(events, target *arrow.Schema) *arrow.Schema {
	d.named(events)
	var fields []arrow.Field
	made := d.made(events)
	for _, f := range target.Fields() {
		_, ours := lookup(made, f.Name)
		if (ours || f.Name == plan.DeletedColumn) && events.HasField(f.Name) && d.out.Written(f.Name) {
			d.fail(d.spec.Pos, "rename it, or put it into except", "column %q is one that cdc makes, and is in %s", f.Name, d.b.where())
		}
		if d.out.Written(f.Name) && !ours {
			fields = append(fields, f)
		}
	}
	d.history()
	return arrow.NewSchema(append(fields, made.Fields()...), nil)
}

// makes tells whether a column is one that keeps the order of events.
func (d *changeData) makes(column string) bool {
	return d != nil && (slices.Contains(d.out.Kept, column) || d.out.History && (column == plan.ValidTo || column == plan.IsCurrent))
}

// made are the columns that the table has beside the events' own.
func (d *changeData) made(events *arrow.Schema) *arrow.Schema {
	const state, last = "Where in the order of events this state began.", "Where in the order of events the row's last one is."
	var fields []arrow.Field
	for i, column := range d.out.Kept {
		f, found := lookup(events, d.out.SequenceBy[i])
		if !found || column == f.Name && d.out.Written(column) {
			continue
		}
		doc := last
		if d.out.History {
			doc = state
		}
		fields = append(fields, field(column, f.Type, false, doc))
	}
	if first, found := lookup(events, d.out.SequenceBy[0]); found && d.out.History {
		fields = append(fields,
			field(plan.ValidTo, first.Type, false, "The valid_from that the row's next event has, also that of its deletion; null if no event has ended this state."),
			field(plan.IsCurrent, arrow.FixedWidthTypes.Boolean, false, "No event has ended this state."))
	}
	return arrow.NewSchema(fields, nil)
}

// named checks the columns that cdc names.
func (d *changeData) named(events *arrow.Schema) {
	for _, list := range [][]spec.Text{d.spec.Keys, d.spec.SequenceBy, d.spec.Except} {
		for _, column := range list {
			if !events.HasField(column.Value) && !d.b.unknown[column.Value] {
				d.noColumn(column.Pos, column.Value, d.b.where(), events)
			}
		}
	}
	for _, key := range d.spec.Keys {
		if f, found := lookup(events, key.Value); found && arrow.IsNested(f.Type.ID()) {
			d.fail(key.Pos, "", "column %q has type %s, which cannot be a key", key.Value, notation(f.Type))
		}
		if !d.out.Written(key.Value) {
			d.fail(key.Pos, "take it out of except", "column %q is a key, and is not written", key.Value)
		}
		if slices.Contains(d.out.SequenceBy, key.Value) {
			d.fail(key.Pos, "", "column %q is a key, and orders the events of a key", key.Value)
		}
	}
	for _, column := range d.spec.SequenceBy {
		if f, found := lookup(events, column.Value); found && !sequences[f.Type.ID()] {
			d.fail(column.Pos, "cast or derive one that is", "column %q has type %s, and events are ordered by int, long, float, double, decimal, date, time, timestamp or string", column.Value, notation(f.Type))
		}
	}
	if f, found := lookup(events, d.spec.SequenceBy[0].Value); found && d.out.History && zonedNanos(f.Type) {
		d.fail(d.spec.SequenceBy[0].Pos, "cast it to timestamptz", "column %q has type %s, and a history goes by time in microseconds", f.Name, notation(f.Type))
	}
	if d.spec.DeleteWhen != nil {
		g := merging{compiler: d.compiler, b: d.b, where: map[string]string{"": d.b.where()}}
		g.condition(*d.spec.DeleteWhen, expression.Scope{"": events})
	}
}

// zonedNanos tells the one type of a sequence that the embedded SQL engine does not have.
func zonedNanos(t arrow.DataType) bool {
	ts, ok := t.(*arrow.TimestampType)
	return ok && ts.Unit == arrow.Nanosecond && ts.TimeZone != ""
}

var sequences = map[arrow.Type]bool{
	arrow.INT32: true, arrow.INT64: true, arrow.FLOAT32: true, arrow.FLOAT64: true, arrow.DECIMAL128: true,
	arrow.DATE32: true, arrow.TIME64: true, arrow.TIMESTAMP: true, arrow.STRING: true,
}

// history refuses a table that the lake has with another kind of history: its rows would mean something else.
func (d *changeData) history() {
	if d.b.existing == nil {
		return
	}
	has := true
	for _, column := range []string{plan.ValidFrom, plan.ValidTo, plan.IsCurrent} {
		has = has && d.b.existing.Schema.HasField(column)
	}
	switch {
	case d.out.History && !has:
		d.fail(d.spec.Pos, "write it to a table of another name", "%s is in the lake without a history, which cannot be made of what it has", d.b.name())
	case !d.out.History && has:
		d.fail(d.spec.Pos, "write it to a table of another name", "%s is in the lake with a history, and history is scd1", d.b.name())
	}
}

// settle gives the events the types that the table has for them, says what the rows to merge are, and expands the write.
func (d *changeData) settle(events, columns *arrow.Schema) error {
	fields := slices.Clone(events.Fields())
	for i := range fields {
		name := fields[i].Name
		if at := slices.Index(d.out.SequenceBy, name); at >= 0 {
			name = d.out.Kept[at]
		} else if !d.out.Written(name) {
			continue
		}
		if f, found := lookup(columns, name); found {
			fields[i].Type = f.Type
		}
		// A delete need not have more than its key.
		if d.out.DeleteWhen != "" && !slices.Contains(d.out.Keys, fields[i].Name) {
			fields[i].Nullable = true
		}
	}
	var rows []arrow.Field
	for _, f := range columns.Fields() {
		if _, own := lookup(events, f.Name); own || d.makes(f.Name) {
			f.Nullable = true // a delete need not have it; the MERGE looks at what is written
			rows = append(rows, f)
		}
	}
	if d.out.DeleteWhen != "" {
		rows = append(rows, field(plan.DeletedColumn, arrow.FixedWidthTypes.Boolean, false, ""))
	}
	d.b.rows = arrow.NewSchema(rows, nil)
	var err error
	if d.out.Events, err = Columns(arrow.NewSchema(fields, nil)); err != nil {
		return err
	}
	d.b.out.Rows, err = Columns(d.b.rows)
	return err
}

// cdc puts the write into the plan.
func (c *compiler) cdc(b *build) {
	d := b.cdc
	b.out.Write.CDC = d.out
	b.out.Write.Merge = plan.ExpandCDC(d.out, d.spec.Strategy)
	scope := expression.Scope{"s": b.rows, "t": b.schema}
	for _, clause := range b.out.Write.Merge.WhenMatched {
		if clause.If == "" {
			continue
		}
		if _, err := expression.Compile(clause.If, scope); err != nil && !mentions(clause.If, b.unknown) && c.diagnostics.Err() == nil {
			c.fail(d.spec.SequenceBy[0].Pos, "", "events cannot be ordered by %v: %v", d.out.SequenceBy, err)
		}
	}
}
