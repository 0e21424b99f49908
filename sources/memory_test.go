package sources_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	arrowmemory "github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/sources"
)

const flight = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n"

const flightHeader = "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour\n"

const flightObject = `{"year":2013,"month":1,"day":1,"dep_time":517,"dep_delay":2.5,"carrier":"UA","flight":1545,"tailnum":"N14228","origin":"EWR","time_hour":"2013-01-01T10:00:00Z"}` + "\n"

// generated is a file of a beginning and then one text, again and again, that is never in memory.
func generated(begin, again string, size int) stream {
	again = strings.Repeat(again, 1+64<<10/len(again))
	size = len(begin) + (size-len(begin))/len(again)*len(again)
	return stream{sources.File{URI: "mem:///generated", Size: int64(size)}, func() io.Reader {
		return io.LimitReader(io.MultiReader(strings.NewReader(begin), &repeated{text: again}), int64(size))
	}}
}

type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

// Files many times larger than the memory that reading them may take.
func TestMemoryIsBounded(t *testing.T) {
	const mb = 1 << 20
	tests := []struct {
		name         string
		begin, again string
		size         int
		opts         sources.Options
		limit        int64 // of memory held
		rows         int64 // at least
	}{
		{"csv", flightHeader, flight, 300 * mb, sources.Options{Format: sources.CSV}, 64 * mb, 3_000_000},
		{"ndjson", "", flightObject, 60 * mb, sources.Options{Format: sources.NDJSON}, 64 * mb, 350_000},
		{"text", "", "a line\n", 20 * mb, sources.Options{Format: sources.Text}, 64 * mb, 2_500_000},
		{"one endless field", "a,b\n1,", "x", 200 * mb, sources.Options{Format: sources.CSV, Malformed: sources.Drop}, 48 * mb, 0},
		{"one endless line of JSON", "{\"a\":\"", "x", 200 * mb, sources.Options{Format: sources.NDJSON, Malformed: sources.Drop}, 48 * mb, 0},
		{"an unclosed quote", "a,b\n1,\"", "2,y\n", 20 * mb, sources.Options{Format: sources.CSV, Malformed: sources.Drop}, 64 * mb, 4_000_000},
		{"nothing but malformed rows", "a\n", "x\n", 3 * mb, sources.Options{Format: sources.CSV, Malformed: sources.Drop}, 48 * mb, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := generated(tt.begin, tt.again, tt.size)
			s := inferOne(t, store, tt.opts)
			if tt.rows == 0 {
				s = schema(t, "a long", "b long")
			}
			before := held()
			reader, err := sources.Open(context.Background(), store, store.file, s, tt.opts, sources.Observer{})
			require.NoError(t, err)
			defer reader.Release()
			var rows int64
			for n := 0; reader.Next(); n++ {
				rows += reader.RecordBatch().NumRows()
				if n%8 == 0 {
					require.LessOrEqual(t, held()-before, tt.limit)
				}
			}
			require.NoError(t, reader.Err())
			require.LessOrEqual(t, held()-before, tt.limit)
			require.GreaterOrEqual(t, rows, tt.rows)
		})
	}
}

// held is the memory in use that is no garbage: what a garbage collector has come to at the moment does not matter.
func held() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A row group is read page by page, not as a whole.
func TestParquetMemoryIsBounded(t *testing.T) {
	const rows = 1_000_000
	b := array.NewRecordBuilder(arrowmemory.DefaultAllocator, schema(t, "a long", "s string"))
	defer b.Release()
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprintf("%0150d", i*7919))
	}
	batch := b.NewRecordBatch()
	var data bytes.Buffer
	w, err := pqarrow.NewFileWriter(batch.Schema(), &data, parquet.NewWriterProperties(parquet.WithDictionaryDefault(false)), pqarrow.DefaultWriterProps())
	require.NoError(t, err)
	require.NoError(t, w.Write(batch))
	require.NoError(t, w.Close())
	batch.Release()
	require.Greater(t, data.Len(), 150<<20)

	store := bytesStore("f.parquet", data.Bytes())
	before, count := held(), int64(0)
	reader, err := sources.Open(context.Background(), store, store.file, schema(t, "a long", "s string"), sources.Options{Format: sources.Parquet}, sources.Observer{})
	require.NoError(t, err)
	defer reader.Release()
	for reader.Next() {
		count += reader.RecordBatch().NumRows()
		require.LessOrEqual(t, held()-before, int64(48<<20))
	}
	require.NoError(t, reader.Err())
	require.EqualValues(t, rows, count)
}

func BenchmarkRead(b *testing.B) {
	text := []byte(flightHeader + strings.Repeat(flight, 200_000))
	objects := []byte(strings.Repeat(flightObject, 100_000))
	for _, bm := range []struct {
		name string
		data []byte
		opts sources.Options
	}{
		{"csv", text, sources.Options{Format: sources.CSV}},
		{"csv.gz", text, sources.Options{Format: sources.CSV}},
		{"ndjson", objects, sources.Options{Format: sources.NDJSON}},
		{"text", text, sources.Options{Format: sources.Text}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			name := "f." + bm.name
			if strings.HasSuffix(name, ".gz") {
				bm.data = compress(b, name, bm.data)
			}
			store := bytesStore(name, bm.data)
			s := inferOne(b, store, bm.opts)
			b.SetBytes(int64(len(text)))
			if bytes.Equal(bm.data, objects) {
				b.SetBytes(int64(len(objects)))
			}
			b.ReportAllocs()
			for b.Loop() {
				reader, err := sources.Open(context.Background(), store, store.file, s, bm.opts, sources.Observer{})
				require.NoError(b, err)
				for reader.Next() {
				}
				require.NoError(b, reader.Err())
				reader.Release()
			}
		})
	}
}
