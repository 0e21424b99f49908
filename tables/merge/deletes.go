package merge

import (
	"context"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/merge/internal/keys"
)

// deleted is the positions of a file's rows that delete files of any kind
// delete. Varve never writes equality deletes, but other engines do.
func (r *reader) deleted(ctx context.Context, task table.FileScanTask) (*roaring64.Bitmap, error) {
	out := roaring64.New()
	if len(task.DeleteFiles)+len(task.DeletionVectorFiles) > 0 {
		var err error
		if out, err = datafile.Deletes(ctx, r.fs, task); err != nil {
			return nil, err
		}
	}
	for _, d := range task.EqualityDeleteFiles {
		if err := r.deletedByValue(ctx, task, d, out); err != nil {
			return nil, fmt.Errorf("equality deletes %s: %w", d.FilePath(), err)
		}
	}
	return out, nil
}

// deletedByValue adds the positions of the rows whose values an equality delete
// file holds. Nulls equal nulls there.
func (r *reader) deletedByValue(ctx context.Context, task table.FileScanTask, deletes iceberg.DataFile, out *roaring64.Bitmap) error {
	schema, err := r.fieldsOf(deletes.EqualityFieldIDs())
	if err != nil {
		return err
	}
	by := &reader{fs: r.fs, meta: r.meta, schema: schema}
	columns := make([]string, schema.NumFields())
	types := make([]arrow.DataType, schema.NumFields())
	for i, f := range schema.Fields() {
		columns[i] = f.Name
		t, err := table.TypeToArrowType(f.Type, false, false)
		if err != nil {
			return err
		}
		if types[i], err = keys.Common(t, t); err != nil {
			return err
		}
	}
	layout, err := keys.NewLayout(types, true)
	if err != nil {
		return err
	}
	var vector keys.Vector
	values := keys.NewTable(layout)
	err = by.scanFile(ctx, &targetFile{task: table.FileScanTask{File: deletes}}, "", columns, datafile.ReadOptions{}, func(b block) error {
		if err := layout.Encode(&vector, b.columns); err != nil {
			return err
		}
		return values.Add(&vector)
	})
	if err != nil {
		return err
	}
	values.Build(nil)
	var prober keys.Prober
	return by.scanFile(ctx, &targetFile{task: task}, "", columns, datafile.ReadOptions{}, func(b block) error {
		if err := layout.Encode(&vector, b.columns); err != nil {
			return err
		}
		for _, p := range values.Probe(&vector, &prober) {
			out.Add(uint64(b.positions[p.I]))
		}
		return nil
	})
}

// fieldsOf is a schema of top-level columns, dropped ones included.
func (r *reader) fieldsOf(ids []int) (*iceberg.Schema, error) {
	var fields []iceberg.NestedField
	schemas := append([]*iceberg.Schema{r.meta.CurrentSchema()}, r.meta.Schemas()...)
	for _, id := range ids {
		found := false
		for _, s := range schemas {
			for _, f := range s.Fields() {
				if f.ID == id && !found {
					f.Required = false
					fields, found = append(fields, f), true
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no top-level column with id %d", id)
		}
	}
	return iceberg.NewSchema(0, fields...), nil
}
