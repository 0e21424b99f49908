package datafile

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
)

// uuidColumns are columns of texts like UUIDs: of random ones, ones that begin alike as time-ordered ones do, ones that come several
// times, and some among which not all are.
func uuidColumns(rng *rand.Rand, n int) map[string]func(i int) (string, bool) {
	random := func() (id uuid.UUID) {
		for at := 0; at < len(id); at += 8 {
			binary.LittleEndian.PutUint64(id[at:], rng.Uint64())
		}
		return id
	}
	last := random()
	return map[string]func(i int) (string, bool){
		"random": func(int) (string, bool) { return random().String(), true },
		"ordered": func(i int) (string, bool) {
			id := random()
			binary.BigEndian.PutUint64(id[:], 0x0197_0000_0000_7000+uint64(i)<<16)
			return id.String(), true
		},
		"again": func(i int) (string, bool) {
			if i%3 == 0 {
				last = random()
			}
			return last.String(), true
		},
		"others": func(i int) (string, bool) {
			if i == n-1 {
				return strings.ToUpper(random().String()), true
			}
			return random().String(), true
		},
		"nulls": func(i int) (string, bool) { return random().String(), i%100 != 7 },
	}
}

// Columns of UUIDs as texts are what they were for every reader, are described as arrow-go describes them, and take no more room than
// by way of zstd; sorted by way of the disk, and not.
func TestChunksOfUUIDs(t *testing.T) {
	db, err := sql.Open("duckdb", "")
	require.NoError(t, err)
	defer db.Close()
	p := iceberg.PrimitiveTypes
	names := []string{"random", "ordered", "again", "others", "nulls"}
	fields := []iceberg.NestedField{nested(1, "at", p.Int64)}
	for i, name := range names {
		fields = append(fields, nested(2+i, name, p.String))
	}
	schema := iceberg.NewSchema(0, fields...)
	for seed, n := range []int{1, 4, 30, 5000, 2000, 20_000} {
		rng := rand.New(rand.NewPCG(uint64(seed), 18))
		meta := newTable(t, schema, nil, table.UnsortedSortOrder, iceberg.Properties{"write.parquet.page-size-bytes": []string{"131072", "3000", "1000000"}[seed%3]})
		l, err := newLayout(meta, WriterOptions{})
		require.NoError(t, err)
		b := array.NewRecordBuilder(memory.DefaultAllocator, l.arrow)
		columns := uuidColumns(rng, n)
		for i := range n {
			b.Field(0).(*array.Int64Builder).Append(int64(i))
			for c, name := range names {
				if text, valid := columns[name](i); valid {
					b.Field(c + 1).(*array.StringBuilder).Append(text)
				} else {
					b.Field(c + 1).AppendNull()
				}
			}
		}
		want := b.NewRecordBatch()
		var batches []arrow.RecordBatch
		for from := int64(0); from < int64(n); {
			to := min(int64(n), from+1+rng.Int64N(7000))
			batches, from = append(batches, want.NewSlice(from, to)), to
		}
		byAt := []table.SortField{{SourceIDs: []int{1}, Transform: iceberg.IdentityTransform{}, Direction: table.SortASC, NullOrder: table.NullsFirst}}
		shuffled := slices.Clone(batches)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for _, df := range []iceberg.DataFile{
			writeAll(t, meta, WriterOptions{}, batches...)[0],
			writeAll(t, meta, WriterOptions{Order: byAt, RowGroupRows: n}, shuffled...)[0],
			writeAll(t, meta, WriterOptions{Order: byAt, RowGroupRows: n, MemoryLimit: 4 << 20}, shuffled...)[0],
		} {
			what := fmt.Sprintf("%d rows in %s", n, df.FilePath())
			requireTrueToFooter(t, df, what)
			requireUUIDsAsArrowGos(t, l, df, want, what)
			got, _ := readAll(t, df, ReadOptions{Schema: schema})
			requireSameBatch(t, want, got, what)
			requireOthersRead(t, db, df.FilePath(), names, want)
		}
	}
}

// Of a sort by way of the disk some runs may be packed and others texts, since one text among them is no UUID. Half of these come
// twice: asked by their hashes alone, whether they want a dictionary would have two answers.
func TestUUIDsThatArePackedInPart(t *testing.T) {
	meta := newTable(t, iceberg.NewSchema(0, nested(1, "id", iceberg.PrimitiveTypes.String)), nil, table.UnsortedSortOrder, nil)
	l, err := newLayout(meta, WriterOptions{})
	require.NoError(t, err)
	b := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range 1000 {
		b.Append(uuid.NewSHA1(uuid.Nil, []byte{byte(i), byte(i >> 8)}).String())
	}
	texts := b.NewArray()
	ids := packed(texts)
	require.NotNil(t, ids)
	for _, chunks := range [][]arrow.Array{{ids, texts}, {texts, ids}} {
		out, free, err := l.forEncoding(nil, [][]arrow.Array{chunks}, 2000)
		require.NoError(t, err)
		columns, _, _ := l.withDictionaries(out, 2000)
		require.Len(t, columns[0], 2)
		require.True(t, isPacked(columns[0][0]) && isPacked(columns[0][1]))
		free()
	}
}

// requireUUIDsAsArrowGos holds a file's column chunks against those that arrow-go makes of the rows.
func requireUUIDsAsArrowGos(t *testing.T, l *layout, df iceberg.DataFile, want arrow.RecordBatch, what string) {
	t.Helper()
	theirs := l.encodeFragment(context.Background(), []arrow.RecordBatch{want})
	require.NoError(t, theirs.err)
	plain, _, err := parseFooter(theirs.file)
	require.NoError(t, err)
	r, err := file.OpenParquetFile(df.FilePath(), false)
	require.NoError(t, err)
	defer r.Close()
	if r.NumRowGroups() > 1 { // of the memory that there was
		return
	}
	for c := range want.NumCols() {
		a, b := plain.RowGroups[0].Columns[c].MetaData, r.MetaData().RowGroups[0].Columns[c].MetaData
		path := what + ": " + want.ColumnName(int(c))
		require.Equal(t, a.Statistics, b.Statistics, path)
		require.Equal(t, a.Encodings, b.Encodings, path)
		require.InDelta(t, a.TotalUncompressedSize, b.TotalUncompressedSize, 100+float64(a.TotalUncompressedSize)/100, path)
		if n := float64(a.TotalCompressedSize); n > 1000 && l.pageBytes >= defaultPageBytes { // its pages have 1,024 values at least
			require.Less(t, float64(b.TotalCompressedSize), n*1.01, path)
			if want.ColumnName(int(c)) == "random" {
				require.Less(t, float64(b.TotalCompressedSize), n*0.99, path)
			}
		}
		requirePagesWithin(t, r, int(c), l.schema, want.ColumnName(int(c)), want.Column(int(c)))
	}
}

// requireOthersRead has parquet-go, whose zstd is one in Go, and DuckDB read texts.
func requireOthersRead(t *testing.T, db *sql.DB, path string, names []string, want arrow.RecordBatch) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	pf, err := parquet.OpenFile(f, info.Size())
	require.NoError(t, err)
	rows := parquet.NewReader(pf)
	defer rows.Close()
	theirs, err := db.Query("SELECT " + strings.Join(names, ", ") + " FROM read_parquet('" + path + "')")
	require.NoError(t, err)
	defer theirs.Close()
	texts, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range texts {
		into[i] = &texts[i]
	}
	var row []parquet.Row = make([]parquet.Row, 1)
	for i := range int(want.NumRows()) {
		require.True(t, theirs.Next())
		require.NoError(t, theirs.Scan(into...))
		n, _ := rows.ReadRows(row)
		require.Equal(t, 1, n)
		for c, text := range texts {
			a := want.Column(c + 1).(*array.String)
			if a.IsNull(i) != !text.Valid || a.IsNull(i) != row[0][c+1].IsNull() || a.IsValid(i) && (a.Value(i) != text.String || a.Value(i) != string(row[0][c+1].ByteArray())) {
				t.Fatalf("%s: row %d of %s: %v, %s, not %s", path, i, names[c], text, row[0][c+1], a.ValueStr(i))
			}
		}
	}
	require.False(t, theirs.Next())
}
