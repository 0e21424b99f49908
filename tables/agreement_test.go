package tables_test

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/internal/random"
)

// check compares the table with its model, and an earlier snapshot with what it was.
func (m *machine) check(before moment, stays bool) {
	m.t.Helper()
	tbl := m.table()
	require.NoError(m.t, m.valid.Check(context.Background(), tbl.Iceberg()))
	rows, ids := m.read(tbl, tables.Version{}, m.now.model)
	require.Equal(m.t, m.now.model.texts(), rows)
	require.Equal(m.t, slices.Sorted(maps.Values(rows)), m.asIcebergGoReads(tbl))
	m.now.lineage = ids
	head, ok := tbl.Head()
	if !ok {
		return
	}
	if stays {
		m.kept(before, head.Sequence)
	}
	if m.past[head.ID] == nil {
		m.past[head.ID] = &moment{m.now.model.clone(), ids}
	}
	id := m.anySnapshot()
	then := m.past[id]
	rows, ids = m.read(tbl, tables.Version{SnapshotID: &id}, then.model)
	require.Equal(m.t, then.model.texts(), rows, "snapshot %d", id)
	if then.lineage != nil {
		require.Equal(m.t, then.lineage, ids, "row ids of snapshot %d", id)
	}
}

// kept checks that rows have kept their ids, and bear the number of the snapshot that changed them.
func (m *machine) kept(before moment, sequence int64) {
	m.t.Helper()
	for key, was := range before.lineage {
		now, ok := m.now.lineage[key]
		if !ok {
			continue
		}
		require.Equal(m.t, was.id, now.id, "id of the row with key %d", key)
		if before.model.text(key) == m.now.model.text(key) {
			require.Equal(m.t, was.updated, now.updated, "key %d did not change", key)
		} else if len(before.model.columns) == len(m.now.model.columns) {
			require.Equal(m.t, sequence, now.updated, "key %d changed", key)
		}
	}
}

// read gives a version's rows as text, by key, and their lineage where they have one.
func (m *machine) read(tbl *tables.Table, v tables.Version, as *model) (map[int64]string, map[int64]lineage) {
	m.t.Helper()
	columns := as.names()
	traced := tbl.Iceberg().Metadata().Version() >= 3
	if traced {
		columns = append(columns, iceberg.RowIDColumnName, iceberg.LastUpdatedSequenceNumberColumnName)
	}
	r, err := tbl.Scan(context.Background(), tables.ScanOptions{Version: v, Columns: columns})
	require.NoError(m.t, err)
	rows := map[int64]string{}
	var ids map[int64]lineage
	for batch, err := range batches(r) {
		require.NoError(m.t, err)
		n := len(as.columns)
		data := array.NewRecordBatch(arrow.NewSchema(batch.Schema().Fields()[:n], nil), batch.Columns()[:n], batch.NumRows())
		keys := batch.Column(0).(*array.Int64)
		for i, text := range random.BatchText(data) {
			_, again := rows[keys.Value(i)]
			require.False(m.t, again, "key %d is there twice", keys.Value(i))
			rows[keys.Value(i)] = text
			if traced && batch.Column(n).IsValid(i) {
				if ids == nil {
					ids = map[int64]lineage{}
				}
				ids[keys.Value(i)] = lineage{batch.Column(n).(*array.Int64).Value(i), batch.Column(n + 1).(*array.Int64).Value(i)}
			}
		}
		data.Release()
		batch.Release()
	}
	return rows, ids
}

// asIcebergGoReads is the head's rows by iceberg-go's own reader.
func (m *machine) asIcebergGoReads(tbl *tables.Table) []string {
	m.t.Helper()
	if tbl.Iceberg().CurrentSnapshot() == nil {
		return nil
	}
	_, theirs, err := tbl.Iceberg().Scan(table.WithSelectedFields(m.now.model.names()...)).ToArrowRecords(context.Background())
	require.NoError(m.t, err)
	var out []string
	for batch, err := range theirs {
		require.NoError(m.t, err)
		out = append(out, random.BatchText(batch)...)
		batch.Release()
	}
	slices.SortFunc(out, strings.Compare)
	return out
}
