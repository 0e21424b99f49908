package spec_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/spec"
)

// TestTextAt finds, for the ! of each expression's value, the ! that stands in the file.
func TestTextAt(t *testing.T) {
	for name, filter := range map[string]string{
		"plain":               `a > 1 && !b`,
		"plain, not ASCII":    `a == "é" && !b`,
		"plain, over lines":   "a > 1\n          && !b",
		"double quotes":       `"a == \"x\" && !b"`,
		"a backslash":         `"a == 'x\\y' && !b"`,
		"single quotes":       `'a == ''x'' && !b'`,
		"empty single quotes": `"a == '' && !b"`,
		"literal":             "|\n          a > 1 &&\n            c &&\n\n          !b",
		"folded":              ">-\n          a > 1 &&\n          !b",
		"after a parameter":   `a == "${short}" && "${long}" != c && !b`,
		"between parameters":  `a == "${long}" && !b && c == "${long}"`,
		"after an escape":     `a == "$${x}" && !b`,
	} {
		t.Run(name, func(t *testing.T) {
			file := "pipeline: p\nparameters: {short: {default: x}, long: {default: abcdefghijklmnop}}\ntables:\n  silver.a:\n    from: bronze.a\n    steps:\n      - filter: " + filter + "\n"
			p, found := spec.Decode("p.yaml", []byte(file), spec.DecodeOptions{})
			require.NoError(t, found.Err())
			text := p.Tables[0].Steps[0].Filter
			at := text.At(strings.LastIndexByte(text.Value, '!'))
			line := []rune(strings.Split(file, "\n")[at.Line-1])
			require.Equal(t, "!b", string(line[at.Column-1:at.Column+1]), text.Value)
			for _, outside := range []int{-1, len(text.Value), len(text.Value) + 100} {
				require.GreaterOrEqual(t, text.At(outside).Line, text.Pos.Line)
			}
		})
	}
}

func TestTextAtOfASubstitutedPart(t *testing.T) {
	file := "pipeline: p\nparameters: {x: {default: a.b.c}}\ntables: {silver.a: {from: bronze.a, steps: [{filter: \"q ${x} r\"}]}}\n"
	p, found := spec.Decode("p.yaml", []byte(file), spec.DecodeOptions{})
	require.NoError(t, found.Err())
	text := p.Tables[0].Steps[0].Filter
	require.Equal(t, "q a.b.c r", text.Value)
	want := strings.Index(strings.Split(file, "\n")[2], "${x}") + 1
	for offset := 2; offset < 7; offset++ {
		require.Equal(t, want, text.At(offset).Column)
	}
	require.Equal(t, want+len("${x} "), text.At(8).Column)
}

func TestTextWithoutAFile(t *testing.T) {
	at := spec.Pos{File: "f", Line: 3, Column: 4}
	require.Equal(t, at, spec.Text{Value: "abc", Pos: at}.At(2))
}
