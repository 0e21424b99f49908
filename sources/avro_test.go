package sources_test

import (
	"bytes"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2/ocf"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/sources"
)

// avroFile writes a file by another library.
func avroFile(t testing.TB, schema string, codec ocf.CodecName, blockLength int, values ...any) []byte {
	var b bytes.Buffer
	w, err := ocf.NewEncoder(schema, &b, ocf.WithCodec(codec), ocf.WithBlockLength(blockLength))
	require.NoError(t, err)
	for _, v := range values {
		require.NoError(t, w.Encode(v))
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

const everything = `{"type":"record","name":"all","namespace":"test","fields":[
	{"name":"b","type":"boolean"},{"name":"i","type":"int"},{"name":"l","type":["null","long"]},{"name":"f","type":"float"},{"name":"d","type":"double"},
	{"name":"by","type":"bytes"},{"name":"s","type":"string"},{"name":"fx","type":{"type":"fixed","name":"two","size":2}},
	{"name":"e","type":{"type":"enum","name":"color","symbols":["RED","BLUE"]}},
	{"name":"day","type":{"type":"int","logicalType":"date"}},{"name":"tm","type":{"type":"int","logicalType":"time-millis"}},
	{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"lt","type":{"type":"long","logicalType":"local-timestamp-micros"}},
	{"name":"dec","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},{"name":"u","type":{"type":"string","logicalType":"uuid"}},
	{"name":"arr","type":{"type":"array","items":["null","string"]}},{"name":"m","type":{"type":"map","values":"long"}},
	{"name":"r","type":["null",{"type":"record","name":"inner","fields":[{"name":"x","type":"int"},{"name":"again","type":"two"}]}]},
	{"name":"num","type":["int","double"]},{"name":"un","type":["null","string","boolean"]},{"name":"nil","type":"null"}]}`

func everyValue(n int) map[string]any {
	return map[string]any{
		"b": true, "i": int32(-n), "l": int64(1) << 40, "f": float32(1.5), "d": -2.25, "by": []byte("ab"), "s": "é", "fx": [2]byte{1, 2}, "e": "BLUE",
		"day": time.Date(2024, 1, 31, 0, 0, 0, 0, time.UTC), "tm": 5 * time.Second, "ts": time.UnixMilli(1500).UTC(), "lt": time.UnixMicro(1234567).UTC(),
		"dec": big.NewRat(-12345, 100), "u": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "arr": []any{"x", nil}, "m": map[string]any{"k": int64(7)},
		"r": map[string]any{"test.inner": map[string]any{"x": int32(3), "again": [2]byte{3, 4}}}, "num": map[string]any{"int": n}, "un": map[string]any{"boolean": true}, "nil": nil,
	}
}

func TestAvro(t *testing.T) {
	opts := sources.Options{Format: sources.Avro, Malformed: sources.Quarantine}
	for _, codec := range []ocf.CodecName{ocf.Null, ocf.Deflate, ocf.Snappy, ocf.ZStandard} {
		values := make([]any, 25)
		for i := range values {
			values[i] = everyValue(i)
		}
		data := avroFile(t, everything, codec, 10, values...)
		store := bytesStore("f.avro", data)
		s := inferOne(t, store, opts)
		require.Equal(t, "b boolean, i int, l long, f float, d double, by binary, s string, fx fixed(2), e string, day date, tm time, ts timestamptz, lt timestamp, "+
			"dec decimal(9,2), u uuid, arr list<string>, m map<string, long>, r struct<x: int, again: fixed(2)>, num double, un struct<member0: string, member1: boolean>, nil string", notation(t, s))
		got := read(t, store, store.file, s, opts)
		require.NoError(t, got.err)
		require.Empty(t, got.rejected)
		require.Len(t, got.rows, 25)
		require.Equal(t, `true|-24|1099511627776|1.5|-2.25|YWI=|é|AQI=|BLUE|2024-01-31|00:00:05.000000|1970-01-01T00:00:01.5Z|1970-01-01T00:00:01.234567|-123.45|`+
			`6ba7b810-9dad-11d1-80b4-00c04fd430c8|["x",null]|[{"key":"k","value":7}]|{"again":"AwQ=","x":3}|24|{"member0":null,"member1":true}|null|f.avro|25|2026-01-02T03:04:05Z`,
			got.rows[24])
		// Some columns, in another order, converted; the rest is skipped over.
		opts.SchemaMode = sources.Rescue
		got = read(t, store, store.file, schema(t, "u string", "r struct<new: int, x: long>", "i decimal(5,2)", "_source_row long"), opts)
		require.NoError(t, got.err)
		require.Equal(t, `6ba7b810-9dad-11d1-80b4-00c04fd430c8|{"new":null,"x":3}|-24|25`, got.rows[24])
		opts.SchemaMode = sources.Evolve
	}
}

func TestAvroFaults(t *testing.T) {
	one := `{"type":"record","name":"r","fields":[{"name":"u","type":{"type":"string","logicalType":"uuid"}},{"name":"s","type":"string"},{"name":"x","type":"long"}]}`
	data := avroFile(t, one, ocf.Null, 2,
		map[string]any{"u": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "s": "a", "x": int64(1)},
		map[string]any{"u": "no", "s": "b", "x": int64(1) << 40},
		map[string]any{"u": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "s": "a\xff", "x": int64(3)})
	store := bytesStore("f.avro", data)
	opts := sources.Options{Format: sources.Avro, Malformed: sources.Quarantine}
	got := read(t, store, store.file, schema(t, "u uuid", "s string", "x int", "y date", "_source_row long"), opts)
	require.NoError(t, got.err)
	require.Equal(t, []string{"6ba7b810-9dad-11d1-80b4-00c04fd430c8|a|1|null|1"}, got.rows)
	require.Equal(t, []string{`row 2 line 0 u: expected uuid, found "no"`, `row 3 line 0 s: invalid UTF-8 at byte 2: "a\xff"`}, got.rejected)
	got = read(t, store, store.file, schema(t, "x list<long>"), opts)
	require.ErrorContains(t, got.err, `column "x": long cannot become list<long>`)
	require.Empty(t, got.columns)
	got = read(t, store, store.file, schema(t, "x long"), opts)
	require.Equal(t, []string{"u uuid, s string"}, got.columns)
	opts.SchemaMode = sources.Rescue
	got = read(t, store, store.file, schema(t, "x long", "_rescued string"), opts)
	require.NoError(t, got.err)
	require.Equal(t, `1|{"u":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","s":"a"}`, got.rows[0])
}

func TestAvroBroken(t *testing.T) {
	data := avroFile(t, everything, ocf.Deflate, 2, everyValue(1), everyValue(2), everyValue(3))
	body := bytes.LastIndex(data, []byte("avro.schema")) // in the header
	require.Positive(t, body)
	with := func(change func([]byte) []byte) []byte { return change(bytes.Clone(data)) }
	for want, bad := range map[string][]byte{
		"the file ends within the header": data[:20],
		"the file ends within a block":    data[:len(data)-20],
		"synchronisation marker":          with(func(b []byte) []byte { b[len(b)-1]++; return b }),
		"does not begin with Obj":         with(func(b []byte) []byte { b[0] = 'X'; return b }),
		"decompress a block (deflate)":    with(func(b []byte) []byte { b[len(b)-40] ^= 0xff; return b }),
		"larger than 268435456 bytes":     append(bytes.Clone(data), 2, 0xfe, 0xff, 0xff, 0xff, 0x7f),
		"the header is damaged":           []byte("Obj\x01\x02\xfe\xff\xff\xff\x7f"),
		"contains itself":                 headerOnly(t, `{"type":"record","name":"r","fields":[{"name":"next","type":["null","r"]}]}`),
		"the file's values are not rec":   headerOnly(t, `"long"`),
		`type "x" is not defined`:         headerOnly(t, `{"type":"record","name":"r","fields":[{"name":"a","type":"x"}]}`),
		"too deep or too large":           headerOnly(t, strings.Repeat(`{"type":"array","items":`, 100)+`"int"`+strings.Repeat("}", 100)),
		"unfolds to more than":            headerOnly(t, doubling(40)),
		`codec "lzo" is none of`:          with(func(b []byte) []byte { return bytes.Replace(b, []byte("\x0edeflate"), []byte("\x06lzo"), 1) }),
	} {
		store := bytesStore("f.avro", bad)
		got := read(t, store, store.file, schema(t, "i int", "s string"), sources.Options{Format: sources.Avro})
		require.ErrorContains(t, got.err, want)
	}
}

// headerOnly is a file of a schema and no values.
func headerOnly(t testing.TB, schema string) []byte {
	b := []byte("Obj\x01\x02\x16avro.schema")
	n := uint64(len(schema)) * 2
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	b = append(append(append(b, byte(n)), schema...), 0)
	return append(b, make([]byte, 16)...)
}

// doubling is a schema whose every level names the last one twice.
func doubling(levels int) string {
	s := `{"type":"record","name":"r0","fields":[{"name":"x","type":"int"}]}`
	for i := 1; i <= levels; i++ {
		name, last := "r"+string(rune('A'+i/26))+string(rune('a'+i%26)), "r0"
		if i > 1 {
			last = "r" + string(rune('A'+(i-1)/26)) + string(rune('a'+(i-1)%26))
		}
		s = `{"type":"record","name":"` + name + `","fields":[{"name":"a","type":` + s + `},{"name":"b","type":"` + last + `"}]}`
	}
	return s
}

// FuzzAvro checks that no file makes the reader fail in another way than by its errors.
func FuzzAvro(f *testing.F) {
	f.Add(avroFile(f, everything, ocf.Null, 2, everyValue(1), everyValue(2), everyValue(3)))
	f.Add(headerOnly(f, doubling(3)))
	empty, _ := base64.StdEncoding.DecodeString("T2JqAQ==")
	f.Add(empty)
	f.Fuzz(func(t *testing.T, data []byte) {
		drain(t, data, sources.Options{Format: sources.Avro, Malformed: sources.Drop})
	})
}
