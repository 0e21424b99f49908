package sources_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	arrowmemory "github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/sources"
)

// infer infers over files of the given texts, named in their order.
func infer(t testing.TB, opts sources.Options, texts ...string) (string, error) {
	root := t.TempDir()
	for i, text := range texts {
		write(t, filepath.Join(root, fmt.Sprintf("%05d", i)), []byte(text))
	}
	store := sources.Local{Root: root}
	s, err := sources.Infer(context.Background(), store, list(t, store, "*"), opts)
	if err != nil {
		return "", err
	}
	return notation(t, s), nil
}

func TestInfer(t *testing.T) {
	csv, ndjson := sources.Options{Format: sources.CSV}, sources.Options{Format: sources.NDJSON}
	few := csv
	few.SampleRows = 2
	declared, headless := csv, csv
	declared.Declared = schema(t, "b string", "absent date", "c decimal(9,2)")
	headless.NoHeader, headless.Declared = true, schema(t, "id uuid", "at date")
	tests := []struct {
		name  string
		opts  sources.Options
		texts []string
		want  string
	}{
		{"types", csv, []string{"i,d,b,day,ts,tz,s,zip,n\n1,1.5,true,2024-01-01,2024-01-01 00:00:00,2024-01-01T00:00:00Z,x,007,NA\n"},
			"i long, d double, b boolean, day date, ts timestamp, tz timestamptz, s string, zip string, n string"},
		{"files widen one another", csv, []string{"a,b\n1,1\n", "b,a\n2.5,x\n"}, "a string, b double"},
		{"a file of nulls says nothing", csv, []string{"a\nNA\n", "a\n5\n"}, "a long"},
		{"new columns come last", csv, []string{"b,a\n1,1\n", "a,c,b\n1,1,1\n"}, "b long, a long, c long"},
		{"malformed rows say nothing", csv, []string{"a,b\n1,2,x\n1,\"2\"x\n1,2\n"}, "a long, b long"},
		{"only the sample counts", few, []string{"a\n1\n2\nx\n"}, "a long"},
		{"declared types hold", declared, []string{"a,b,c\n1,2,3\n"}, "a long, b string, c decimal(9,2)"},
		{"no files", declared, nil, "b string, absent date, c decimal(9,2)"},
		{"without header", headless, []string{"x,2024-01-01,5\n"}, "id uuid, at date, column_3 long"},
		{"empty files", csv, []string{"", "a\n1\n", ""}, "a long"},
		{"nothing but empty files", csv, []string{""}, ""},
		{"objects", ndjson, []string{`{"a":1,"":2,"n":{"x":1}}` + "\n{\n[]\n", `{"n":{"y":[{"z":true}]},"a":null}`}, "a long, n struct<x: long, y: list<struct<z: boolean>>>"},
		{"text", sources.Options{Format: sources.Text}, nil, "value string"},
		{"binary", sources.Options{Format: sources.Binary}, nil, "path string, modified timestamptz, size long, content binary"},
	}
	for _, tt := range tests {
		got, err := infer(t, tt.opts, tt.texts...)
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, got, tt.name)
	}
}

func TestInferErrors(t *testing.T) {
	_, err := infer(t, sources.Options{Format: sources.CSV})
	require.ErrorIs(t, err, sources.ErrNoFiles)
	_, err = infer(t, sources.Options{Format: sources.CSV}, "a,a\n")
	require.ErrorAs(t, err, new(*sources.SchemaError))
	_, err = infer(t, sources.Options{Format: sources.NDJSON}, `{"_rescued":1}`)
	require.ErrorAs(t, err, new(*sources.SchemaError))
	_, err = infer(t, sources.Options{Format: sources.NDJSON}, `[{}]`)
	require.ErrorAs(t, err, new(*sources.BrokenFileError))
	_, err = infer(t, sources.Options{Format: sources.NDJSON, Declared: schema(t, "a date")}, `{"a":{"b":1}}`)
	require.EqualError(t, err, `column "a": struct<b: long> cannot become date`)
	_, err = infer(t, sources.Options{Format: sources.Parquet}, "a\n")
	require.ErrorAs(t, err, new(*sources.BrokenFileError))
}

// A file that does not read is passed over while another says what the columns are, also where the samples are all broken.
func TestInferPassesOverBrokenFiles(t *testing.T) {
	csv := sources.Options{Format: sources.CSV, SampleFiles: 2}
	for _, texts := range [][]string{
		{"a,a\n1,2\n", "a,b\n1,x\n", "a,a\n1,2\n"},
		{"a,b\n1,x\n", "_source_row\n1\n", "a,a\n1,2\n"},
		{"a,b\n1,x\n", "", "_source_row\n1\n"},
	} {
		got, err := infer(t, csv, texts...)
		require.NoError(t, err, texts)
		require.Equal(t, "a long, b string", got)
	}
	got, err := infer(t, sources.Options{Format: sources.NDJSON}, `[1]`, `{"a":1}`)
	require.NoError(t, err)
	require.Equal(t, "a long", got)
	for _, texts := range [][]string{{"a,a\n", "_source_row\n"}, {"", "a,a\n", ""}} {
		_, err = infer(t, csv, texts...)
		require.ErrorContains(t, err, `"a"`, "the first of the faults, if no file has columns")
	}
}

// A column that only one file of many has is found by that file's header, though its rows were not to be sampled.
func TestInferFindsALoneColumn(t *testing.T) {
	texts := make([]string, 200)
	for i := range texts {
		texts[i] = "a\n1\n"
	}
	texts[77] = "a,b\n1,2.5\n"
	opts := sources.Options{Format: sources.CSV, SampleFiles: 5}
	got, err := infer(t, opts, texts...)
	require.NoError(t, err)
	require.Equal(t, "a long, b double", got)
	opts.SchemaMode = sources.Enforce
	got, err = infer(t, opts, texts...)
	require.NoError(t, err)
	require.Equal(t, "a long", got)
}

func TestInferAddsMetadata(t *testing.T) {
	root := tree(t, "a")
	store := sources.Local{Root: root}
	s, err := sources.Infer(context.Background(), store, list(t, store, "*"), sources.Options{Format: sources.Text, SchemaMode: sources.Rescue})
	require.NoError(t, err)
	require.True(t, s.Equal(schema(t, "value string", "_source_file string", "_source_row long", "_loaded_at timestamptz", "_rescued string")))
}

// Ten thousand columns are inferred and read, in batches that stay small.
func TestManyColumns(t *testing.T) {
	const n = 10_000
	names, values := make([]string, n), make([]string, n)
	for i := range n {
		names[i], values[i] = fmt.Sprintf("c%d", i), fmt.Sprint(i)
	}
	row := strings.Join(values, ",") + "\n"
	got := readText(t, "wide.csv", strings.Join(names, ",")+"\n"+strings.Repeat(row, 400), sources.Options{Format: sources.CSV, Memory: arrowmemory.DefaultAllocator})
	require.NoError(t, got.err)
	require.Len(t, got.rows, 400)
	require.Greater(t, got.batches, 1)
	require.True(t, strings.HasPrefix(got.rows[399], "0|1|2|3|"))

	object := make([]string, n)
	for i := range n {
		object[i] = fmt.Sprintf("%q:%d", names[i], i)
	}
	got = readText(t, "wide.json", strings.Repeat("{"+strings.Join(object, ",")+"}\n", 50), sources.Options{Format: sources.NDJSON, Memory: arrowmemory.DefaultAllocator})
	require.NoError(t, got.err)
	require.Len(t, got.rows, 50)
}

// inferOne infers the schema of a store's one file.
func inferOne(t testing.TB, store stream, opts sources.Options) *arrow.Schema {
	s, err := sources.Infer(context.Background(), store, []sources.File{store.file}, opts)
	require.NoError(t, err)
	return s
}
