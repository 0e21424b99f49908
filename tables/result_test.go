package tables

import (
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

func TestASummaryRecallsTheResult(t *testing.T) {
	did := Result{
		RowsIn: 9, Inserted: 1, Updated: 2, Deleted: 3, Unchanged: 4, BytesRead: 500, BytesWritten: 600,
		Stages: map[string]time.Duration{"load": 1500 * time.Millisecond, "match": time.Second},
	}
	summary := did.counts()
	require.Equal(t, "1.500", summary["varve.merge.seconds.load"])
	summary["added-data-files"] = "7"
	var again Result
	again.Stages = map[string]time.Duration{"commit": time.Minute}
	again.recall(&table.Snapshot{Summary: &table.Summary{Properties: summary}})
	did.FilesAdded = 7
	did.Stages["commit"] = time.Minute
	require.Equal(t, did, again)
}
