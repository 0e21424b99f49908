package datafile

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// maxBatchBytes is about how large batches may get.
const maxBatchBytes = 32 << 20

// narrow is how few of a window's rows must be wanted for the remaining columns to be read by spans of their own.
const narrow = 8

// selection is the wanted rows of a window: spans of the row group, and which of their rows.
type selection struct {
	spans []span
	rows  []int32 // indices into the spans' rows; nil for all of them
}

func (s selection) count() int {
	if s.rows == nil {
		return int(spanRows(s.spans))
	}
	return len(s.rows)
}

// read makes a batch of a window's wanted rows, and says whether there are any.
func (r *Reader) read(window []span) (bool, error) {
	sel := selection{spans: window, rows: r.wanted(window)}
	if sel.count() == 0 {
		return false, nil
	}
	known := map[*cursor]arrow.Array{}
	defer func() {
		for _, a := range known {
			a.Release()
		}
	}()
	if r.filter != nil {
		mask, err := r.evaluate(window, known)
		if err != nil {
			return false, err
		}
		sel.rows = keep(sel, mask)
		if sel.count() == 0 {
			return false, nil
		}
	}
	columns, err := r.columnsOf(sel, known)
	if err != nil {
		return false, err
	}
	defer releaseAll(columns)
	if r.opts.ValidTexts {
		if err := r.validTexts(columns); err != nil {
			return false, err
		}
	}
	r.locate(sel)
	r.batch = array.NewRecordBatch(withDictionaryTypes(r.schema, columns), columns, int64(sel.count()))
	if n := r.batch.NumRows(); n > 0 {
		r.rowBytes = max(r.rowBytes/2, batchBytes(r.batch)/n)
	}
	return true, nil
}

// withDictionaryTypes is a schema with the types of those columns that came as dictionaries.
func withDictionaryTypes(schema *arrow.Schema, columns []arrow.Array) *arrow.Schema {
	var fields []arrow.Field
	for i, c := range columns {
		if c.DataType().ID() != arrow.DICTIONARY {
			continue
		}
		if fields == nil {
			fields = schema.Fields()
		}
		fields[i].Type = c.DataType()
	}
	if fields == nil {
		return schema
	}
	return arrow.NewSchema(fields, nil)
}

// windowRows is the number of rows to look at for the next batch: fewer where rows are wide.
func (r *Reader) windowRows() int64 {
	rows := int64(r.opts.BatchRows)
	if r.rowBytes > 0 {
		rows = min(rows, max(1, maxBatchBytes/r.rowBytes))
	}
	return rows
}

// wanted are the rows of the window that are asked for and not deleted; nil for all.
func (r *Reader) wanted(window []span) []int32 {
	if r.opts.Rows == nil && r.opts.Deleted == nil {
		return nil
	}
	var rows []int32
	total, at := int32(spanRows(window)), int32(0)
	for _, s := range window {
		for p := s.from; p < s.to; p++ {
			position := uint64(r.start + p)
			if (r.opts.Rows == nil || r.opts.Rows.Contains(position)) && (r.opts.Deleted == nil || !r.opts.Deleted.Contains(position)) {
				rows = append(rows, at)
			}
			at++
		}
	}
	if int32(len(rows)) == total {
		return nil
	}
	if rows == nil {
		rows = []int32{}
	}
	return rows
}

// evaluate reads what the filter needs of a window and evaluates it; a nil mask is all rows.
func (r *Reader) evaluate(window []span, known map[*cursor]arrow.Array) ([]bool, error) {
	var cursors []*cursor
	for _, name := range r.filter.columns {
		for _, c := range r.cursors {
			if c.column.field.Name == name {
				cursors = append(cursors, c)
				break
			}
		}
	}
	arrays, err := r.readColumns(cursors, window, r.wide)
	if err != nil {
		return nil, err
	}
	byName := map[string]arrow.Array{}
	for i, c := range cursors {
		known[c] = arrays[i]
		byName[c.column.field.Name] = arrays[i]
	}
	return r.filter.mask(byName, int(spanRows(window))), nil
}

func keep(sel selection, mask []bool) []int32 {
	if mask == nil {
		return sel.rows
	}
	rows := []int32{}
	if sel.rows == nil {
		for i, ok := range mask {
			if ok {
				rows = append(rows, int32(i))
			}
		}
		return rows
	}
	for _, i := range sel.rows {
		if mask[i] {
			rows = append(rows, i)
		}
	}
	return rows
}

// columnsOf reads the columns returned, of which the filter has read some already.
func (r *Reader) columnsOf(sel selection, known map[*cursor]arrow.Array) ([]arrow.Array, error) {
	out := make([]arrow.Array, r.output)
	var missing []*cursor
	var places []int
	for i, c := range r.cursors[:r.output] {
		if a, ok := known[c]; ok {
			picked, err := pick(r, a, sel.rows)
			if err != nil {
				releaseAll(out)
				return nil, err
			}
			out[i] = picked
			continue
		}
		missing, places = append(missing, c), append(places, i)
	}
	at, wide := sel, r.wide
	if sel.rows != nil && len(sel.rows)*narrow < int(spanRows(sel.spans)) {
		at, wide = tighten(sel), false
	}
	arrays, err := r.readColumns(missing, at.spans, wide)
	if err != nil {
		releaseAll(out)
		return nil, err
	}
	defer releaseAll(arrays)
	for j, a := range arrays {
		if out[places[j]], err = pick(r, a, at.rows); err != nil {
			releaseAll(out)
			return nil, err
		}
	}
	return out, nil
}

func pick(r *Reader, a arrow.Array, rows []int32) (arrow.Array, error) {
	if rows == nil {
		a.Retain()
		return a, nil
	}
	return gather(r.ctx, a, rows)
}

// tighten restates a selection by spans closer around its rows.
func tighten(sel selection) selection {
	var out selection
	at, base, s := int64(0), int64(0), 0 // base: rows of the spans before the one at hand
	for _, row := range sel.rows {
		for int64(row)-base >= sel.spans[s].rows() {
			base += sel.spans[s].rows()
			s++
		}
		p := sel.spans[s].from + int64(row) - base
		if n := len(out.spans); n > 0 && p-out.spans[n-1].to < seekGap {
			at += p + 1 - out.spans[n-1].to
			out.spans[n-1].to = p + 1
		} else {
			out.spans = append(out.spans, span{p, p + 1})
			at++
		}
		out.rows = append(out.rows, int32(at-1))
	}
	return out
}

// locate notes the positions of the batch's rows.
func (r *Reader) locate(sel selection) {
	r.first, r.positions = r.start+sel.spans[0].from, nil
	if sel.rows == nil && len(sel.spans) == 1 {
		return
	}
	r.positions = make([]int64, 0, sel.count())
	at, next := int32(0), 0
	for _, s := range sel.spans {
		for p := s.from; p < s.to; p++ {
			if sel.rows == nil || next < len(sel.rows) && sel.rows[next] == at {
				r.positions = append(r.positions, r.start+p)
				next++
			}
			at++
		}
	}
	r.first = r.positions[0]
	if r.positions[len(r.positions)-1]-r.first == int64(len(r.positions)-1) {
		r.positions = nil
	}
}
