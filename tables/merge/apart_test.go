package merge_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/merge"
)

// Of small files too, what another writer has changed in one partition is done again in that one, and in no other.
func TestAConflictInOnePartitionRedoesThatOne(t *testing.T) {
	long := random.KindNamed("long")
	columns := []random.Column{{Name: "p", Kind: long}, {Name: "k", Kind: long}, {Name: "v", Kind: long}}
	const partitions = 5
	rows := func(v int64, of ...int64) [][]any {
		var out [][]any
		for _, p := range of {
			out = append(out, []any{p, p * 10, v}, []any{p, p*10 + 1, v})
		}
		return out
	}
	all := []int64{0, 1, 2, 3, 4}
	for i, strategy := range []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead} {
		for _, version := range []string{"2", "3"} {
			t.Run(fmt.Sprintf("%s v%s", strategy, version), func(t *testing.T) {
				w := newWorld(t, openCatalog(t), fmt.Sprint("t", i))
				w.create(columns, nil, []partition{{"p", "identity"}}, nil, map[string]string{"format-version": version})
				w.append(columns, rows(0, all...))
				opts := merge.Options{On: []string{"k"}, Strategy: strategy, Matched: []merge.Clause{{Action: merge.Update, All: true}}}
				plan, err := merge.New(&random.Source{Columns: columns, Rows: rows(2, all...), Batch: 100}, opts)
				require.NoError(t, err)
				defer func() { require.NoError(t, plan.Close()) }()
				attempts := 0
				out, err := w.commit(func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
					change, err := plan.Change(ctx, head, attempt)
					if attempts++; attempts == 1 {
						require.Equal(t, partitions, plan.Stats().Groups)
						_, _, err := w.merge(&random.Source{Columns: columns, Rows: rows(1, 3), Batch: 100}, opts)
						require.NoError(t, err)
					}
					return change, err
				})
				require.NoError(t, err)
				require.Equal(t, []int{2, 1}, []int{out.Attempts, out.Conflicts})
				require.Equal(t, []int{partitions, 1}, []int{plan.Stats().Groups, plan.Stats().GroupsRedone})
				var want []string
				for _, r := range rows(2, all...) {
					want = append(want, random.BatchText(random.Batch(columns, [][]any{r}))...)
				}
				slices.Sort(want)
				require.Equal(t, want, w.rows())
			})
		}
	}
}
