package tables_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
)

// column is one of a file of deletes as other engines write it.
func column(name string, id int, typ arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: typ, Metadata: arrow.MetadataFrom(map[string]string{"PARQUET:field_id": fmt.Sprint(id)})}
}

// foreignDeletes writes rows as a file of deletes, and commits what is made of its description.
func foreignDeletes(t *testing.T, tbl *tables.Table, rows arrow.RecordBatch, content iceberg.ManifestEntryContent, partition map[int]any, describe func(*iceberg.DataFileBuilder)) {
	t.Helper()
	now := reload(t, tbl).Iceberg()
	fs, err := now.FS(ctx)
	require.NoError(t, err)
	var file bytes.Buffer
	w, err := pqarrow.NewFileWriter(rows.Schema(), &file, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	require.NoError(t, err)
	require.NoError(t, w.Write(rows))
	require.NoError(t, w.Close())
	uri := now.Location() + "/data/foreign-" + uuid.NewString() + ".parquet"
	require.NoError(t, fs.(iceio.WriteFileIO).WriteFile(uri, file.Bytes()))
	b, err := iceberg.NewDataFileBuilder(now.Spec(), content, uri, iceberg.ParquetFile, partition, nil, nil, rows.NumRows(), int64(file.Len()))
	require.NoError(t, err)
	describe(b)
	tx := now.NewTransaction()
	require.NoError(t, tx.NewRowDelta(nil).AddDeletes(b.Build()).Commit(ctx))
	_, err = tx.Commit(ctx)
	require.NoError(t, err)
}

// shared adds a position-delete file of some rows of several data files, by their paths, all of one partition.
func shared(t *testing.T, tbl *tables.Table, partition map[int]any, of map[string][]int64) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{column("file_path", 2147483546, arrow.BinaryTypes.String), column("pos", 2147483545, arrow.PrimitiveTypes.Int64)}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	paths := slices.Sorted(maps.Keys(of))
	for _, path := range paths {
		for _, row := range of[path] {
			b.Field(0).(*array.StringBuilder).Append(path)
			b.Field(1).(*array.Int64Builder).Append(row)
		}
	}
	foreignDeletes(t, tbl, b.NewRecordBatch(), iceberg.EntryContentPosDeletes, partition, func(d *iceberg.DataFileBuilder) {
		d.LowerBoundValues(map[int][]byte{2147483546: []byte(paths[0])}).UpperBoundValues(map[int][]byte{2147483546: []byte(paths[len(paths)-1])})
	})
}

// equality adds an equality-delete file of some values of a text column.
func equality(t *testing.T, tbl *tables.Table, partition map[int]any, id int, values ...string) {
	t.Helper()
	f, found := tbl.Iceberg().Schema().FindFieldByID(id)
	require.True(t, found)
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{column(f.Name, id, arrow.BinaryTypes.String)}, nil))
	defer b.Release()
	b.Field(0).(*array.StringBuilder).AppendValues(values, nil)
	foreignDeletes(t, tbl, b.NewRecordBatch(), iceberg.EntryContentEqDeletes, partition, func(d *iceberg.DataFileBuilder) { d.EqualityFieldIDs([]int{id}) })
}
