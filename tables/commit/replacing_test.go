package commit_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/immense"
	"github.com/varve-lake/varve/tables/planning"
)

// Changes of a table of very many files carry over the manifests that hold none of the files that they remove. VARVE_PLANNING_FILES is the
// number of files (125,000), VARVE_PLANNING_DIR keeps their metadata; it prints what it takes to find the files and to replace them.
func TestReplacingLeavesOtherManifests(t *testing.T) {
	files := 125_000
	if text := os.Getenv("VARVE_PLANNING_FILES"); text != "" {
		var err error
		files, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	w := largeWorld(t, files, os.Getenv("VARVE_PLANNING_DIR"))
	user := iceberg.EqualTo(iceberg.Reference("user_id"), int64(1_234_567))
	few := iceberg.LessThan(iceberg.Reference("user_id"), int64(16_000))
	left, first := files, 0 // each case has days of its own
	for i, c := range []struct {
		name    string
		days    int
		filter  iceberg.BooleanExpression
		removed int // in each day
		added   int
		op      commit.Operation
	}{
		{"merge into 1 file of each of 1 day", 1, user, 1, 1, commit.Overwrite},
		{"merge into 1 file of each of 4 days", 4, user, 1, 1, commit.Overwrite},
		{"merge into 1 file of each of 16 days", 16, user, 1, 1, commit.Overwrite},
		{"compact 16 files of 1 day", 1, few, 16, 1, commit.Rewrite},
		{"delete a day", 1, nil, 0, 0, commit.Overwrite},
	} {
		filter := immense.Days(first, first+c.days)
		if c.filter != nil {
			filter = iceberg.NewAnd(filter, c.filter)
		}
		var planned, added int
		var took time.Duration
		peak := immense.HeapPeak(func() {
			start := time.Now()
			out, err := commit.Commit(context.Background(), w.cat, w.ident, commit.ID{Writer: "w", Token: fmt.Sprint("replace", i)},
				func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
					fs, err := head.FS(ctx)
					if err != nil {
						return nil, err
					}
					plan, err := planning.Files(ctx, head.Metadata(), fs, planning.Options{
						Snapshot: head.CurrentSnapshot(), Schema: head.Schema(), Filter: filter, Described: true,
					})
					if err != nil {
						return nil, err
					}
					change := &commit.Change{Operation: c.op}
					for _, task := range plan.Tasks {
						change.RemoveData = append(change.RemoveData, task.File)
					}
					for day := range c.days * c.added {
						f, err := immense.File(head.Location(), first+day, 1_000_000+i)
						if err != nil {
							return nil, err
						}
						change.AddData = append(change.AddData, f)
					}
					planned, added = len(change.RemoveData), len(change.AddData)
					return change, nil
				}, commit.Options{})
			took = time.Since(start)
			require.NoError(t, err)
			require.True(t, out.Committed)
		})
		if c.filter != nil {
			require.Equal(t, c.days*c.removed, planned, c.name)
		}
		left, first = left+added-planned, first+c.days
		require.Equal(t, fmt.Sprint(left), w.load().CurrentSnapshot().Summary.Properties["total-data-files"], c.name)
		t.Logf("%s, of %d files: %v, heap %d MB", c.name, files, took.Round(time.Millisecond), peak>>20)
	}
	kept, _ := w.kept()
	require.Equal(t, (files+immense.ManifestFiles-1)/immense.ManifestFiles-first, kept, "of the first snapshot's manifests")
}
