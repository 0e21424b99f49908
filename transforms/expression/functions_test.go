package expression_test

import (
	"context"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/expression"
)

// Each function's example is true, and so the reference is.
func TestExamplesHold(t *testing.T) {
	batch := array.NewRecordBatch(arrow.NewSchema(nil, nil), nil, 1)
	for _, f := range expression.Functions() {
		require.NotEmpty(t, f.Doc, f.Name)
		p, err := expression.Compile(f.Example, nil)
		require.NoError(t, err, f.Example)
		out, err := p.Eval(context.Background(), batch)
		require.NoError(t, err, f.Example)
		require.Equal(t, "true", out.ValueStr(0), f.Example)
	}
}
