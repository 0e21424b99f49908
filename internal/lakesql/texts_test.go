package lakesql_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/lakesql"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/transforms/sql"
)

// notTexts are texts that other engines let through: k is their place. The third and the fourth are valid only behind each other.
var notTexts = []string{"plain", "\xff\xfe", "\xc3", "\xa9", "é", ""}

// addForeign adds a file of k and p, as another writer leaves it, with those texts.
func addForeign(t *testing.T, tbl *tables.Table, from int, options ...parquet.WriterProperty) {
	t.Helper()
	ctx := context.Background()
	tbl, err := tbl.Refresh(ctx)
	require.NoError(t, err)
	now := tbl.Iceberg()
	var fields []arrow.Field
	for i, f := range []int{0, 2} {
		field := pairs.Field(f)
		id, found := now.Schema().FindFieldByName(field.Name)
		require.True(t, found)
		field.Metadata = arrow.MetadataFrom(map[string]string{"PARQUET:field_id": fmt.Sprint(id.ID)})
		require.Len(t, fields, i)
		fields = append(fields, field)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	for i, text := range notTexts {
		b.Field(0).(*array.Int32Builder).Append(int32(from + i))
		b.Field(1).(*array.StringBuilder).Append(text)
	}
	b.Field(0).(*array.Int32Builder).Append(int32(from + len(notTexts)))
	b.Field(1).AppendNull()
	rows := b.NewRecordBatch()
	var file bytes.Buffer
	w, err := pqarrow.NewFileWriter(rows.Schema(), &file, parquet.NewWriterProperties(options...), pqarrow.DefaultWriterProps())
	require.NoError(t, err)
	require.NoError(t, w.Write(rows))
	require.NoError(t, w.Close())
	fs, err := tbl.FS(ctx)
	require.NoError(t, err)
	uri := now.Location() + "/data/" + uuid.NewString() + ".parquet"
	require.NoError(t, fs.WriteFile(uri, file.Bytes()))
	df, err := iceberg.NewDataFileBuilder(now.Spec(), iceberg.EntryContentData, uri, iceberg.ParquetFile, nil, nil, nil, rows.NumRows(), int64(file.Len()))
	require.NoError(t, err)
	tx := now.NewTransaction()
	require.NoError(t, tx.NewRowDelta(nil).AddRows(df.Build()).Commit(ctx))
	_, err = tx.Commit(ctx)
	require.NoError(t, err)
}

// texts are the k and p of rows; a null is none.
func texts(t *testing.T, rows array.RecordReader, err error) map[int32]string {
	t.Helper()
	require.NoError(t, err)
	defer rows.Release()
	out := map[int32]string{}
	for rows.Next() {
		b := rows.RecordBatch()
		for i := range int(b.NumRows()) {
			if p := b.Column(1).(*array.String); p.IsValid(i) {
				out[b.Column(0).(*array.Int32).Value(i)] = p.Value(i)
			}
		}
	}
	require.NoError(t, rows.Err())
	return out
}

// one is a source of one row.
type one struct {
	k int32
	p string
}

func (o one) Schema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{pairs.Field(0), pairs.Field(1), pairs.Field(2)}, nil)
}

func (o one) Open(_ context.Context, columns []string) (array.RecordReader, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, o.Schema())
	b.Field(0).(*array.Int32Builder).Append(o.k)
	b.Field(1).AppendNull()
	b.Field(2).(*array.StringBuilder).Append(o.p)
	all := b.NewRecordBatch()
	if columns == nil {
		return array.NewRecordReader(o.Schema(), []arrow.RecordBatch{all})
	}
	var fields []arrow.Field
	var chosen []arrow.Array
	for _, c := range columns {
		at := o.Schema().FieldIndices(c)[0]
		fields, chosen = append(fields, o.Schema().Field(at)), append(chosen, all.Column(at))
	}
	s := arrow.NewSchema(fields, nil)
	return array.NewRecordReader(s, []arrow.RecordBatch{array.NewRecordBatch(s, chosen, 1)})
}

// Texts that are not UTF-8, which other engines may have written, are read, looked up, compacted and merged as they are; a query, which
// DuckDB could not be trusted with, ends with an error that names the place, whether DuckDB reads the files itself or is streamed them.
func TestTextsThatAreNotUTF8(t *testing.T) {
	ctx := context.Background()
	for name, options := range map[string][]parquet.WriterProperty{
		"plain":        {parquet.WithDictionaryDefault(false)},
		"dictionaries": {parquet.WithDictionaryDefault(true)},
		"other writer": {parquet.WithCreatedBy("other version 1.0")},
	} {
		t.Run(name, func(t *testing.T) {
			lake, err := tables.OpenLake(ctx, tables.Local(t.TempDir()))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, lake.Close()) })
			engine := openEngine(t, lakesql.Folders(lake))
			tbl, _, err := lake.Ensure(ctx, tables.Definition{Name: "a.t", Schema: pairs})
			require.NoError(t, err)
			addForeign(t, tbl, 0, options...)
			addForeign(t, tbl, 10, options...)
			want := map[int32]string{}
			for i, text := range notTexts {
				want[int32(i)], want[int32(10+i)] = text, text
			}
			check := func(what string) {
				t.Helper()
				tbl, err = tbl.Refresh(ctx)
				require.NoError(t, err)
				rows, err := tbl.Scan(ctx, tables.ScanOptions{Columns: []string{"k", "p"}})
				require.Equal(t, want, texts(t, rows, err), what)
				rows, err = tbl.Lookup(ctx, map[string]any{"p": "\xff\xfe"}, tables.LookupOptions{Columns: []string{"k", "p"}})
				require.Equal(t, map[int32]string{1: "\xff\xfe", 11: "\xff\xfe"}, texts(t, rows, err), what)
				for _, from := range []int64{1, 1 << 40} {
					refuse(t, engine, lakesql.New(lake, nil).DirectFrom(from), fmt.Sprint(what, ", direct from ", from))
					require.Len(t, run(t, engine, lakesql.New(lake, nil).DirectFrom(from), "SELECT k FROM a.t"), len(want)+2)
				}
			}
			check("as it was written")
			_, err = tbl.Compact(ctx, tables.CommitOptions{ID: commit.ID{Writer: "m", Token: "1"}}, maintain.CompactOptions{RewriteAll: true, MinInputFiles: 2})
			require.NoError(t, err)
			check("compacted")
			for i, strategy := range []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead} {
				want[int32(2*i)] = "new \xfd"
				_, err = tbl.Merge(ctx, tables.CommitOptions{ID: commit.ID{Writer: "w", Token: fmt.Sprint(i)}},
					merge.Options{On: []string{"k"}, Strategy: strategy, Matched: []merge.Clause{{Action: merge.Update, All: true}}}, one{int32(2 * i), "new \xfd"})
				require.NoError(t, err)
				check(string(strategy))
			}
		})
	}
}

// refuse has a query that reads the texts end with an error that names the file, the column and the row group.
func refuse(t *testing.T, engine *sql.Engine, in sql.Input, what string) {
	t.Helper()
	for _, query := range []string{"SELECT p FROM a.t", "SELECT max(upper(p)) AS p FROM a.t", "SELECT length(p) AS n, count(*) AS c FROM a.t GROUP BY ALL"} {
		rows, err := engine.Run(context.Background(), query, in)
		if err == nil {
			for rows.Next() {
			}
			err = rows.Err()
			rows.Release()
		}
		var text *datafile.TextError
		require.ErrorAs(t, err, &text, "%s: %s", what, query)
		require.Equal(t, "p", text.Column)
		require.ErrorContains(t, err, ".parquet", what)
		require.ErrorContains(t, err, "row group 0: column p: the text \"", what)
	}
}
