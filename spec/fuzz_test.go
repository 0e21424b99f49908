package spec_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/spec"
)

// FuzzDecode shows that no file makes the decoder panic or run away, and that whatever it finds has a place in the file.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"testdata/flights.yaml", "testdata/design.yaml"} {
		f.Add(string(readFile(f, name)))
	}
	for _, input := range append(inputsOf(f, "testdata/diagnostics/*.txt"), schemaExamples...) {
		f.Add(input)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, found := spec.Decode("p.yaml", []byte(text), spec.DecodeOptions{Getenv: getenv, AllowUnset: true})
		checkFound(t, text, found)
		require.Equal(t, found.Err() == nil, p != nil)
		project, found := spec.DecodeProject("varve.yaml", []byte(text), spec.DecodeOptions{Getenv: getenv})
		checkFound(t, text, found)
		require.Equal(t, found.Err() == nil, project != nil)
	})
}

func checkFound(t *testing.T, text string, found spec.Diagnostics) {
	lines := splitAsYAML(text)
	for i, d := range found {
		require.NotEmpty(t, d.Message)
		require.True(t, d.Line >= 1 && d.Line <= len(lines), "line %d of %d: %s", d.Line, len(lines), d.Message)
		width := utf8.RuneCountInString(lines[d.Line-1])
		require.True(t, d.Column >= 1 && d.Column <= width+1, "column %d of %d in line %d: %s", d.Column, width, d.Line, d.Message)
		if i > 0 {
			before := found[i-1]
			require.True(t, before.Line < d.Line || before.Line == d.Line && before.Column <= d.Column, "order")
		}
		require.NotEmpty(t, d.Error())
	}
	_, err := json.Marshal(found)
	require.NoError(t, err)
}

// splitAsYAML splits where YAML 1.1's reader, which the library is, ends a line.
func splitAsYAML(text string) []string {
	return strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(text), "\n")
}
