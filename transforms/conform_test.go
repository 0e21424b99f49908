package transforms_test

import (
	"context"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/internal/rowtest"
)

func TestConform(t *testing.T) {
	batch := rowtest.Batch(t, "a int; b string; c double; extra boolean; p struct<x: int, y: string>; _source_file string; _source_row long",
		`{"a": 1, "b": "2024-01-31", "c": 12, "extra": true, "p": {"x": 1, "y": "2"}, "_source_file": "f", "_source_row": 1}`,
		`{"a": null, "b": "2024-02-01", "c": 1, "p": null, "_source_file": "f", "_source_row": 2}`,
		`{"a": 3, "b": "soon", "c": 1, "_source_file": "f", "_source_row": 3}`,
		`{"a": 4, "b": null, "c": 12.5, "_source_file": "f", "_source_row": 4}`,
		`{"a": 5, "b": null, "c": null, "p": {"x": 7, "y": "no"}, "_source_file": "f", "_source_row": 5}`,
		`{"a": 6, "b": null, "c": null, "p": {"x": null, "y": null}, "_source_file": "f", "_source_row": 6}`,
	)
	to := rowtest.Schema(t, "b date; a long!; missing uuid; c int; p struct<y: int, z: list<string>>")
	var seen recorder
	r, err := transforms.Conform(rowtest.Reader(t, batch), to, transforms.ConformOptions{Observer: seen.observer()})
	require.NoError(t, err)
	require.True(t, to.Equal(r.Schema()))
	rows, err := rowtest.Drain(r)
	require.NoError(t, err)
	require.Equal(t, []string{
		`{"b":"2024-01-31","a":1,"missing":null,"c":12,"p":{"y":2,"z":null}}`,
		`{"b":null,"a":6,"missing":null,"c":null,"p":{"y":null,"z":null}}`,
	}, rows)
	var reasons []string
	for _, r := range seen.rejected {
		require.Equal(t, "f", r.SourceFile)
		reasons = append(reasons, r.Reason)
	}
	require.Equal(t, []string{
		`column "a": a required value is null`,
		`column "b": "soon" is not a date`,
		`column "c": 12.5 is not an int`,
		`column "p": "no" is not an int`,
	}, reasons)
	require.Contains(t, seen.rejected[2].Row, `"c":12.5`, "as it came")
}

func TestConformWhatFits(t *testing.T) {
	batch := rowtest.Batch(t, "a int; b string", `{"a": 1, "b": "x"}`)
	r, err := transforms.Conform(rowtest.Reader(t, batch), batch.Schema(), transforms.ConformOptions{})
	require.NoError(t, err)
	rows, err := rowtest.Drain(r)
	require.NoError(t, err)
	require.Equal(t, []string{`{"a":1,"b":"x"}`}, rows)
}

func TestConformMistakes(t *testing.T) {
	batch := rowtest.Batch(t, "a int; b string")
	for header, want := range map[string]string{
		"a int; c int!": `column "c" is required, but the rows do not have it`,
		"a uuid":        `column "a": int cannot be cast to uuid`,
		"b list<int>":   `column "b": string cannot be cast to list<int>`,
	} {
		_, err := transforms.Conform(rowtest.Reader(t, batch), rowtest.Schema(t, header), transforms.ConformOptions{})
		require.EqualError(t, err, want)
	}
}

func TestConformWithoutObserver(t *testing.T) {
	batch := rowtest.Batch(t, "a double", `{"a": 0.5}`)
	r, err := transforms.Conform(rowtest.Reader(t, batch), rowtest.Schema(t, "a int"), transforms.ConformOptions{})
	require.NoError(t, err)
	_, err = rowtest.Drain(r)
	require.EqualError(t, err, `column "a": 0.5 is not an int`)
}

func TestConformIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	batch := rowtest.Batch(t, "a int", `{"a": 1}`)
	r, err := transforms.Conform(rowtest.Reader(t, batch), arrow.NewSchema(batch.Schema().Fields(), nil), transforms.ConformOptions{Context: ctx})
	require.NoError(t, err)
	_, err = rowtest.Drain(r)
	require.ErrorIs(t, err, context.Canceled)
}
