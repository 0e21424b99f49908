// Command generate writes what is made from definitions: the JSON Schemas and the reference of the language's keys, from
// package spec, and the reference of expressions, from their functions. It runs in the folder spec, by go generate.
package main

import (
	"log"
	"maps"
	"os"
	"path/filepath"

	"github.com/varve-lake/varve/spec"
)

func main() {
	for name, text := range generated() {
		file := filepath.Join("..", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// generated are the files by their path in the repository.
func generated() map[string][]byte {
	files := maps.Clone(spec.Generated())
	files["docs/reference/expressions.md"] = expressions()
	return files
}
