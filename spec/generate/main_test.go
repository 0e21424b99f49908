package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/expression"
)

var update = flag.Bool("update", false, "rewrite the generated files")

func TestGeneratedFilesAreFresh(t *testing.T) {
	for name, want := range generated() {
		file := filepath.Join("..", "..", name)
		if *update {
			require.NoError(t, os.WriteFile(file, want, 0o644))
		}
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.True(t, string(want) == string(got), "%s is stale: run go generate ./spec", name)
	}
}

func TestEveryFunctionIsInTheReference(t *testing.T) {
	text := string(expressions())
	require.NotEmpty(t, expression.Functions())
	for _, f := range expression.Functions() {
		require.Contains(t, text, cell(f.Signature))
		require.NotEmpty(t, f.Doc, f.Name)
		require.NotEmpty(t, f.Example, f.Name)
	}
	require.False(t, strings.Contains(text, functionsMark))
}
