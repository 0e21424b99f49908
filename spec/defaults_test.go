package spec_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/spec"
)

func TestDefaultsOfTables(t *testing.T) {
	p, found := spec.Decode("p.yaml", []byte(`pipeline: p
defaults:
  source: {files: default.csv, malformed: drop}
  engine: duckdb
  strict: true
  schema_mode: rescue
  write: {merge: {on: [id], when_not_matched: [{insert: "*"}]}}
  partition_by: [days(ts)]
  properties: {a: "1", b: "2"}
  format_version: 3
  owner: team
tables:
  bronze.plain: {}
  bronze.own:
    source: {files: own.csv}
    write: append
    partition_by: []
    properties: {b: "3", c: "4"}
    columns: {a: int}
  silver.from: {from: bronze.own, format_version: 2}
  gold.sql: {sql: SELECT 1 AS one, write: replace, owner: me}
`), spec.DecodeOptions{})
	require.Empty(t, found)
	plain, own, from, sql := p.Tables[0], p.Tables[1], p.Tables[2], p.Tables[3]

	require.Equal(t, "default.csv", plain.Source.Files.Value)
	require.Equal(t, "drop", plain.Source.Malformed)
	require.Equal(t, "rescue", plain.Source.SchemaMode, "the table's mode is the source's")
	require.Equal(t, "merge", plain.Write.Mode)
	require.False(t, plain.Strict, "a default strict does not apply without columns")
	require.Equal(t, map[string]string{"a": "1", "b": "2"}, plain.Properties)

	require.Equal(t, "own.csv", own.Source.Files.Value)
	require.Equal(t, "fail", own.Source.Malformed, "a key replaces the default whole")
	require.Equal(t, "append", own.Write.Mode)
	require.True(t, own.Strict)
	require.Empty(t, own.PartitionBy)
	require.Equal(t, map[string]string{"a": "1", "b": "3", "c": "4"}, own.Properties)
	require.Equal(t, 3, own.FormatVersion)
	require.Equal(t, "team", own.Owner)

	require.Nil(t, from.Source, "a table that reads something else has no default source")
	require.Equal(t, "enforce", from.SchemaMode, "rescue is of files")
	require.Equal(t, 2, from.FormatVersion)
	require.Empty(t, from.Engine)

	require.Nil(t, sql.Source)
	require.Equal(t, "duckdb", sql.Engine)
	require.Equal(t, "me", sql.Owner)
}

func TestAMistakeInDefaultsIsReportedOnce(t *testing.T) {
	_, found := spec.Decode("p.yaml", []byte("pipeline: p\ndefaults: {format_version: 9}\ntables:\n"+
		"  bronze.a: {source: {files: a.csv}}\n  bronze.b: {source: {files: b.csv}}\n"), spec.DecodeOptions{})
	require.Len(t, found, 1)
	require.Equal(t, spec.Pos{File: "p.yaml", Line: 2, Column: 28}, found[0].Pos)
}

// TestLineEnds finds the same mistake at the same place, however lines end.
func TestLineEnds(t *testing.T) {
	const file = "pipeline: p\ndescription: é\ntables:\n  bronze.a: {source: {files: é.csv, fomat: csv}}\n"
	for name, text := range map[string]string{
		"LF": file, "CR LF": strings.ReplaceAll(file, "\n", "\r\n"), "CR": strings.ReplaceAll(file, "\n", "\r"),
		"no last one": strings.TrimSuffix(file, "\n"), "a byte order mark": "\ufeff" + file,
	} {
		_, found := spec.Decode("p.yaml", []byte(text), spec.DecodeOptions{})
		require.EqualError(t, found.Err(), `p.yaml:4:37: error: unknown key "fomat" in a source
   | bronze.a: {source: {files: é.csv, fomat: csv}}
   |                                   ^ did you mean "format"?`, name)
	}
}
