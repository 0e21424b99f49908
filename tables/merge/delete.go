package merge

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Deletion is a merge that deletes the target's rows for which a condition
// holds. It has no source.
func Deletion(where Expression, opts Options) (*Plan, error) {
	opts.On, opts.OnPairs, opts.Predicate = nil, nil, never{}
	opts.Matched, opts.NotMatched = nil, nil
	opts.NotMatchedBySource = []Clause{{If: where, Action: Delete}}
	return New(noRows{}, opts)
}

// judgeEvery applies the not-matched-by-source clauses to all live rows: there
// is no source row that could match one. The table's keys are not read for it.
func (m *matcher) judgeEvery(ctx context.Context, f *targetFile, out *matches) error {
	columns := m.bySourceDecide
	if len(columns) == 0 {
		columns = columnNames(m.target)[:1] // for the positions
	}
	return m.reader.scan(ctx, f, targetScope, columns, nil, func(b block) error {
		clauses, err := decide(ctx, b.frame, m.bySource)
		if err != nil {
			return err
		}
		for i, c := range clauses {
			if c >= 0 {
				out.verdicts = append(out.verdicts, verdict{position: b.positions[i], source: noSource, clause: ^c})
			}
		}
		return nil
	})
}

// noRows is a source without rows.
type noRows struct{}

var noColumns = arrow.NewSchema([]arrow.Field{{Name: "nothing", Type: arrow.PrimitiveTypes.Int32, Nullable: true}}, nil)

func (noRows) Schema() *arrow.Schema { return noColumns }

func (noRows) Open(context.Context, []string) (array.RecordReader, error) {
	return array.NewRecordReader(noColumns, nil)
}

// never is an ON condition that no pair of rows fulfils, and none is asked.
type never struct{}

func (never) Columns() []string    { return nil }
func (never) Type() arrow.DataType { return arrow.FixedWidthTypes.Boolean }

func (never) Eval(_ context.Context, batch arrow.RecordBatch) (arrow.Array, error) {
	b := array.NewBooleanBuilder(memory.DefaultAllocator)
	defer b.Release()
	for range batch.NumRows() {
		b.Append(false)
	}
	return b.NewArray(), nil
}
