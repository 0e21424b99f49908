package activities

import (
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// A history that was read of an empty table does not agree with one whose rows came meanwhile, also where the snapshot that brought
// them is not to be seen: it has expired, or the catalog shows the head alone.
func TestAHistoryThatWasReadOfAnEmptyTable(t *testing.T) {
	at := func(snapshots ...table.Snapshot) *table.Table {
		schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
		meta, err := table.NewMetadata(schema, iceberg.UnpartitionedSpec, table.UnsortedSortOrder, "file:///t", iceberg.Properties{"format-version": "2"})
		require.NoError(t, err)
		b, err := table.MetadataBuilderFromBase(meta, "")
		require.NoError(t, err)
		for _, s := range snapshots {
			s.TimestampMs, s.SchemaID = meta.LastUpdatedMillis()+1, new(int)
			require.NoError(t, b.AddSnapshot(&s))
			require.NoError(t, b.SetSnapshotRef(table.MainBranch, s.SnapshotID, table.BranchRef))
		}
		meta, err = b.Build()
		require.NoError(t, err)
		return table.New(table.Identifier{"a", "t"}, meta, "", nil, nil)
	}
	snapshot := func(id, parent int64, op table.Operation) table.Snapshot {
		return table.Snapshot{SnapshotID: id, ParentSnapshotID: &parent, SequenceNumber: id, Summary: &table.Summary{Operation: op}}
	}
	require.NoError(t, unmoved("a.t", 0)(t.Context(), at()))
	require.Error(t, unmoved("a.t", 0)(t.Context(), at(snapshot(2, 1, table.OpReplace))))
	require.Error(t, unmoved("a.t", 1)(t.Context(), at()))
	require.NoError(t, unmoved("a.t", 1)(t.Context(), at(snapshot(1, 0, table.OpAppend), snapshot(2, 1, table.OpReplace))), "a compaction keeps the rows")
}
