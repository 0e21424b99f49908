package workflows_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
)

// A conflict of a small MERGE, as a server recorded it: the Commit that met it has completed, what is redone is an activity that
// says so in the UI, and nothing has failed or was tried again.
func TestARecordedConflict(t *testing.T) {
	var names, summaries []string
	for _, e := range readHistory(t, "testdata/histories/redone.silver.a.json").Events {
		require.Nil(t, e.GetActivityTaskFailedEventAttributes())
		if started := e.GetActivityTaskStartedEventAttributes(); started != nil {
			require.EqualValues(t, 1, started.GetAttempt())
		}
		scheduled := e.GetActivityTaskScheduledEventAttributes()
		if name := scheduled.GetActivityType().GetName(); name == wire.ActivityCommit || name == wire.ActivityMergeGroup {
			names = append(names, name)
			if data := e.GetUserMetadata().GetSummary().GetData(); name == wire.ActivityMergeGroup {
				var summary string
				require.NoError(t, json.Unmarshal(data, &summary))
				summaries = append(summaries, summary)
			}
		}
	}
	require.Equal(t, []string{wire.ActivityCommit, wire.ActivityMergeGroup, wire.ActivityCommit}, names)
	require.Equal(t, []string{"group 1 of 1, redone after a conflict (1)"}, summaries)
}
