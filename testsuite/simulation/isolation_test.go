package simulation

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/merge"
)

// mergeUnder merges under an isolation level, by options that a test may set.
func (st *stage) mergeUnder(isolation merge.Isolation, set func(*merge.Options), rows ...change) {
	st.t.Helper()
	o := st.s.mergeOptions()
	o.Isolation = isolation
	if set != nil {
		set(&o)
	}
	_, err := st.table().Merge(bg, st.token("merger"), o, &source{rows: rows})
	require.NoError(st.t, err)
}

var bothStrategies = []merge.Strategy{merge.MergeOnRead, merge.CopyOnWrite}

// What another MERGE updates meanwhile is updated on top of it, under either isolation level: its new version may lie in a new file.
func TestAMergeUpdatesWhatAnotherHasUpdated(t *testing.T) {
	for _, isolation := range []merge.Isolation{merge.Serializable, merge.Snapshot} {
		for _, strategy := range bothStrategies {
			onStage(t, strategy, func(t *testing.T, st *stage) {
				for k := range int64(2) {
					_, err := st.append(change{k: k + 1, v: k + 1})
					require.NoError(t, err)
				}
				st.before = func() { st.merge(change{k: 2, v: 8}) }
				st.mergeUnder(isolation, nil, change{k: 2, v: 9})
				st.has(row{1, 1}, row{2, 9})
			})
		}
	}
}

// Rows that were added meanwhile are merged under serializable isolation, and are none of the MERGE's business under snapshot.
func TestIsolationOfRowsThatAreAddedMeanwhile(t *testing.T) {
	for _, strategy := range bothStrategies {
		for isolation, want := range map[merge.Isolation][]row{
			merge.Serializable: {{1, 7}, {1, 7}, {2, 2}}, merge.Snapshot: {{1, 5}, {1, 7}, {2, 2}},
		} {
			onStage(t, strategy, func(t *testing.T, st *stage) {
				for k := range int64(2) {
					_, err := st.append(change{k: k + 1, v: k + 1})
					require.NoError(t, err)
				}
				st.before = func() { _, err := st.append(change{k: 1, v: 5}); require.NoError(t, err) }
				st.mergeUnder(isolation, nil, change{k: 1, v: 7})
				st.has(want...)
			})
		}
	}
}

// Rows that the source does not have are deleted also where a compaction has moved them meanwhile.
func TestRowsThatASourceLacksGoBesideACompaction(t *testing.T) {
	for _, isolation := range []merge.Isolation{merge.Serializable, merge.Snapshot} {
		for _, strategy := range bothStrategies {
			onStage(t, strategy, func(t *testing.T, st *stage) {
				for k := range int64(2) {
					_, err := st.append(change{k: k + 1, v: k + 1})
					require.NoError(t, err)
				}
				st.before = func() { require.True(t, st.compact().Committed) }
				st.mergeUnder(isolation, func(o *merge.Options) { o.NotMatchedBySource = []merge.Clause{{Action: merge.Delete}} }, change{k: 7, v: 7})
				st.has(row{7, 7})
			})
		}
	}
}
