package simulation

import (
	"testing"
	"testing/synctest"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/merge"
)

// written counts data and delete files that were ever written and not removed.
func (st *stage) written() (n int) {
	for name := range st.s.store.files {
		if kind := kindOf(name); kind == "data" || kind == "deletes" {
			n++
		}
	}
	return n
}

// apache/iceberg 11795: a MERGE fails for conflicts however high commit.retry.num-retries is, since what conflicts is
// planned once and sent again. Here each conflict is planned anew, more often than the table's property says.
func TestAMergeOutlastsTheTablesRetryProperties(t *testing.T) {
	for _, strategy := range []merge.Strategy{merge.MergeOnRead, merge.CopyOnWrite} {
		onStage(t, strategy, func(t *testing.T, st *stage) {
			const storms = 12
			require.Equal(t, "5", st.s.catalog.current().Properties()[table.CommitNumRetriesKey])
			_, err := st.append(change{k: 1, v: 1}, change{k: 2, v: 1})
			require.NoError(t, err)
			left := storms
			var other func()
			other = func() {
				left--
				st.merge(change{k: 1, v: int64(100 + left)}) // the row that the MERGE below changes too
				if left > 0 {
					st.before = other
				}
			}
			st.before = other
			r := st.merge(change{k: 1, v: 2}, change{k: 3, v: 3})
			require.True(t, r.Committed)
			require.Equal(t, storms, r.Conflicts)
			require.GreaterOrEqual(t, r.GroupsRedone, storms, "each time the file that both change")
			st.has(row{1, 2}, row{2, 1}, row{3, 3})
		})
	}
}

// apache/iceberg 13091: MERGEs into different partitions conflict, and one of them fails. Here the one that comes second
// is sent again, with the files that it wrote at first.
func TestMergesIntoDifferentPartitionsCostEachOtherNothing(t *testing.T) {
	for _, strategy := range []merge.Strategy{merge.MergeOnRead, merge.CopyOnWrite} {
		for format := 2; format <= 3; format++ {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t, strategy, format, true)
				_, err := st.append(change{k: 0, v: 1}, change{k: 1, v: 1}) // a file for each partition
				require.NoError(t, err)
				before := 0
				st.before = func() {
					r := st.merge(change{k: 1, v: 7})
					require.Zero(t, r.Conflicts)
					before = st.written()
				}
				r := st.merge(change{k: 0, v: 2})
				require.True(t, r.Committed)
				require.Equal(t, []int{1, 0}, []int{r.Conflicts, r.GroupsRedone})
				require.Equal(t, before, st.written(), "the second attempt writes manifests alone")
				st.has(row{0, 2}, row{1, 7})
			})
		}
	}
}
