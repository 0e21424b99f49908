package pipelinetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/sources/cell"
	"github.com/varve-lake/varve/sources/jsontext"
	"github.com/varve-lake/varve/spec"
)

// toJSON writes a row of a test as the files would have it.
func toJSON(row map[string]any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a string column keeps nested values as this text
	if err := e.Encode(row); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// batch makes rows of a schema. Values that do not fit and columns that are not there become mistakes, after which the
// batch is of no use.
func (r *run) batch(schema *arrow.Schema, table string, rows []map[string]any, at func(int) spec.Pos) (arrow.RecordBatch, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	names := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		names[i] = f.Name
	}
	row := 0
	unknown := func(path string, key, _ []byte) error {
		column := string(key)
		if path != "" {
			r.mistake(at(row), "", "field %q of column %q is not in %s", column, path, table)
			return nil
		}
		r.mistake(at(row), meant(column, names), "column %q is not in %s", column, table)
		return nil
	}
	object, err := cell.NewObject(names, b.Fields(), unknown)
	if err != nil {
		return nil, fmt.Errorf("rows of %s: %w", table, err)
	}
	for ; row < len(rows); row++ {
		text, err := toJSON(rows[row])
		if err != nil {
			return nil, fmt.Errorf("rows of %s: %w", table, err)
		}
		p := &jsontext.Parser{}
		p.Reset(text)
		field, err := object.Append(p)
		var wrong *cell.Mismatch
		switch {
		case errors.As(err, &wrong) && field >= 0:
			r.mistake(at(row), "", "column %q of %s: %v", names[field], table, fault(names[field], wrong))
		case err != nil:
			return nil, fmt.Errorf("rows of %s: %w", table, err)
		}
	}
	batch := b.NewRecordBatch()
	for i, f := range schema.Fields() {
		if f.Nullable {
			continue
		}
		for row := range rows {
			if batch.Column(i).IsNull(row) {
				r.mistake(at(row), "", "column %q of %s is required, and this row gives it no value", f.Name, table)
			}
		}
	}
	return batch, nil
}

// fault is a mismatch without the path where that is the column's own.
func fault(column string, m *cell.Mismatch) *cell.Mismatch {
	if m.Path != column {
		return m
	}
	out := *m
	out.Path = ""
	return &out
}
