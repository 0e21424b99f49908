package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/workflows"
)

// overtaken is a catalog that lets others commit to silver.stock before the next commits to it.
type overtaken struct {
	*catalog.Catalog
	by []func()
}

// CommitTable implements iceberg-go's catalog.
func (o *overtaken) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if len(o.by) > 0 && ident[len(ident)-1] == "stock" {
		do := o.by[0]
		o.by = o.by[1:]
		do()
	}
	return o.Catalog.CommitTable(ctx, ident, reqs, updates)
}

// overtake has other writers set rows, each time before a commit of the lab's own.
func (l *lab) overtake(ids ...[]int) {
	o := &overtaken{Catalog: l.a.lake.Catalog()}
	beside, through := l.a.lake, tables.LakeOn(catalog.Wrap(o, l.a.lake.Catalog().Warehouse()), l.a.cfg.Lake)
	for _, some := range ids {
		o.by = append(o.by, func() {
			l.a.lake = beside
			defer func() { l.a.lake = through }()
			l.meanwhile(some...)
		})
	}
	l.a.lake = through
}

// smallStock is the lab of stockLab with a MERGE that is far too small to be divided.
func smallStock(t *testing.T, strategy string) (*lab, *build) {
	l, b := stockLab(t, strategy)
	l.a.cfg.FanOut = 1 << 40
	return l, b
}

// wantAfter is the table after the second delivery, with the rows in it that others have set.
func wantAfter(others ...int) []string {
	want := wantStock()
	for _, i := range others {
		delete(want, fmt.Sprintf("%d s-%d %d", i, i%12, 10))
		want[fmt.Sprintf("%d s-%d 1000", i, i%12)] = true
	}
	var out []string
	for row := range want {
		out = append(out, row)
	}
	slices.Sort(out)
	return out
}

// The redo of a small MERGE is an activity: the commit that meets the conflict completes, and hands on what it has done and what
// still holds.
func TestASmallMergeInConflictIsRedoneByAnActivity(t *testing.T) {
	for _, strategy := range []string{"copy-on-write", "merge-on-read"} {
		t.Run(strategy, func(t *testing.T) {
			l, _ := smallStock(t, strategy)
			staged := l.staged()      // by the build that goes no further
			l.overtake([]int{30, 31}) // rows of two of the twelve files
			result, err := l.workflow(workflows.RunInput{Pipeline: "p"})
			require.NoError(t, err)
			r := result.Tables[0]
			require.Equal(t, []int64{1, 13, 1}, []int64{r.Inserted, r.Updated, r.Deleted})
			require.Equal(t, []int{1, 2, 1}, []int{r.Conflicts, r.GroupsRedone, r.MergeGroups})
			require.Equal(t, wantAfter(30, 31), l.stock())
			require.Equal(t, []string{"Commit", "MergeGroup", "Commit"}, l.ranOf(wire.ActivityCommit, wire.ActivityMergeGroup))
			require.EqualValues(t, 1, l.workflowMetered.of(metricConflict, "silver.stock"))
			require.EqualValues(t, 2, l.workflowMetered.of(metricRedone, "silver.stock"))
			require.EqualValues(t, 2, l.workflowMetered.of(metricAttempts, "silver.stock"))
			require.Equal(t, staged, l.staged())
		})
	}
}

// ranOf are those of the last workflow's activities that have one of the names, in order. None has failed, or was tried again.
func (l *lab) ranOf(names ...string) (out []string) {
	l.t.Helper()
	for _, r := range l.ran {
		require.True(l.t, strings.HasSuffix(r, " 1"), "%s: it was tried again, or has failed", r)
		if name := strings.TrimSuffix(r, " 1"); slices.Contains(names, name) {
			out = append(out, name)
		}
	}
	return out
}

// Others who come again and again do not keep it from getting through, and each of them costs what it concerns.
func TestASmallMergeThatKeepsLosing(t *testing.T) {
	l, _ := smallStock(t, "copy-on-write")
	l.overtake([]int{30}, []int{31}, []int{32}, []int{33}, []int{34}, []int{35})
	result, err := l.workflow(workflows.RunInput{Pipeline: "p"})
	require.NoError(t, err)
	r := result.Tables[0]
	require.Equal(t, []int64{1, 13, 1}, []int64{r.Inserted, r.Updated, r.Deleted})
	require.Equal(t, []int{6, 6, 4}, []int{r.Conflicts, r.GroupsRedone, r.MergeGroups}, "four times by activities, and then by the commit")
	require.Equal(t, wantAfter(30, 31, 32, 33, 34, 35), l.stock())
	require.Len(t, l.ranOf(wire.ActivityCommit), 5)
	meta := l.table("silver.stock").Iceberg().Properties()
	for key := range meta {
		require.NotContains(t, key, "varve.claim.", "no claim is left")
	}
}

func (l *lab) table(name string) *tables.Table {
	l.t.Helper()
	t, err := l.a.lake.Table(l.t.Context(), name)
	require.NoError(l.t, err)
	return t
}

// The commit that divides after a conflict may run twice, its answer lost: what the first had kept is nobody's, and the second
// brings the MERGE to its end.
func TestARedoneCommitTwice(t *testing.T) {
	l, b := smallStock(t, "copy-on-write")
	before := l.dataFiles()
	l.overtake([]int{30}, []int{42})
	lost, err := b.commitInGroups(nil)
	require.NoError(t, err)
	require.NotNil(t, lost.Divided)
	require.NotEmpty(t, lost.Divided.Kept)
	second, err := b.commitInGroups(nil)
	require.NoError(t, err)
	require.NotNil(t, second.Divided)
	require.True(t, second.Divided.Redo)
	require.Equal(t, 1, second.Divided.Groups)
	require.NotEqual(t, lost.Divided.Kept, second.Divided.Kept)
	rounds := []wire.MergeRound{b.mergeAll(second.Divided, 2)}
	for range 2 {
		done, err := b.commitInGroups(rounds)
		require.NoError(t, err)
		require.Nil(t, done.Divided)
		require.Equal(t, []int64{1, 13, 1}, []int64{done.Inserted, done.Updated, done.Deleted})
	}
	require.Equal(t, wantAfter(30, 42), l.stock())
	require.Greater(t, l.dataFiles(), before)
}

// What a commit has kept, and no other one was asked to use, goes with a build that is given up.
func TestCleanupDiscardsWhatWasKept(t *testing.T) {
	l, b := smallStock(t, "copy-on-write")
	before := l.dataFiles()
	l.overtake([]int{30})
	divided, err := b.commitInGroups(nil)
	require.NoError(t, err)
	require.Equal(t, before+1+11+1, l.dataFiles(), "another writer's file, what was written for eleven files, and an insert")
	_, err = l.env.ExecuteActivity(wire.ActivityCleanup, wire.CleanupRequest{
		Build: b.build, Table: b.table.Name, Job: b.prepared.Job, Discard: []string{divided.Divided.Kept},
	})
	require.NoError(t, err)
	require.Equal(t, before+1, l.dataFiles())
	require.Empty(t, l.staged())
}
