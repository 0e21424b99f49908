package transforms

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/transforms/expression"
	"github.com/varve-lake/varve/transforms/internal/render"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// expectation is a compiled Expectation.
type expectation struct {
	Expectation
	that *expression.Program
}

func compileExpectation(in *arrow.Schema, e Expectation) (expectation, error) {
	switch e.Otherwise {
	case "warn", "drop", "quarantine", "fail":
	default:
		return expectation{}, fmt.Errorf("otherwise is warn, drop, quarantine or fail, found %q", e.Otherwise)
	}
	that, err := compilePredicate(in, e.That)
	return expectation{Expectation: e, that: that}, err
}

// expect applies the expectations in order. A row that one takes out is not seen by those after it.
func (c *Chain) expect(ctx context.Context, f *frame) error {
	if len(c.expectations) == 0 {
		return nil
	}
	n := int(f.batch.NumRows())
	alive := vector.Ones(n)
	for _, e := range c.expectations {
		isTrue, faults, err := truth(ctx, e.that, f.batch)
		if err != nil {
			return fmt.Errorf("expectation %q: %w", e.Name, err)
		}
		broken := vector.NewBits(n)
		for i := range broken {
			broken[i] = alive[i] &^ isTrue[i]
		}
		rows := broken.Count(n)
		if rows == 0 {
			continue
		}
		if err := e.otherwise(ctx, f, broken, int64(rows), faults); err != nil {
			return err
		}
		if e.Otherwise != "warn" {
			for i := range alive {
				alive[i] &= isTrue[i]
			}
		}
	}
	return f.keep(ctx, alive)
}

// otherwise does with the rows that broke the expectation what its policy says.
func (e *expectation) otherwise(ctx context.Context, f *frame, broken vector.Bits, rows int64, faults []expression.Fault) error {
	switch e.Otherwise {
	case "warn":
		if f.counts.Warned == nil {
			f.counts.Warned = map[string]int64{}
		}
		f.counts.Warned[e.Name] += rows
		if f.obs.Warn != nil {
			f.obs.Warn(e.Name, rows)
		}
		return nil
	case "drop":
		f.counts.Dropped += rows
		return nil
	}
	isFalse, err := e.falsehood(ctx, f.batch)
	if err != nil {
		return err
	}
	messages := make(map[int]string, len(faults))
	for _, wrong := range faults {
		messages[wrong.Row] = wrong.Message
	}
	write := render.Rows(f.batch)
	broken.Each(int(f.batch.NumRows()), func(i int) bool {
		r := f.rejected(write, i)
		r.Expectation, r.Reason = e.Name, e.reason(messages[i], isFalse.Get(i))
		if e.Otherwise == "fail" {
			err = &ExpectationError{Name: e.Name, That: e.That, Row: r}
		} else {
			err = f.reject(r)
		}
		return err == nil
	})
	f.counts.Quarantined += rows
	return err
}

// falsehood is the rows for which the predicate is false, rather than unknown.
func (e *expectation) falsehood(ctx context.Context, batch arrow.RecordBatch) (vector.Bits, error) {
	arr, _, err := e.that.EvalRows(ctx, batch)
	if err != nil {
		return nil, err
	}
	defer arr.Release()
	out := vector.NewBits(arr.Len())
	if arr.DataType().ID() == arrow.NULL {
		return out, nil
	}
	values, valid := vector.Bools(arr), vector.Validity(arr)
	for i := range arr.Len() {
		if valid.IsValid(i) && !values.Get(i) {
			out.Set(i)
		}
	}
	return out, nil
}

func (e *expectation) reason(message string, isFalse bool) string {
	switch {
	case message != "":
		return fmt.Sprintf("expectation %q: %s: %s", e.Name, e.That, message)
	case isFalse:
		return fmt.Sprintf("expectation %q: %s is false", e.Name, e.That)
	}
	return fmt.Sprintf("expectation %q: %s is unknown, as a value is null", e.Name, e.That)
}
