package sources_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	arrowmemory "github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/sources"
)

var loadedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// schema makes a schema of "name type" pieces.
func schema(t testing.TB, columns ...string) *arrow.Schema {
	var fields []arrow.Field
	for _, c := range columns {
		name, notation, _ := strings.Cut(c, " ")
		dt, err := columntype.Parse(notation)
		require.NoError(t, err)
		fields = append(fields, arrow.Field{Name: name, Type: dt, Nullable: true})
	}
	return arrow.NewSchema(fields, nil)
}

// notation is a schema as "name type" pieces, without the metadata columns.
func notation(t testing.TB, s *arrow.Schema) string {
	var columns []string
	for _, f := range s.Fields() {
		switch f.Name {
		case sources.SourceFileColumn, sources.SourceRowColumn, sources.LoadedAtColumn, sources.RescuedColumn:
			continue
		}
		n, err := columntype.Format(f.Type)
		require.NoError(t, err)
		columns = append(columns, f.Name+" "+n)
	}
	return strings.Join(columns, ", ")
}

// result is what reading a file gave.
type result struct {
	rows     []string // values between bars
	rejected []string
	columns  []string // told as new
	notes    []string
	batches  int
	err      error
}

func read(t testing.TB, store sources.Store, f sources.File, s *arrow.Schema, opts sources.Options) (r result) {
	mem := arrowmemory.NewCheckedAllocator(arrowmemory.DefaultAllocator)
	if opts.Memory == nil {
		opts.Memory = mem
		defer mem.AssertSize(t.(*testing.T), 0)
	}
	opts.LoadedAt = loadedAt
	base := f.URI[:strings.LastIndex(f.URI, "/")+1]
	reader, err := sources.Open(context.Background(), store, f, s, opts, sources.Observer{
		Reject: func(x sources.Rejected) error {
			require.Equal(t, f.URI, x.File)
			r.rejected = append(r.rejected, fmt.Sprintf("row %d line %d %s: %s", x.Row, x.Line, x.Column, x.Reason))
			return nil
		},
		NewColumns: func(fields []arrow.Field) { r.columns = append(r.columns, notation(t, arrow.NewSchema(fields, nil))) },
		Note:       func(note string) { r.notes = append(r.notes, strings.ReplaceAll(note, base, "")) },
	})
	if err != nil {
		r.err = err
		return r
	}
	defer reader.Release()
	for reader.Next() {
		b := reader.RecordBatch()
		require.True(t, b.Schema().Equal(s))
		r.batches++
		for _, c := range b.Columns() {
			if int64(c.Len()) != b.NumRows() {
				t.Fatalf("a column of %d values in a batch of %d rows", c.Len(), b.NumRows())
			}
		}
		for row := range int(b.NumRows()) {
			values := make([]string, b.NumCols())
			for i, c := range b.Columns() {
				values[i] = c.ValueStr(row)
				if c.IsNull(row) {
					values[i] = "null"
				}
			}
			r.rows = append(r.rows, strings.ReplaceAll(strings.Join(values, "|"), base, ""))
		}
	}
	r.err = reader.Err()
	return r
}

// readText puts a text into a file and reads it with the schema given, or else with the inferred one.
func readText(t testing.TB, name, text string, opts sources.Options, columns ...string) result {
	root := t.TempDir()
	write(t, filepath.Join(root, name), compress(t, name, []byte(text)))
	store := sources.Local{Root: root}
	files := list(t, store, name)
	require.Len(t, files, 1)
	s := schema(t, columns...)
	if len(columns) == 0 {
		var err error
		if s, err = sources.Infer(context.Background(), store, files, opts); err != nil {
			return result{err: err}
		}
	}
	return read(t, store, files[0], s, opts)
}

func compress(t testing.TB, name string, data []byte) []byte {
	var b bytes.Buffer
	switch filepath.Ext(name) {
	case ".gz": // two members
		for _, part := range [][]byte{data[:len(data)/2], data[len(data)/2:]} {
			w := gzip.NewWriter(&b)
			_, err := w.Write(part)
			require.NoError(t, err)
			require.NoError(t, w.Close())
		}
	case ".zst":
		w, err := zstd.NewWriter(&b)
		require.NoError(t, err)
		_, err = w.Write(data)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	default:
		return data
	}
	return b.Bytes()
}

var quarantine = sources.Options{Format: sources.CSV, Malformed: sources.Quarantine}

func TestCSV(t *testing.T) {
	noHeader, tabs, enforce, rescue := quarantine, quarantine, quarantine, quarantine
	noHeader.NoHeader = true
	tabs.Delimiter, tabs.Quote, tabs.NullValues = "\t", "none", []string{`\N`}
	enforce.SchemaMode, rescue.SchemaMode = sources.Enforce, sources.Rescue
	short := quarantine
	short.MaxRowSize = 20
	tests := []struct {
		name, in string
		opts     sources.Options
		columns  []string
		want     result
	}{
		{"inferred, with where a row comes from", "id,at\n1,2024-01-01\n2,NA\n", quarantine, nil,
			result{rows: []string{"1|2024-01-01|f.csv|1|2026-01-02T03:04:05Z", "2|null|f.csv|2|2026-01-02T03:04:05Z"}}},
		{"byte order mark, CRLF, quotes", "\ufeffid,\"na\"\"me\"\r\n1,\"a,\r\nb\"\r\n", quarantine, []string{"id long", `na"me string`},
			result{rows: []string{"1|a,\r\nb"}}},
		{"by name, not by position", "b,a\n1,2\n", quarantine, []string{"a long", "c string", "b long"}, result{rows: []string{"2|null|1"}}},
		{"nulls, also quoted", "a,b\n,NA\n\"\",\"NA\"\n", quarantine, []string{"a string", "b long"}, result{rows: []string{"null|null", "null|null"}}},
		{"own nulls and dialect", "a\tb\n\\N\t\"x\n", tabs, []string{"a string", "b string"}, result{rows: []string{`null|"x`}}},
		{"without header", "1,2\n3,4\n", noHeader, nil, result{rows: []string{"1|2|f.csv|1|2026-01-02T03:04:05Z", "3|4|f.csv|2|2026-01-02T03:04:05Z"}}},
		{"malformed values", "a,b\n1,x\ny,2\n3,z\n4,4\n\n5,q\n", quarantine, []string{"_source_row long", "a long", "b long"}, result{
			rows: []string{"4|4|4"},
			rejected: []string{
				`row 1 line 2 b: expected long, found "x", at character 3 of the line`,
				`row 2 line 3 a: expected long, found "y", at character 1 of the line`,
				`row 3 line 4 b: expected long, found "z", at character 3 of the line`,
				`row 5 line 7 b: expected long, found "q", at character 3 of the line`,
			}}},
		{"lines inside of a record", "a,b\n\"x\ny\",\"z\nw\",\n\"p\nq\",r\n", quarantine, []string{"a string", "b date"}, result{
			rejected: []string{`row 1 line 2 : expected 2 fields, found 3`, `row 2 line 6 b: expected date, found "r", at character 4 of the line`}}},
		{"invalid UTF-8", "a,b\n1,caf\xe9\n2,x\n", quarantine, []string{"a long", "b string"}, result{rows: []string{"2|x"},
			rejected: []string{`row 1 line 2 b: invalid UTF-8 at byte 4: "caf\xe9", at character 3 of the line`}}},
		{"field counts", "a,b\n1\n1,2,3\n4,5\n", quarantine, []string{"a long", "b long"}, result{rows: []string{"4|5"},
			rejected: []string{"row 1 line 2 : expected 2 fields, found 1", "row 2 line 3 : expected 2 fields, found 3"}}},
		{"unclosed quote", "a,b\n1,\"x\n2,y\n", quarantine, []string{"a long", "b string"}, result{rows: []string{"2|y"},
			rejected: []string{"row 1 line 2 b: the quote is not closed before the end of the file"}}},
		{"long record", "a,b\n1,x\n" + strings.Repeat("2", 30) + ",y\n3,z\n", short, []string{"a long", "b string"}, result{rows: []string{"1|x", "3|z"},
			rejected: []string{"row 2 line 3 : the record is longer than 20 bytes"}}},
		{"a new column, evolving", "a,b\n1,2.5\n", quarantine, []string{"a long"}, result{rows: []string{"1"}, columns: []string{"b double"}}},
		{"a new column, rescued", "a,b,c\n1,\"x\"\"y\",NA\n", rescue, []string{"a long", "_rescued string"}, result{rows: []string{`1|{"b":"x\"y","c":null}`}}},
		{"nothing to rescue", "a\n1\n", rescue, []string{"a long", "_rescued string"}, result{rows: []string{"1|null"}}},
		{"only the header", "a,b\n", quarantine, []string{"a long"}, result{columns: []string{"b string"}}},
		{"nothing", "", quarantine, []string{"a long"}, result{notes: []string{"f.csv: has no header and no rows"}}},
		{"blank lines only", "\n\n", quarantine, []string{"a long"}, result{notes: []string{"f.csv: has no header and no rows"}}},
		{"columns without a name", "a,,\n1,2,3\n", quarantine, []string{"a long", "column_2 long", "column_3 long"}, result{rows: []string{"1|2|3"}}},
		{"nested by declaration", "a\n\"{\"\"x\"\":[1,2]}\"\n{\n", quarantine, []string{"a struct<x: list<int>>"}, result{rows: []string{`{"x":[1,2]}`},
			rejected: []string{"row 2 line 3 a: expected struct<x: list<int>> as JSON: not JSON at character 2: expected a key in quotes, found the end, at character 1 of the line"}}},
		{"every row malformed", "a\nx\ny\n", quarantine, []string{"a long"}, result{rejected: []string{
			`row 1 line 2 a: expected long, found "x", at character 1 of the line`, `row 2 line 3 a: expected long, found "y", at character 1 of the line`}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, name := range []string{"f.csv", "f.csv.gz", "f.csv.zst"} {
				if name != "f.csv" && tt.in == "" {
					continue // an empty compressed file has bytes
				}
				got := readText(t, name, tt.in, tt.opts, tt.columns...)
				require.NoError(t, got.err, name)
				for i := range got.rows {
					got.rows[i] = strings.ReplaceAll(got.rows[i], name, "f.csv")
				}
				for i := range got.notes {
					got.notes[i] = strings.ReplaceAll(got.notes[i], name, "f.csv")
				}
				got.batches = 0
				require.Equal(t, tt.want, got, name)
			}
		})
	}
}

// A malformed row under the policy fail names its place; so does a schema that does not go with the file.
func TestCSVErrors(t *testing.T) {
	fail := sources.Options{Format: sources.CSV}
	enforce := sources.Options{Format: sources.CSV, SchemaMode: sources.Enforce}
	wide := strings.Repeat("a,", sources.MaxColumns) + "a\n"
	tests := []struct {
		name, in string
		opts     sources.Options
		want     string
		as       any
	}{
		{"f.csv", "a\n1\nx\n", fail, `f.csv:3: row 2: column "a": expected long, found "x", at character 1 of the line`, new(*sources.MalformedError)},
		{"f.csv", "a\n\"1\nx\n", fail, `f.csv:2: row 1: column "a": the quote is not closed before the end of the file`, new(*sources.MalformedError)},
		{"f.csv", "a,b\n1,2\n", enforce, "f.csv: has columns that the schema lacks: b", new(*sources.SchemaError)},
		{"f.csv", "a,b,a\n1,2,3\n", fail, `f.csv: columns 1 and 3 are both named "a"`, new(*sources.SchemaError)},
		{"f.csv", "a,_source_row\n1,2\n", fail, `f.csv: column "_source_row" has a name that is reserved`, new(*sources.SchemaError)},
		{"f.csv", wide, fail, "f.csv: has 20001 columns, more than 20000", new(*sources.SchemaError)},
		{"f.csv", "a\xff\n1\n", fail, `f.csv: the header cannot be read: the name of column 1 is not valid UTF-8: "a\xff"`, new(*sources.BrokenFileError)},
		{"f.csv", "\"a\n1\n", fail, "f.csv: the header cannot be read: line 1, column 1: the quote is not closed before the end of the file", new(*sources.BrokenFileError)},
		{"f.csv", "a\r1\r2\r", fail, "f.csv: the header cannot be read: its lines end with carriage returns alone", new(*sources.BrokenFileError)},
		{"f.csv", "\xff\xfea\x00", fail, "f.csv: is UTF-16 text: UTF-8 is expected", new(*sources.BrokenFileError)},
		{"f.csv", "\x1f\x8b\x08\x00", fail, "f.csv: is compressed by gzip: its name should end in .gz", new(*sources.BrokenFileError)},
	}
	for _, tt := range tests {
		got := readText(t, tt.name, tt.in, tt.opts, "a long")
		require.ErrorContains(t, got.err, tt.want)
		require.ErrorAs(t, got.err, tt.as)
	}
}

func TestOptionErrors(t *testing.T) {
	for want, opts := range map[string]sources.Options{
		`format "xml" is none of csv, ndjson`:  {Format: "xml"},
		`malformed "ignore" is none of`:        {Format: sources.CSV, Malformed: "ignore"},
		`schema_mode "strict" is none of`:      {Format: sources.CSV, SchemaMode: "strict"},
		`delimiter "||" is not one character`:  {Format: sources.CSV, Delimiter: "||"},
		`delimiter and quote are both "'"`:     {Format: sources.CSV, Delimiter: "'", Quote: "'"},
		`quote "é" is not one ASCII character`: {Format: sources.CSV, Quote: "é"},
		`are not negative`:                     {Format: sources.CSV, MaxRowSize: -1},
		`max_file_size is at most`:             {Format: sources.Binary, MaxFileSize: 1 << 40},
	} {
		require.ErrorContains(t, readText(t, "f.csv", "a\n", opts, "a long").err, want)
	}
}

func TestNDJSON(t *testing.T) {
	evolve := sources.Options{Format: sources.NDJSON, Malformed: sources.Quarantine}
	enforce, rescue, short := evolve, evolve, evolve
	enforce.SchemaMode, rescue.SchemaMode, short.MaxRowSize = sources.Enforce, sources.Rescue, 20
	tests := []struct {
		name, in string
		opts     sources.Options
		columns  []string
		want     result
	}{
		{"inferred", `{"id":1,"at":"2024-01-01T00:00:00Z","in":{"x":[1,2.5]}}` + "\n\n" + `{"in":{"y":true},"id":null}`, evolve, nil, result{rows: []string{
			`1|2024-01-01T00:00:00Z|{"x":[1,2.5],"y":null}|f.json|1|2026-01-02T03:04:05Z`, `null|null|{"x":null,"y":true}|f.json|2|2026-01-02T03:04:05Z`}}},
		{"any order, CRLF, spaces", "\ufeff {\"b\": 1, \"a\" : \"x\"} \r\n{\"a\":\"\\u00e9\"}\r\n", evolve, []string{"a string", "b long"}, result{rows: []string{"x|1", "é|null"}}},
		{"malformed", "{\"a\":1}\n{\"a\":\n[1]\n3\n{\"a\":\"x\"}\n{\"a\":1,\"a\":2}\n{\"a\":1}}\n{\"a\":2}\n", evolve, []string{"_source_row long", "a long"}, result{
			rows: []string{"1|1", "8|2"},
			rejected: []string{
				"row 2 line 2 : not JSON at character 6: a value is missing", "row 3 line 3 : expected an object, found array", "row 4 line 4 : expected an object, found number",
				`row 5 line 5 a: expected long, found "x"`, "row 6 line 6 a: the key comes twice", "row 7 line 7 : not JSON at character 8: more text after the value: '}'",
			}}},
		{"nested mismatch", `{"a":{"b":[1,"x"]}}`, evolve, []string{"a struct<b: list<int>>"}, result{rejected: []string{`row 1 line 1 a: field a.b.element: expected int, found "x"`}}},
		{"invalid UTF-8", "{\"a\":1,\"b\":\"\xff\"}\n{\"\xff\":1}\n{\"a\":2}\n", evolve, []string{"a long"}, result{rows: []string{"2"},
			rejected: []string{"row 1 line 1 b: invalid UTF-8", "row 2 line 2 : invalid UTF-8"}}},
		{"long line", "{\"a\":1}\n{\"a\":\"" + strings.Repeat("x", 30) + "\"}\n{\"a\":2}", short, []string{"a long"}, result{rows: []string{"1", "2"},
			rejected: []string{"row 2 line 2 : the line is longer than 20 bytes"}}},
		{"new fields, evolving", `{"a":1,"b":2,"c":{"d":1}}` + "\n" + `{"a":1,"b":2.5,"c":{"e":"x"}}`, evolve, []string{"a long", "c struct<d: long>"}, result{
			rows: []string{`1|{"d":1}`, `1|{"d":null}`}, columns: []string{"b double, c struct<d: long, e: string>"}}},
		{"new fields, enforcing", `{"a":1,"b":2}` + "\n" + `{"a":1}` + "\n" + `{"a":1,"c":{"d":1}}` + "\n", enforce, []string{"a long", "c struct<x: long>"}, result{rows: []string{"1|null"},
			rejected: []string{"row 1 line 1 b: unknown field", "row 3 line 3 c: field c.d: unknown field"}}},
		{"new fields, rescued", `{"b":[1, 2],"a":1,"c":{"d":"x"}}` + "\n" + `{"a":2}` + "\n", rescue, []string{"a long", "c struct<x: long>", "_rescued string"}, result{
			rows: []string{`1|{"x":null}|{"b":[1, 2],"c":{"d":"x"}}`, `2|null|null`}}},
		{"nothing", "", evolve, []string{"a long"}, result{notes: []string{"f.json: has no rows"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := readText(t, "f.json", tt.in, tt.opts, tt.columns...)
			require.NoError(t, got.err)
			got.batches = 0
			require.Equal(t, tt.want, got)
		})
	}
	got := readText(t, "f.json", "[\n{}\n]", evolve, "a long")
	require.ErrorContains(t, got.err, "begins with an array: ndjson has one object a line")
}

// A field that first comes after the sample is told at the end of the file.
func TestNDJSONLateField(t *testing.T) {
	opts := sources.Options{Format: sources.NDJSON, SampleRows: 2}
	got := readText(t, "f.json", `{"a":1}`+"\n"+`{"a":1,"b":1}`+"\n"+`{"a":1,"c":1,"b":2}`+"\n"+`{"a":1,"c":"x"}`, opts, "a long")
	require.NoError(t, got.err)
	require.Equal(t, []string{"b long", "c string"}, got.columns)
}

func TestTextAndBinary(t *testing.T) {
	text := sources.Options{Format: sources.Text, Malformed: sources.Quarantine, MaxRowSize: 10}
	got := readText(t, "f.log.gz", "a b\r\n\n\xff\n"+strings.Repeat("x", 11)+"\n\"q", text)
	require.NoError(t, got.err)
	require.Equal(t, []string{"a b|f.log.gz|1|2026-01-02T03:04:05Z", "|f.log.gz|2|2026-01-02T03:04:05Z", `"q|f.log.gz|5|2026-01-02T03:04:05Z`}, got.rows)
	require.Equal(t, []string{`row 3 line 3 value: invalid UTF-8 at byte 1: "\xff"`, "row 4 line 4 value: the line is longer than 10 bytes"}, got.rejected)

	binary := sources.Options{Format: sources.Binary, Malformed: sources.Quarantine, MaxFileSize: 3}
	got = readText(t, "f.bin", "ab\xff", binary, "path string", "size long", "content binary", "_source_row long")
	require.NoError(t, got.err)
	require.Equal(t, []string{"f.bin|3|YWL/|1"}, got.rows)
	got = readText(t, "f.bin", "abcd", binary)
	require.NoError(t, got.err)
	require.Empty(t, got.rows)
	require.Equal(t, []string{"row 1 line 0 : the file has 4 bytes, more than 3"}, got.rejected)
}

func TestHiveColumns(t *testing.T) {
	root := tree(t)
	for name, text := range map[string]string{
		"day=2024-01-01/kind=a%20b/1.csv":                      "id,kind\n1,inside\n",
		"day=2024-01-02/kind=__HIVE_DEFAULT_PARTITION__/2.csv": "id,kind\n2,inside\n",
	} {
		write(t, filepath.Join(root, name), []byte(text))
	}
	store, opts := sources.Local{Root: root}, sources.Options{Format: sources.CSV, HiveColumns: true}
	files := list(t, store, "**/*.csv")
	s, err := sources.Infer(context.Background(), store, files, opts)
	require.NoError(t, err)
	require.Equal(t, "id long, day date, kind string", notation(t, s))
	var rows []string
	for _, f := range files {
		got := read(t, store, f, schema(t, "id long", "day date", "kind string"), opts)
		require.NoError(t, got.err)
		require.Empty(t, got.columns, "the path's value stands for the file's column")
		rows = append(rows, got.rows...)
	}
	require.Equal(t, []string{"1|2024-01-01|a b", "2|2024-01-02|null"}, rows)
	got := read(t, store, files[0], schema(t, "id long", "kind long"), opts)
	require.ErrorContains(t, got.err, `column "kind" of the path: expected long, found "a b"`)
}
