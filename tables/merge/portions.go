package merge

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/internal/rows"
)

// portion encodes some columns, as far as they have to be, and keeps their part
// of the rows that move.
func (e *edit) portion(columns []int, stay, moving []int32, out *editResult) error {
	defer e.drop()
	if err := e.compare(slices.DeleteFunc(slices.Clone(columns), func(c int) bool { return !slices.Contains(e.c.columns, c) })); err != nil {
		return err
	}
	if err := e.readRest(columns); err != nil {
		return err
	}
	if out.encoded != nil {
		if err := e.encode(out.encoded, columns, stay); err != nil {
			return err
		}
	}
	if len(moving) == 0 {
		return nil
	}
	for _, c := range columns {
		parts, err := e.overlay(c, moving)
		if err != nil {
			return err
		}
		for i, a := range parts {
			out.moved[i][c] = a
		}
	}
	return nil
}

// drop lets go of what is decoded.
func (e *edit) drop() {
	for i, c := range e.chunks {
		rows.Release(c)
		e.chunks[i] = nil
	}
}

// decodes tells whether something of a column is needed, as far as is known:
// before updates are compared, not yet of rows that leave.
func (e *edit) decodes(column int) bool {
	return !e.carries(column) || len(e.verdicts) > len(e.updates) || len(e.updates) > 0 && slices.Contains(e.c.columns, column)
}

// carries tells whether a column's bytes can be carried, if no update changes it.
// The lineage's columns are carried both or neither: one follows from both.
func (e *edit) carries(column int) bool {
	if !e.isLineage(column) {
		return e.whole() && e.file.Fits(e.number, column)
	}
	n := len(e.chunks)
	return e.whole() && len(e.updates) == 0 && e.file.Fits(e.number, n-2) && e.file.Fits(e.number, n-1)
}

// tooLarge tells whether a column alone exceeds what may be decoded at once.
func (e *edit) tooLarge() bool {
	for c := range e.chunks {
		if e.decodes(c) && e.file.DecodedBytes(e.number, c) > 2*portionBytes(e.c.options.MemoryLimit) {
			return true
		}
	}
	return false
}

// portions divides the columns of which something is needed into those that are
// decoded at one time. The lineage's columns stay together.
func (e *edit) portions() (out [][]int) {
	limit, size := portionBytes(e.c.options.MemoryLimit), int64(0)
	for c := range e.chunks {
		if !e.decodes(c) {
			continue
		}
		n := e.file.DecodedBytes(e.number, c)
		second := e.isLineage(c) && c == len(e.chunks)-1
		if size += n; len(out) == 0 || size > limit && !second {
			out, size = append(out, nil), n
		}
		out[len(out)-1] = append(out[len(out)-1], c)
	}
	return out
}

// portionBytes is how many bytes of a row group are decoded at once, where a
// writer may hold limit. Tests make it small.
var portionBytes = func(limit int64) int64 { return max(limit/2, minGroupBytes) }

// readRest decodes those of the columns that are not carried, as far as they are
// not decoded: what a partition column was compared for may have been let go of.
func (e *edit) readRest(columns []int) error {
	needed := slices.DeleteFunc(slices.Clone(columns), func(c int) bool { return e.fresh[c] == nil && e.carries(c) })
	if err := e.read(needed); err != nil {
		return err
	}
	if n := len(e.chunks); e.c.lineage && e.chunks[n-1] != nil {
		return e.completeLineage()
	}
	return nil
}

// encode lays those of the columns that are not carried into the new row group,
// with the rows that stay.
func (e *edit) encode(group *datafile.CarriedGroup, columns []int, stay []int32) error {
	var given []int
	var values [][]arrow.Array
	defer func() {
		for i, c := range given {
			if &values[i][0] != &e.chunks[c][0] {
				rows.Release(values[i])
			}
		}
	}()
	for _, c := range columns {
		if e.fresh[c] == nil && e.carries(c) {
			continue
		}
		chunks := e.chunks[c]
		if e.fresh[c] != nil || !e.whole() {
			var err error
			if chunks, err = e.overlay(c, stay); err != nil {
				return err
			}
		}
		given, values = append(given, c), append(values, chunks)
	}
	if len(given) == 0 {
		return nil
	}
	return group.Encode(given, values)
}
