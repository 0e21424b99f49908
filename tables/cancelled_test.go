package tables_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/merge"
)

// endingSource ends the context when it is opened for the nth time: while rows are written, if that is late enough.
type endingSource struct {
	*random.Source
	opens int
	end   func()
}

func (s *endingSource) Open(ctx context.Context, columns []string) (array.RecordReader, error) {
	if s.opens--; s.opens == 0 {
		s.end()
	}
	return s.Source.Open(ctx, columns)
}

// TestACancelledMergeLeavesNoFile: before anything was sent to the catalog, what a merge has written is nobody's.
func TestACancelledMergeLeavesNoFile(t *testing.T) {
	lake := newLake(t)
	columns := []random.Column{{Name: "k", Kind: random.KindNamed("long")}, {Name: "v", Kind: random.KindNamed("string")}}
	tbl, _, err := lake.Ensure(context.Background(), tables.Definition{Name: "ns.t", Schema: random.Schema(columns)})
	require.NoError(t, err)
	rows := func(from, to int64) (out [][]any) {
		for k := from; k < to; k++ {
			out = append(out, []any{k, "new"})
		}
		return out
	}
	id := func(token string) tables.CommitOptions {
		return tables.CommitOptions{ID: commit.ID{Writer: "w", Token: token}}
	}
	opts := merge.Options{On: []string{"k"}, MemoryLimit: 1, Matched: []merge.Clause{{Action: merge.Update, All: true}},
		NotMatched: []merge.Clause{{Action: merge.Insert, All: true}}}
	source := &random.Source{Columns: columns, Batch: 100, Rows: rows(0, 1000)}
	_, err = tbl.Merge(context.Background(), id("first"), opts, source)
	require.NoError(t, err)
	files := func() int {
		found, err := os.ReadDir(strings.TrimPrefix(tbl.Location(), "file://") + "/data")
		require.NoError(t, err)
		return len(found)
	}
	before := files()
	ended := 0
	for at := 1; ; at++ {
		ctx, cancel := context.WithCancel(context.Background())
		changed := &random.Source{Columns: columns, Batch: 100, Rows: rows(500, 1500)}
		for _, row := range changed.Rows {
			row[1] = "changed"
		}
		_, err := tbl.Merge(ctx, id("second"), opts, &endingSource{Source: changed, opens: at, end: cancel})
		cancel()
		if err == nil {
			break
		}
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, before, files(), "cancelled when the source was opened for the %d. time", at)
		ended++
	}
	require.GreaterOrEqual(t, ended, 3, "keys, rows to change, rows to insert")
}
