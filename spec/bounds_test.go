package spec_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/spec"
)

// TestHostileFilesAreBounded decodes files that are built to cost much; each must be refused within moments.
func TestHostileFilesAreBounded(t *testing.T) {
	laughs := "pipeline: p\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 12; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	laughs += "tables: {bronze.a: {source: {files: a.csv}}}\ntests: [{name: t, expect: {bronze.a: [{x: *a11}]}}]\n"

	manyDefaults := "pipeline: p\ndefaults: {tags: [" + strings.Repeat("a, ", 2000) + "z]}\ntables:\n"
	for i := range 10_000 {
		manyDefaults += fmt.Sprintf("  bronze.t%d: {from: bronze.s}\n", i)
	}
	expanding := "pipeline: p\nparameters: {a: {default: " + strings.Repeat("x", 100_000) + "}}\ndescription: " + strings.Repeat("${a}", 100) +
		"\ntables: {bronze.a: {source: {files: a.csv}}}\n"

	for name, c := range map[string]struct{ file, want string }{
		"billion laughs":         {laughs, "stands for more than 200000 values"},
		"defaults of many":       {manyDefaults, "stands for more than 200000 values"},
		"nested lists":           {"pipeline: " + strings.Repeat("[", 5000), "not YAML"},
		"nested and closed":      {"pipeline: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "nest deeper than 64"},
		"nested maps":            {"pipeline: " + strings.Repeat("{a: ", 100) + strings.Repeat("}", 100), "nest deeper than 64"},
		"a large file":           {"# " + strings.Repeat("x", 1<<20), "at most 1048576 are read"},
		"expanding":              {expanding, "expand the file to more than 8388608 bytes"},
		"binary":                 {"pipeline: \xff\xfe", "not UTF-8"},
		"a control character":    {"pipeline: a\x00b", "not YAML"},
		"an alias in itself":     {"pipeline: p\ntests: [{name: t, expect: {bronze.a: &r [{x: *r}]}}]\ntables: {bronze.a: {source: {files: a.csv}}}", "nests deeper than 64"},
		"a deep type":            {"pipeline: p\ntables: {bronze.a: {source: {files: a.csv}, columns: {a: \"" + strings.Repeat("list<", 10_000) + "\"}}}", "nests deeper than 32"},
		"many mistakes":          {"pipeline: p\ntables:\n" + strings.Repeat("  ? [x]\n  : y\n", 30_000), "a key is a plain word"},
		"a very long line":       {"pipeline: " + strings.Repeat("x", 500_000), "pipeline name"},
		"a parameter of nothing": {"pipeline: ${" + strings.Repeat("x", 500_000), "is not a reference"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			p, found := spec.Decode("p.yaml", []byte(c.file), spec.DecodeOptions{})
			require.Less(t, time.Since(began), 2*time.Minute)
			require.Nil(t, p)
			require.ErrorContains(t, found.Err(), c.want)
			require.LessOrEqual(t, len(found), 1000)
			checkFound(t, c.file, found)
			for _, d := range found {
				require.Less(t, len(d.Error()), 2000)
			}
		})
	}
}

func TestAliasesAreValues(t *testing.T) {
	p, found := spec.Decode("p.yaml", []byte(`pipeline: p
tables:
  bronze.a:
    source: {files: a.csv}
    columns: &columns {a: int, b: string}
    tags: &tags [x]
  bronze.b:
    source: {files: b.csv}
    columns: *columns
    tags: *tags
`), spec.DecodeOptions{})
	require.Empty(t, found)
	require.Equal(t, p.Tables[0].Columns, p.Tables[1].Columns)
	require.Equal(t, []string{"x"}, p.Tables[1].Tags)
}
