package merge

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go/table"
)

// Matching streams columns of those rows of the table that match a row of the
// source by the ON condition of opts, each once, whatever its clauses. It is
// the matching half of a merge and costs what that costs: files that cannot
// hold a key are passed over, of the others the keys are read, and columns only
// where they match. The table is read as it is at head.
func Matching(ctx context.Context, head *table.Table, source Source, opts Options, columns []string) (array.RecordReader, error) {
	// A delete without a condition has one verdict for each row that matches,
	// however many source rows it matches.
	opts.Matched, opts.NotMatched, opts.NotMatchedBySource = []Clause{{Action: Delete}}, nil, nil
	plan, err := New(source, opts)
	if err != nil {
		return nil, err
	}
	if err := plan.begin(head); err != nil {
		return nil, err
	}
	if err := plan.load(ctx, head, false); err != nil {
		return nil, err
	}
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		f, found := fieldOf(plan.binding.target, c)
		if !found {
			plan.release()
			return nil, plan.binding.errorf("column %q is not in the table", c)
		}
		fields[i] = arrow.Field{Name: c, Type: f.Type, Nullable: true}
	}
	m := &matching{plan: plan, columns: columns, schema: arrow.NewSchema(fields, nil)}
	return array.ReaderFromIter(m.schema, func(yield func(arrow.RecordBatch, error) bool) {
		defer plan.release()
		err := m.stream(ctx, head, func(b arrow.RecordBatch) bool { return yield(b, nil) })
		if err != nil && err != errEnough {
			yield(nil, wrap(plan.binding.table, "find rows", err))
		}
	}), nil
}

// errEnough ends a stream that its reader has let go of.
var errEnough = fmt.Errorf("no more rows are wanted")

type matching struct {
	plan    *Plan
	columns []string
	schema  *arrow.Schema
}

// stream matches all files, and then reads the matching rows of one after the
// other.
func (m *matching) stream(ctx context.Context, head *table.Table, yield func(arrow.RecordBatch) bool) error {
	tasks, _, err := m.plan.binding.candidates(ctx, head, m.plan.loaded)
	if err != nil {
		return fmt.Errorf("plan files: %w", err)
	}
	r, err := newReader(ctx, head, &m.plan.read)
	if err != nil {
		return err
	}
	files, log, err := m.plan.match(ctx, r, tasks)
	if err != nil {
		return err
	}
	defer log.close()
	for i, f := range files {
		verdicts, err := log.of(i)
		if err != nil {
			return err
		}
		if len(verdicts) == 0 {
			continue
		}
		positions := make([]uint32, len(verdicts))
		for k, v := range verdicts {
			positions[k] = v.position
		}
		err = r.scan(ctx, f, "", m.columns, bitmapOf(positions), func(b block) error {
			if !yield(array.NewRecordBatch(m.schema, b.columns, int64(b.n))) {
				return errEnough
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
