package spec_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/spec"
)

var update = flag.Bool("update", false, "rewrite the expected output under testdata and the generated files")

func getenv(name string) (string, bool) {
	value, ok := map[string]string{"REGION": "eu", "EMPTY": "", "DATABASE": "postgresql://user:hunter2@db.example/lake"}[name]
	return value, ok
}

func decodeFile(t *testing.T, name string, opts spec.DecodeOptions) (*spec.Pipeline, spec.Diagnostics) {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	opts.Getenv = getenv
	return spec.Decode(name, data, opts)
}

func TestDecodeTheFlightsPipeline(t *testing.T) {
	p, found := decodeFile(t, "testdata/flights.yaml", spec.DecodeOptions{Parameters: map[string]string{"since": "2013-02-01"}})
	require.Empty(t, found)
	require.Equal(t, "flights", p.Name.Value)
	require.Len(t, p.Digest, 64)

	require.Equal(t, []string{"15 * * * *"}, []string{p.Schedule.Cron[0].Value})
	require.Equal(t, time.Hour, p.Schedule.CatchupWindow)
	require.Equal(t, 30*time.Second, p.Schedule.Jitter)
	require.Equal(t, "America/New_York", p.Schedule.Timezone)
	require.Equal(t, "2013-02-01", p.Parameters[1].Value)
	require.Equal(t, "2013-01-01", *p.Parameters[1].Default)

	tables := map[string]*spec.Table{}
	var names []string
	for _, table := range p.Tables {
		tables[table.Name.Value] = table
		names = append(names, table.Name.Value)
	}
	require.Equal(t, []string{"bronze.flights", "bronze.carriers", "silver.carriers", "silver.flights", "gold.carrier_daily", "gold.delays"}, names)

	bronze := tables["bronze.flights"]
	require.Equal(t, "pipelines/data/flights/*.csv.gz", bronze.Source.Files.Value)
	require.Equal(t, "quarantine", bronze.Source.Malformed)
	require.Equal(t, []string{"", "NA"}, bronze.Source.Options.NullValues)
	require.Equal(t, int64(1<<20), bronze.Source.Options.MaxRowSize)
	require.Equal(t, "evolve", bronze.SchemaMode)
	require.Equal(t, "append", bronze.Write.Mode)
	require.Equal(t, map[string]string{"write.metadata.compression-codec": "gzip"}, bronze.Properties)
	require.Equal(t, 2, bronze.FormatVersion)

	require.Equal(t, "csv", tables["bronze.carriers"].Source.Format, "by suffix")
	require.Equal(t, "string", tables["bronze.carriers"].Columns[0].Type.Value, "the short form of a column")
	require.Equal(t, "full", tables["silver.carriers"].From.Read, "a replace reads all")

	silver := tables["silver.flights"]
	require.Equal(t, "appends", silver.From.Read)
	require.Equal(t, "enforce", silver.SchemaMode)
	require.Len(t, silver.Steps, 7)
	require.Equal(t, `time_hour >= "2013-02-01"`, silver.Steps[1].Filter.Value)
	require.Equal(t, "late", silver.Steps[2].Derive[1].Name.Value)
	require.Equal(t, []string{"flight_id"}, values(silver.Steps[6].Dedupe.By))
	require.Equal(t, "100", silver.Properties["write.summary.max-size"])
	require.Equal(t, "gzip", silver.Properties["write.metadata.compression-codec"], "properties are merged with the defaults'")
	require.Equal(t, []string{"days(time_hour)", "bucket(16, tailnum)"}, values(silver.PartitionBy))
	require.Equal(t, []string{"carrier", "destination desc nulls last"}, values(silver.SortBy))
	merge := silver.Write.Merge
	require.Equal(t, "merge", silver.Write.Mode)
	require.Equal(t, []string{"flight_id"}, values(merge.On))
	require.Nil(t, merge.Predicate)
	require.Equal(t, "merge-on-read", merge.Strategy)
	require.Equal(t, "ignore", merge.NewColumns)
	require.Equal(t, "serializable", merge.Isolation)
	require.True(t, merge.WhenMatched[0].Update.All)
	require.Equal(t, "t.updated_at < s.updated_at", merge.WhenMatched[0].If.Value)
	require.True(t, merge.WhenNotMatched[0].Insert.All)

	gold := tables["gold.carrier_daily"]
	require.Equal(t, "duckdb", gold.Engine)
	require.Equal(t, "replace_partitions", gold.Write.Mode)
	require.Equal(t, []string{"day"}, values(gold.Write.Partitions))

	delays := tables["gold.delays"].Write.Merge
	require.Equal(t, "copy-on-write", delays.Strategy)
	require.Equal(t, "t.flight_id == s.flight_id && t.carrier == s.carrier", delays.Predicate.Value)
	require.Empty(t, delays.On)
	require.True(t, delays.NullSafe)
	require.True(t, delays.WhenMatched[0].Delete)
	require.Equal(t, "s.arr_delay", delays.WhenMatched[1].Update.Set[0].Value.Value)

	rows := p.Tests[0].Given["bronze.flights"]
	require.Equal(t, map[string]any{"carrier": "UA", "flight": int64(1), "tailnum": "N1", "time_hour": "2013-01-01 05:00:00", "arr_delay": nil}, rows[0])
}

func values(texts []spec.Text) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = text.Value
	}
	return out
}

// TestDiagnostics runs the cases of testdata/diagnostics: a file, then all that is found in it.
func TestDiagnostics(t *testing.T) {
	runCases(t, "testdata/diagnostics/*.txt", func(input string) string {
		_, found := spec.Decode("p.yaml", []byte(input), spec.DecodeOptions{Getenv: getenv})
		return found.Error()
	})
}

// runCases checks files of cases, each of the form
//
//	=== name
//	input
//	----
//	output
func runCases(t *testing.T, glob string, run func(input string) string) {
	files, err := filepath.Glob(glob)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		head, rest, _ := strings.Cut(string(data), "=== ")
		rewritten := head
		for _, c := range strings.Split(rest, "\n=== ") {
			title, body, _ := strings.Cut(c, "\n")
			input, want, _ := strings.Cut("\n"+body+"\n", "\n----\n")
			input = strings.TrimPrefix(input+"\n", "\n")
			got := run(input)
			rewritten += "=== " + title + "\n" + input + "----\n" + got + "\n\n"
			if !*update {
				t.Run(filepath.Base(file)+"/"+title, func(t *testing.T) {
					require.Equal(t, strings.TrimRight(want, "\n"), got)
				})
			}
		}
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(strings.TrimRight(rewritten, "\n")+"\n"), 0o644))
		}
	}
}
