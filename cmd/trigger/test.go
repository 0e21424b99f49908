package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/internal/pipelinetest"
	"github.com/varve-lake/varve/spec"
)

func newTest(g *global) *cobra.Command {
	var only string
	c := &cobra.Command{
		Use:   "test [FILE...]",
		Short: "Run the tests that pipeline files declare (default: all of the folder), without a server",
		Long: "test runs what stands under `tests:` in pipeline files. Each test has a lake of its own, filled with the rows that it\n" +
			"gives; the tables that it expects are built as a run builds them, and their rows compared. No server is needed, and\n" +
			"neither are the pipelines' files and lake: files that are there tell the types of columns.\n\n" +
			"It ends with exit code 1 if a test fails, and with 3 if a file or a test has mistakes.",
		Example: "  trigger test\n  trigger test pipelines/flights.yaml --run 'newest record'",
		RunE: func(c *cobra.Command, args []string) error {
			pattern, err := regexp.Compile(only)
			if err != nil {
				return usageError{fmt.Errorf("--run: %w", err)}
			}
			return testFiles(c, g, args, pattern)
		},
	}
	c.Flags().StringVar(&only, "run", "", "only tests whose names match this regular expression")
	return c
}

// testReport is what test --json prints.
type testReport struct {
	Passed   int                    `json:"passed"`
	Failed   int                    `json:"failed"`
	Tests    []*pipelinetest.Result `json:"tests"`
	Mistakes spec.Diagnostics       `json:"mistakes,omitempty"`
}

func testFiles(c *cobra.Command, g *global, files []string, only *regexp.Regexp) error {
	env, err := environment.Load(g.env)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		if files, err = pipelineFiles(env.Pipelines); err != nil {
			return err
		}
	}
	t := &tester{c: c, root: env.Root, only: only, quiet: g.json, said: map[string]bool{}}
	t.report.Tests = []*pipelinetest.Result{}
	for _, file := range files {
		if !filepath.IsAbs(file) && g.env.Root != "" {
			file = filepath.Join(env.Root, file)
		}
		if _, err := os.Stat(file); err != nil {
			return codedError{fmt.Errorf("tests: %w", err), exitMistake}
		}
		if err := t.file(relative(file)); err != nil {
			return err
		}
	}
	return t.conclude()
}

// tester runs the tests of several files.
type tester struct {
	c      *cobra.Command
	root   string
	only   *regexp.Regexp
	quiet  bool // print the report alone, as JSON
	report testReport
	said   map[string]bool // mistakes that were printed: many tests may meet the same one
}

func (t *tester) file(file string) error {
	suite, err := pipelinetest.Load(file, pipelinetest.Options{Root: t.root})
	if err != nil {
		return t.mistaken(err)
	}
	for _, test := range suite.Tests() {
		if !t.only.MatchString(test.Name.Value) {
			continue
		}
		result, err := suite.Run(t.c.Context(), test)
		if err != nil {
			if err := t.mistaken(err); err != nil {
				return err
			}
			t.print("MISTAKE  %s:%d: %s\n", file, test.Pos.Line, test.Name.Value)
			continue
		}
		t.took(result)
	}
	if len(suite.Tests()) == 0 {
		t.print("%s: no tests\n", file)
	}
	return nil
}

func (t *tester) took(r *pipelinetest.Result) {
	t.report.Tests = append(t.report.Tests, r)
	word := "ok"
	if r.Passed {
		t.report.Passed++
	} else {
		t.report.Failed++
		word = "FAIL"
	}
	t.print("%-5s%s: %s (%.1fs)\n%s", word, r.Place(), r.Name, r.Seconds, r.Text())
}

func (t *tester) print(format string, args ...any) {
	if !t.quiet {
		fmt.Fprintf(t.c.OutOrStdout(), format, args...)
	}
}

// mistaken keeps mistakes and prints each once. Any other error is returned.
func (t *tester) mistaken(err error) error {
	var found spec.Diagnostics
	if !errors.As(err, &found) {
		return err
	}
	for _, d := range found {
		if !t.said[d.Error()] {
			t.said[d.Error()] = true
			t.report.Mistakes = append(t.report.Mistakes, d)
			fmt.Fprintln(t.c.ErrOrStderr(), d.Error())
		}
	}
	return nil
}

func (t *tester) conclude() error {
	if t.quiet {
		if err := printJSON(t.c.OutOrStdout(), t.report); err != nil {
			return err
		}
	} else {
		t.print("%d passed, %d failed\n", t.report.Passed, t.report.Failed)
	}
	switch {
	case len(t.report.Mistakes) > 0:
		return silentError{exitMistake}
	case t.report.Failed > 0:
		return silentError{exitFailed}
	}
	return nil
}
