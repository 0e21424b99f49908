// Command generate writes what is made from the language's definition: the JSON Schemas and the reference. It runs in
// the folder spec, by go generate.
package main

import (
	"log"
	"os"
	"path/filepath"

	"github.com/varve-lake/varve/spec"
)

func main() {
	for name, text := range spec.Generated() {
		file := filepath.Join("..", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
