package spec_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/spec"
)

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"250ms": 250 * time.Millisecond, "30s": 30 * time.Second, "15m": 15 * time.Minute, "1h30m": 90 * time.Minute,
		"7d": 7 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "7y": 7 * 365 * 24 * time.Hour, "0s": 0,
	} {
		got, err := spec.ParseDuration(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"", "5", "h", "-1h", "1.5h", "1 h", "1h ", "1month", "300y", "99999999999999999999s", "292y292y"} {
		_, err := spec.ParseDuration(in)
		require.Error(t, err, in)
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"0B": 0, "1B": 1, "512MB": 512e6, "1.5GiB": 3 << 29, "1 KiB": 1024, "2KB": 2000, "1TB": 1e12, "8TiB": 8 << 40,
	} {
		got, err := spec.ParseSize(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"", "5", "MB", "-1MB", "1mb", "1 M", "1  MB", "99999999999TiB", "1e3MB"} {
		_, err := spec.ParseSize(in)
		require.Error(t, err, in)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"filter", "derive", "select", "rename", "cast", "drop", "dedupe", "partition_by", "tailnum", "id"}
	for in, want := range map[string]string{
		"fitler": "filter", "filtre": "filter", "Filter": "filter", "tailnumm": "tailnum", "partition-by": "partition_by",
		"partitionby": "partition_by", "partitioned_by": "partition_by", "dedup": "dedupe", "casts": "cast", "ID": "id", "di": "id",
		"xyz": "", "": "", "a": "", "where": "", "order_by": "",
	} {
		require.Equal(t, want, spec.Nearest(in, known), in)
	}
	require.Empty(t, spec.Nearest("x", nil))
}

func TestDiagnosticsAreAnErrorAndJSON(t *testing.T) {
	warning := spec.Diagnostic{Pos: spec.Pos{File: "p.yaml", Line: 2, Column: 3}, Severity: spec.Warning, Message: "odd"}
	require.NoError(t, spec.Diagnostics{warning}.Err())
	require.NoError(t, spec.Diagnostics(nil).Err())

	bad := spec.Diagnostic{Pos: spec.Pos{File: "pipelines/flights.yaml", Line: 1, Column: 13}, Message: `column "tailnumm" is not in bronze.flights`, Hint: `did you mean "tailnum"?`}
	found := spec.Diagnostics{warning, bad}.WithSource([]byte("    filter: tailnumm != nil\n  x: y\n"))
	found.Sort()
	require.EqualError(t, found.Err(), `p.yaml:2:3: warning: odd
   | x: y
   | ^
pipelines/flights.yaml:1:13: error: column "tailnumm" is not in bronze.flights
   | filter: tailnumm != nil
   |         ^ did you mean "tailnum"?`)
	require.Len(t, found.Errors(), 1)
	require.Len(t, found.Warnings(), 1)

	text, err := json.Marshal(found)
	require.NoError(t, err)
	require.JSONEq(t, `[
		{"file": "p.yaml", "line": 2, "column": 3, "severity": "warning", "message": "odd", "source": "  x: y"},
		{"file": "pipelines/flights.yaml", "line": 1, "column": 13, "severity": "error", "message": "column \"tailnumm\" is not in bronze.flights",
		 "hint": "did you mean \"tailnum\"?", "source": "    filter: tailnumm != nil"}]`, string(text))
	var back spec.Diagnostics
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, found, back)
}

func TestParametersOfARun(t *testing.T) {
	const file = "pipeline: p\nparameters: {day: {type: date}, n: {type: int, default: 5}}\ntables: {bronze.a: {source: {files: 'in/${day}/*.csv', options: {sample_rows: '${n}'}}}}\n"
	p, found := spec.Decode("p.yaml", []byte(file), spec.DecodeOptions{Parameters: map[string]string{"day": "2013-01-31", "n": "7"}})
	require.Empty(t, found)
	require.Equal(t, "in/2013-01-31/*.csv", p.Tables[0].Source.Files.Value)
	require.Equal(t, 7, p.Tables[0].Source.Options.SampleRows)

	_, found = spec.Decode("p.yaml", []byte(file), spec.DecodeOptions{Parameters: map[string]string{"day": "soon", "dya": "x"}})
	require.EqualError(t, found.Err(), `p.yaml:2:1: error: the run sets a parameter "dya": the pipeline has "day" and "n"
   | parameters: {day: {type: date}, n: {type: int, default: 5}}
   | ^ did you mean "day"?
p.yaml:2:14: error: value "soon" of parameter "day" is not a date such as 2013-01-31
   | parameters: {day: {type: date}, n: {type: int, default: 5}}
   |              ^`)

	_, found = spec.Decode("p.yaml", []byte(file), spec.DecodeOptions{})
	require.ErrorContains(t, found.Err(), `parameter "day" needs a value`)
	p, found = spec.Decode("p.yaml", []byte(file), spec.DecodeOptions{AllowUnset: true})
	require.Empty(t, found)
	require.Equal(t, "in/1970-01-01/*.csv", p.Tables[0].Source.Files.Value)
}
