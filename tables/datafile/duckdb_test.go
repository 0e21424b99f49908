package datafile

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/stretchr/testify/require"
)

// DuckDB, whose Parquet reader is its own, sees the values that were written: of every type, in every codec and page version.
func TestDuckDBReadsWhatIsWritten(t *testing.T) {
	db, err := sql.Open("duckdb", "")
	require.NoError(t, err)
	defer db.Close()
	columns := []struct{ name, sql string }{
		{"b", "b::VARCHAR"}, {"i", "i::VARCHAR"}, {"l", "l::VARCHAR"}, {"dec9", "rtrim(rtrim(dec9::VARCHAR, '0'), '.')"},
		{"dec38", "rtrim(rtrim(dec38::VARCHAR, '0'), '.')"}, {"date", "date::VARCHAR"}, {"ts", "epoch_us(ts)::VARCHAR"}, {"tstz", "epoch_us(tstz)::VARCHAR"},
		{"s", "s"}, {"u", "u::VARCHAR"}, {"bin", "base64(bin)"}, {"fix", "base64(fix)"}, {"st.x", "st.x::VARCHAR"},
		{"ls", "array_to_string(list_transform(ls, x -> coalesce(x, '~')), ',')"}, {"ll", "len(flatten(ll))::VARCHAR"}, {"m", "cardinality(m)::VARCHAR"},
		{"lst", "len(lst)::VARCHAR"},
	}
	var list []string
	for _, c := range columns {
		list = append(list, c.sql)
	}
	for seed, codec := range []string{"zstd", "snappy", "gzip", "lz4_raw", "uncompressed", "brotli"} {
		meta := newTable(t, everyType(), nil, table.UnsortedSortOrder, iceberg.Properties{"write.parquet.compression-codec": codec,
			"write.parquet.page-version": fmt.Sprint(1 + seed%2), "write.parquet.page-size-bytes": "1000"})
		schema, err := arrowSchema(meta.CurrentSchema())
		require.NoError(t, err)
		batch := randomBatch(t, rand.New(rand.NewPCG(uint64(seed), 6)), schema, 500)
		df := writeAll(t, meta, WriterOptions{RowGroupRows: 200}, batch)[0]
		rows, err := db.Query("SELECT " + strings.Join(list, ", ") + " FROM read_parquet('" + df.FilePath() + "')")
		require.NoError(t, err)
		got := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range got {
			into[i] = &got[i]
		}
		n := 0
		for ; rows.Next(); n++ {
			require.NoError(t, rows.Scan(into...))
			for i, c := range columns {
				want := duckText(t, meta.CurrentSchema(), c.name, batch, n)
				require.Equal(t, want, got[i], "%s: row %d of column %s", codec, n, c.name)
			}
		}
		require.NoError(t, rows.Err())
		require.Equal(t, 500, n)

		// Its own pruning by our statistics and Bloom filters loses nothing.
		for i := range 20 {
			id := batch.Column(1).(*array.Int32).Value(i * 7)
			want, found := 0, 0
			for j := range 500 {
				if batch.Column(1).(*array.Int32).Value(j) == id {
					want++
				}
			}
			require.NoError(t, db.QueryRow("SELECT count(*) FROM read_parquet('"+df.FilePath()+"') WHERE i = ?", id).Scan(&found))
			require.Equal(t, want, found)
		}
	}
}

// duckText is a value as the query above shows it.
func duckText(t *testing.T, schema *iceberg.Schema, name string, batch arrow.RecordBatch, row int) sql.NullString {
	t.Helper()
	field, ok := schema.FindFieldByName(name)
	require.True(t, ok)
	path, _, _ := pathTo(schema, field.ID)
	a, null := path.resolve(batch)
	if null(row) {
		return sql.NullString{}
	}
	text := ""
	switch a := a.(type) {
	case *array.Decimal128:
		text = a.Value(row).ToString(a.DataType().(*arrow.Decimal128Type).Scale)
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	case *array.Timestamp:
		text = fmt.Sprint(int64(a.Value(row)))
	case *array.Map:
		from, to := a.ValueOffsets(row)
		text = fmt.Sprint(to - from)
	case *array.List:
		from, to := a.ValueOffsets(row)
		switch values := a.ListValues().(type) {
		case *array.String:
			var parts []string
			for i := from; i < to; i++ {
				if values.IsNull(int(i)) {
					parts = append(parts, "~")
				} else {
					parts = append(parts, values.Value(int(i)))
				}
			}
			text = strings.Join(parts, ",")
		case *array.List: // DuckDB flattens a list of nulls to nothing
			n := int64(0)
			for i := from; i < to; i++ {
				if values.IsValid(int(i)) {
					start, end := values.ValueOffsets(int(i))
					n += end - start
				}
			}
			text = fmt.Sprint(n)
		default:
			text = fmt.Sprint(to - from)
		}
	default:
		text = a.ValueStr(row)
	}
	return sql.NullString{String: text, Valid: true}
}

// What DuckDB writes, as files that were added to a table from elsewhere: without field ids, by the name mapping.
func TestReaderReadsDuckDBsFiles(t *testing.T) {
	db, err := sql.Open("duckdb", "")
	require.NoError(t, err)
	defer db.Close()
	path := t.TempDir() + "/duck.parquet"
	_, err = db.Exec(`COPY (SELECT i::INTEGER AS i, i::BIGINT AS l, (i % 7)::TINYINT AS small, i / 4 AS d, (i / 8)::DECIMAL(9,3) AS dec, 'text ' || (i % 5) AS s,
		DATE '2020-01-01' + i::INTEGER AS day, TIME '00:00:00' + INTERVAL (i) SECOND AS tm, TIMESTAMP '1969-12-31 23:00:00' + INTERVAL (i) MINUTE AS ts,
		TIMESTAMPTZ '1969-12-31 23:00:00Z' + INTERVAL (i) MINUTE AS tz, uuid() AS u, CASE WHEN i % 3 > 0 THEN [i, NULL, i + 1] END AS li,
		{'a': i, 'b': CASE WHEN i % 2 = 0 THEN 'x' END} AS st, MAP {'k' || i: i} AS m, i % 2 = 0 AS b, 'b'::BLOB AS bin
		FROM range(5000) t(i)) TO '` + path + `' (FORMAT parquet, ROW_GROUP_SIZE 2048)`)
	require.NoError(t, err)
	p := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0, nested(1, "i", p.Int64), nested(2, "l", p.Int64), nested(3, "small", p.Int32), nested(4, "d", p.Float64),
		nested(5, "dec", iceberg.DecimalTypeOf(12, 3)), nested(6, "s", p.String), nested(7, "day", p.Date), nested(8, "tm", p.Time), nested(9, "ts", p.Timestamp),
		nested(10, "tz", p.TimestampTz), nested(11, "u", p.UUID), iceberg.NestedField{ID: 12, Name: "li", Type: &iceberg.ListType{ElementID: 13, Element: p.Int64}},
		nested(14, "st", structure(nested(15, "b", p.String), nested(16, "a", p.Int64))),
		iceberg.NestedField{ID: 17, Name: "m", Type: &iceberg.MapType{KeyID: 18, KeyType: p.String, ValueID: 19, ValueType: p.Int64}}, nested(20, "b", p.Bool), nested(21, "bin", p.Binary))
	df := described1(t, path, nil, iceberg.UnpartitionedSpec)
	got, _ := readAll(t, df, ReadOptions{Schema: schema, NameMapping: schema.NameMapping()})
	require.EqualValues(t, 5000, got.NumRows())
	text := func(row int) string {
		var out []string
		for i := range int(got.NumCols()) {
			if got.ColumnName(i) != "u" {
				out = append(out, got.Column(i).ValueStr(row))
			}
		}
		return strings.Join(out, " ")
	}
	require.Equal(t, `61 61 5 15.25 7.625 text 1 2020-03-02 00:01:01.000000 1970-01-01T00:01:00 1970-01-01T00:01:00Z [61,null,62] {"a":61,"b":null} [{"key":"k61","value":61}] false Yg==`, text(61))
	require.True(t, got.Column(11).IsNull(60))
	_, positions := readAll(t, df, ReadOptions{Schema: schema, NameMapping: schema.NameMapping(), Filter: iceberg.NewAnd(iceberg.GreaterThanEqual(iceberg.Reference("dec"), iceberg.Decimal{Val: decimal128.FromI64(1000), Scale: 3}), iceberg.LessThan(iceberg.Reference("i"), int64(10)))})
	require.Equal(t, []int64{8, 9}, positions)
	_, positions = readAll(t, df, ReadOptions{Schema: schema, NameMapping: schema.NameMapping(), Rows: roaring64.BitmapOf(3, 2047, 2048, 4999)})
	require.Equal(t, []int64{3, 2047, 2048, 4999}, positions)
}
