// Package testsuite lets `go test` run the tests that pipeline files declare:
//
//	func TestPipelines(t *testing.T) { testsuite.RunPipelineTests(t, "../pipelines/*.yaml") }
//
// Its folders hold Varve's own end-to-end, fault, replay and interoperability suites.
package testsuite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/varve-lake/varve/internal/pipelinetest"
)

// RunPipelineTests runs the tests of all pipeline files that a glob matches, each as a subtest named after its pipeline
// and itself. It is what `trigger test` does. Neither a server nor files are needed; files that are there tell the types
// of columns: a pipeline's relative globs begin at the folder of varve.yaml, or else at the one above the pipeline's own.
func RunPipelineTests(t *testing.T, glob string) {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil {
		t.Fatalf("pipelines %s: %v", glob, err)
	}
	if len(files) == 0 {
		t.Fatalf("no pipelines match %s", glob)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		t.Run(name, func(t *testing.T) { runFile(t, file) })
	}
}

func runFile(t *testing.T, file string) {
	t.Helper()
	root, err := rootOf(file)
	if err != nil {
		t.Fatal(err)
	}
	suite, err := pipelinetest.Load(file, pipelinetest.Options{Root: root, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range suite.Tests() {
		t.Run(test.Name.Value, func(t *testing.T) {
			result, err := suite.Run(t.Context(), test)
			if err != nil {
				t.Fatal(err)
			}
			if !result.Passed {
				t.Errorf("%s: %s\n%s", result.Place(), result.Name, result.Text())
			}
		})
	}
}

// rootOf is the folder of the project that a pipeline belongs to.
func rootOf(file string) (string, error) {
	full, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	for dir := filepath.Dir(full); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "varve.yaml")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return filepath.Dir(filepath.Dir(full)), nil
		}
	}
}
