package commit

import (
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// Format 1 has no sequence numbers: one that a rollback left would hide all rollbacks after it.
func TestNothingIsToldOfSequencesInFormat1(t *testing.T) {
	for version, want := range map[string]map[string]string{"1": {}, "2": {SequencePrefix + "a": "5", SequencePrefix + "me": "5"}} {
		meta, err := table.NewMetadata(iceberg.NewSchema(0), iceberg.UnpartitionedSpec, table.UnsortedSortOrder, "file:///t",
			iceberg.Properties{table.PropertyFormatVersion: version, PropertyPrefix + "a": "1"})
		require.NoError(t, err)
		require.Equal(t, want, AtSequence(meta, &table.Snapshot{SequenceNumber: 5}, "me"))
	}
}
