package spec_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/varve-lake/varve/spec"
)

func TestGeneratedFilesAreFresh(t *testing.T) {
	for name, want := range spec.Generated() {
		file := filepath.Join("..", name)
		if *update {
			require.NoError(t, os.WriteFile(file, want, 0o644))
		}
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), "%s is stale: run go generate ./spec", name)
	}
}

func compile(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	return compileAt(t, compilerOf(t, text), "")
}

func compilerOf(t *testing.T, text []byte) *jsonschema.Compiler {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("schema.json", doc))
	return compiler
}

func compileAt(t *testing.T, compiler *jsonschema.Compiler, pointer string) *jsonschema.Schema {
	t.Helper()
	schema, err := compiler.Compile("schema.json" + pointer)
	require.NoError(t, err)
	return schema
}

// load reads YAML as an editor does before it asks the schema.
func load(t *testing.T, data []byte) any {
	t.Helper()
	var out any
	require.NoError(t, yaml.Unmarshal(data, &out))
	return withoutTimes(out)
}

// withoutTimes turns dates back into the strings that they are in YAML 1.2.
func withoutTimes(v any) any {
	switch v := v.(type) {
	case time.Time:
		return v.Format(time.DateOnly)
	case map[string]any:
		for name, value := range v {
			v[name] = withoutTimes(value)
		}
	case []any:
		for i, value := range v {
			v[i] = withoutTimes(value)
		}
	}
	return v
}

func TestSchemaAcceptsPipelines(t *testing.T) {
	schema := compile(t, spec.PipelineSchema())
	files, err := filepath.Glob("../pipelines/*.yaml")
	require.NoError(t, err)
	for _, file := range append(files, "testdata/flights.yaml", "testdata/design.yaml") {
		if filepath.Base(file) == "varve.yaml" {
			continue
		}
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, schema.Validate(load(t, data)), file)
	}
	for _, file := range files {
		_, found := decodeFile(t, file, spec.DecodeOptions{AllowUnset: true})
		require.NoError(t, found.Err(), file)
	}
}

func TestSchemaAcceptsProjects(t *testing.T) {
	data, err := os.ReadFile("testdata/varve.yaml")
	require.NoError(t, err)
	require.NoError(t, compile(t, spec.ProjectSchema()).Validate(load(t, data)))
}

// TestTheDesignsPipeline shows that what is still to come is checked, and refused with its place.
func TestTheDesignsPipeline(t *testing.T) {
	_, found := decodeFile(t, "testdata/design.yaml", spec.DecodeOptions{})
	if *update {
		require.NoError(t, os.WriteFile("testdata/design.txt", []byte(found.Error()+"\n"), 0o644))
	}
	want, err := os.ReadFile("testdata/design.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), found.Error()+"\n")
	for _, d := range found {
		require.Contains(t, d.Message, "not yet supported")
	}
}

// TestSchemaIsNoStricterThanTheDecoder holds the schema against every case of testdata/diagnostics: a file without an
// error must pass it.
func TestSchemaIsNoStricterThanTheDecoder(t *testing.T) {
	schema := compile(t, spec.PipelineSchema())
	accepted := 0
	for _, c := range append(schemaExamples, inputsOf(t, "testdata/diagnostics/*.txt")...) {
		if _, found := spec.Decode("p.yaml", []byte(c), spec.DecodeOptions{Getenv: getenv, AllowUnset: true}); found.Err() == nil {
			accepted++
			require.NoError(t, schema.Validate(load(t, []byte(c))), c)
		}
	}
	require.Greater(t, accepted, 3)
}

func inputsOf(t testing.TB, glob string) []string {
	files, err := filepath.Glob(glob)
	require.NoError(t, err)
	var out []string
	for _, file := range files {
		data := readFile(t, file)
		for _, c := range strings.Split(string(data), "\n=== ")[1:] {
			_, body, _ := strings.Cut(c, "\n")
			input, _, _ := strings.Cut(body, "----\n")
			out = append(out, input)
		}
	}
	return out
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	return data
}

var schemaExamples = []string{
	"pipeline: p\nparameters: {n: {type: int}, on: {type: bool}}\ntables: {bronze.a: {source: {files: a.csv, options: {sample_rows: '${n}', header: '${on}'}}}}",
	"pipeline: p\nschedule: {calendar: {hour: 6, day_of_week: mon}}\ntables: {bronze.a: {source: {files: a.csv}}}",
	"pipeline: p\ndefaults: {source: {files: a.csv}, write: replace}\ntables: {bronze.a: {doc: x}}",
	"pipeline: p\ntables: {silver.a: {from: b.c, write: {merge: {on: id, when_matched: [{update: {a: 1, b: null, c: true}}]}}}}",
	"pipeline: p\ntables: {silver.a: {from: b.c, write: replace_partitions, partition_by: [bucket(16, id), 'days(ts)', a.b]}}",
}

func TestSchemaRejectsMistakes(t *testing.T) {
	schema := compile(t, spec.PipelineSchema())
	const table = "pipeline: p\ntables: {silver.a: {from: b.c, "
	for _, mistake := range []string{
		"tables: {bronze.a: {source: {files: a.csv}}}",
		"pipeline: p",
		"pipeline: p\ntables: {}",
		"pipeline: p\ntabels: {}\ntables: {bronze.a: {source: {files: a.csv}}}",
		"pipeline: p\ntables: {flights: {source: {files: a.csv}}}",
		"pipeline: p\ntables: {bronze.a: {source: {format: csv}}}",
		"pipeline: p\ntables: {bronze.a: {source: {files: a.csv, format: cvs}}}",
		"pipeline: p\nschedule: {every: 15}\ntables: {bronze.a: {source: {files: a.csv}}}",
		"pipeline: p\nschedule: {every: 1h, cron: '@daily'}\ntables: {bronze.a: {source: {files: a.csv}}}",
		"pipeline: p\nschedule: {offset: 1h, cron: '@daily'}\ntables: {bronze.a: {source: {files: a.csv}}}",
		table + "source: {files: a.csv}}}",
		table + "engine: duckdb}}",
		table + "write: upsert}}",
		table + "write: {merge: {on: []}}}}",
		table + "write: {merge: {on: [id], when_matched: [{insert: '*'}]}}}}",
		table + "write: {merge: {on: [id], when_matched: [{update: '*', delete: true}]}}}}",
		table + "write: {merge: {on: [id], when_matched: [{delete: false}]}}}}",
		table + "write: {merge: {on: [id], when_not_matched_by_source: [{update: '*'}]}}}}",
		table + "steps: [{filter: a, drop: [b]}]}}",
		table + "steps: [{}]}}",
		table + "format_version: 1}}",
		table + "strict: 1}}",
		table + "partition_by: [weeks(ts)]}}",
		table + "maintenance: {compact: {target_file_size: 512}}}}",
	} {
		require.Error(t, schema.Validate(load(t, []byte(mistake))), mistake)
		_, found := spec.Decode("p.yaml", []byte(mistake), spec.DecodeOptions{})
		require.Error(t, found.Err(), mistake)
	}
}

// TestExamplesAndDefaultsFitTheirKeys holds what the documentation shows against the schema of its key.
func TestExamplesAndDefaultsFitTheirKeys(t *testing.T) {
	for _, text := range [][]byte{spec.PipelineSchema(), spec.ProjectSchema()} {
		root := load(t, text).(map[string]any)
		compiler := compilerOf(t, text)
		objects := map[string]any{"": root}
		for name, def := range root["$defs"].(map[string]any) {
			objects["/$defs/"+name] = def
		}
		for at, object := range objects {
			properties, _ := object.(map[string]any)["properties"].(map[string]any)
			for name, p := range properties {
				property := p.(map[string]any)
				schema := compileAt(t, compiler, "#"+at+"/properties/"+name)
				values, _ := property["examples"].([]any)
				if initial, ok := property["default"]; ok {
					values = append(values, initial)
				}
				for _, v := range values {
					require.NoError(t, schema.Validate(v), "%s/%s: %v", at, name, v)
				}
				require.NotEmpty(t, property["description"], "%s/%s", at, name)
			}
		}
	}
}
