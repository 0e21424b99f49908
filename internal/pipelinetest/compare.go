package pipelinetest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/tables"
)

// rowColumn of a quarantine holds the refused row as JSON, of which a test may name fields.
const rowColumn = "_row"

// compare holds the rows of a table against those expected. It is nil if they agree, or if the expectation has mistakes.
func (r *run) compare(ctx context.Context, p *plan.Plan, name string) (*Difference, error) {
	if base := p.Table(baseOf(name)); base.Name != name && base.Quarantine != name {
		r.mistake(r.test.ExpectAt(name, -1), "", "%s has no quarantine: no policy and no expectation of it sends rows there", base.Name)
		return nil, nil
	}
	table, err := r.activities.Lake().Table(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("rows of %s: %w", name, err)
	}
	rows, err := table.Scan(ctx, tables.ScanOptions{})
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	c := &comparison{table: name, schema: rows.Schema()}
	defer c.release()
	for rows.Next() {
		batch := rows.RecordBatch()
		batch.Retain()
		c.batches = append(c.batches, batch)
		for i := range int(batch.NumRows()) {
			c.found = append(c.found, place{batch, i})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("rows of %s: %w", name, err)
	}
	if err := r.expected(c); err != nil || len(r.mistakes) > 0 {
		return nil, err
	}
	return c.difference(), nil
}

// place is a row of a batch.
type place struct {
	batch arrow.RecordBatch
	row   int
}

func (p place) column(i int) arrow.Array { return p.batch.Column(i) }

// comparison is of one table.
type comparison struct {
	table   string
	schema  *arrow.Schema
	batches []arrow.RecordBatch // what was found
	found   []place
	want    arrow.RecordBatch // what is expected, null in columns that a row does not name
	wanted  []wanted
}

// wanted is one expected row.
type wanted struct {
	at      spec.Pos
	columns []int                  // that it names, in the table's order
	fields  map[int]map[string]any // of refused rows: the fields that a map names
}

func (c *comparison) release() {
	if c.want != nil {
		c.want.Release()
	}
	for _, b := range c.batches {
		b.Release()
	}
}

// expected reads the expected rows in the types of the table.
func (r *run) expected(c *comparison) error {
	rows := r.test.Expect[c.table]
	values := make([]map[string]any, len(rows))
	c.wanted = make([]wanted, len(rows))
	for i, row := range rows {
		w := wanted{at: r.test.ExpectAt(c.table, i), fields: map[int]map[string]any{}}
		values[i] = maps.Clone(row)
		for column, value := range row {
			at := c.schema.FieldIndices(column)
			fields, partial := value.(map[string]any)
			switch {
			case len(at) == 0 && value == nil:
				delete(values[i], column) // null is what a column that is not there holds
				continue
			case len(at) == 0:
				continue // reported below
			case partial && column == rowColumn && strings.HasSuffix(c.table, plan.QuarantineSuffix):
				w.fields[at[0]] = fields
				delete(values[i], column)
			}
			w.columns = append(w.columns, at[0])
		}
		slices.Sort(w.columns)
		c.wanted[i] = w
	}
	fields := slices.Clone(c.schema.Fields())
	for i := range fields {
		fields[i].Nullable = true
	}
	var err error
	c.want, err = r.batch(arrow.NewSchema(fields, nil), c.table, values, func(i int) spec.Pos { return c.wanted[i].at })
	return err
}

// agrees compares one column of an expected row with a row found.
func (c *comparison) agrees(i, column int, found place) bool {
	have := found.column(column)
	if fields, partial := c.wanted[i].fields[column]; partial {
		text, ok := have.(*array.String)
		return ok && text.IsValid(found.row) && holds(text.Value(found.row), fields)
	}
	return equal(c.want.Column(column), i, have, found.row)
}

func (c *comparison) matches(i int, found place) bool {
	for _, column := range c.wanted[i].columns {
		if !c.agrees(i, column, found) {
			return false
		}
	}
	return true
}

// pair finds for as many expected rows as possible a row of their own, and gives for each row found the expected one,
// or -1. An expected row that names few columns may match many rows, so that those given first may have to move on to
// others: these are augmenting paths.
func (c *comparison) pair() (taken []int, missing []int) {
	taken = make([]int, len(c.found))
	for j := range taken {
		taken[j] = -1
	}
	candidates := make([][]int, len(c.wanted))
	for i := range c.wanted {
		for j, found := range c.found {
			if c.matches(i, found) {
				candidates[i] = append(candidates[i], j)
			}
		}
	}
	var place func(i int, visited []bool) bool
	place = func(i int, visited []bool) bool {
		for _, j := range candidates[i] {
			if taken[j] < 0 {
				taken[j] = i
				return true
			}
		}
		for _, j := range candidates[i] {
			if visited[j] {
				continue
			}
			visited[j] = true
			if place(taken[j], visited) {
				taken[j] = i
				return true
			}
		}
		return false
	}
	for i := range c.wanted {
		if !place(i, make([]bool, len(c.found))) {
			missing = append(missing, i)
		}
	}
	return taken, missing
}

// difference is nil if every expected row is there and no other.
func (c *comparison) difference() *Difference {
	taken, missing := c.pair()
	var left []int
	for j, i := range taken {
		if i < 0 {
			left = append(left, j)
		}
	}
	if len(missing) == 0 && len(left) == 0 {
		return nil
	}
	d := &Difference{Table: c.table, Expected: len(c.wanted), Found: len(c.found)}
	all := c.named()
	for _, i := range missing {
		m := Missing{Line: c.wanted[i].at.Line, Row: c.wantedRow(i)}
		if at := c.nearest(i, left); at >= 0 {
			found := c.found[left[at]]
			m.Nearest = c.row(found, c.wanted[i].columns)
			for _, column := range c.wanted[i].columns {
				if !c.agrees(i, column, found) {
					m.Differs = append(m.Differs, c.schema.Field(column).Name)
				}
			}
			left = slices.Delete(left, at, at+1)
		}
		d.Missing = append(d.Missing, m)
	}
	for _, j := range left {
		d.Unexpected = append(d.Unexpected, c.row(c.found[j], all))
	}
	return d
}

// nearest finds, among rows that were left over, the one that agrees with an expected row in most columns, or -1 if none
// agrees in any.
func (c *comparison) nearest(i int, left []int) int {
	best, most := -1, 0
	for at, j := range left {
		n := 0
		for _, column := range c.wanted[i].columns {
			if c.agrees(i, column, c.found[j]) {
				n++
			}
		}
		if n > most {
			best, most = at, n
		}
	}
	return best
}

// named are the columns that any expected row names; without any, those that hold a value.
func (c *comparison) named() []int {
	var out []int
	for i := range c.schema.NumFields() {
		named := func(w wanted) bool { return slices.Contains(w.columns, i) }
		filled := func(p place) bool { return p.column(i).IsValid(p.row) }
		if slices.ContainsFunc(c.wanted, named) || len(c.wanted) == 0 && slices.ContainsFunc(c.found, filled) {
			out = append(out, i)
		}
	}
	return out
}

func (c *comparison) row(p place, columns []int) Row {
	out := make(Row, len(columns))
	for k, column := range columns {
		out[k] = Cell{Column: c.schema.Field(column).Name, Value: value(p.column(column), p.row)}
	}
	return out
}

func (c *comparison) wantedRow(i int) Row {
	out := c.row(place{c.want, i}, c.wanted[i].columns)
	for k, column := range c.wanted[i].columns {
		if fields, partial := c.wanted[i].fields[column]; partial {
			if text, err := json.Marshal(fields); err == nil {
				out[k].Value = text
			}
		}
	}
	return out
}
