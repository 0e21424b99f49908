package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/activities"
	"github.com/varve-lake/varve/internal/healthpage"
	"github.com/varve-lake/varve/internal/host"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/spec"
)

func newPlan(g *global) *cobra.Command {
	var parameters []string
	var explain bool
	c := &cobra.Command{
		Use:   "plan PIPELINE",
		Short: "Show what a run would read and write, and why; nothing is changed",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			name, err := usePipelineFile(g, args[0])
			if err != nil {
				return err
			}
			values, err := parseParameters(parameters)
			if err != nil {
				return err
			}
			return withActivities(c.Context(), g, func(a *activities.Activities) error {
				p, diagnostics := a.Plan(c.Context(), name, values)
				if err := report(c.ErrOrStderr(), diagnostics); err != nil {
					return err
				}
				would, err := a.Explain(c.Context(), p)
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(c.OutOrStdout(), planned{p, would})
				}
				printPlan(c.OutOrStdout(), p, would, explain)
				return nil
			})
		},
	}
	g.branchFlag(c)
	c.Flags().StringArrayVarP(&parameters, "parameter", "p", nil, "name=value; may be given again")
	c.Flags().BoolVar(&explain, "explain", false, "also the columns, the steps, and which expressions have no vectorised kernel")
	return c
}

// planned is what plan --json prints: the plan, and what a run of it would do now.
type planned struct {
	Plan *plan.Plan               `json:"plan"`
	Run  []activities.Explanation `json:"run"`
}

// report prints warnings and returns the errors.
func report(out io.Writer, diagnostics spec.Diagnostics) error {
	if err := diagnostics.Err(); err != nil {
		return err
	}
	if len(diagnostics) > 0 {
		fmt.Fprintln(out, diagnostics.Error())
	}
	return nil
}

// withActivities opens the activities on the lake, without Temporal.
func withActivities(ctx context.Context, g *global, do func(*activities.Activities) error) error {
	env, err := g.loadEnvironment()
	if err != nil {
		return err
	}
	lake, err := env.OpenLake(ctx)
	if err != nil {
		return err
	}
	if err := lake.Close(); err != nil {
		return err
	}
	a, err := activities.Open(ctx, host.Config(env))
	if err != nil {
		return err
	}
	return errors.Join(do(a), a.Close())
}

func relative(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
			return rel
		}
	}
	return path
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func describeColumns(columns []plan.Column) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = c.Name + " " + c.Type
		if c.Required {
			parts[i] += " required"
		}
	}
	return strings.Join(parts, ", ")
}

// printPlan says for each table what a run would read and why, and how its rows would be written.
func printPlan(out io.Writer, p *plan.Plan, would []activities.Explanation, explain bool) {
	fmt.Fprintf(out, "pipeline %s, %d table%s, environment %s\n", p.Pipeline, len(p.Tables), plural(len(p.Tables)), p.Environment)
	builds := 0
	for i, t := range p.Tables {
		e := would[i]
		if e.Builds {
			builds++
		}
		fmt.Fprintf(out, "\n%s\n", t.Name)
		line := func(word, format string, args ...any) {
			fmt.Fprintf(out, "  %-8s %s\n", word, fmt.Sprintf(format, args...))
		}
		line("from", "%s", describeInput(t))
		line("reads", "%s", describeReads(e))
		line("writes", "%s", e.Writes)
		for _, change := range e.Changes {
			line("change", "%s", change)
		}
		for _, warning := range e.Warnings {
			line("warning", "%s", warning)
		}
		if explain {
			explainTable(line, t, e)
		}
	}
	fmt.Fprintf(out, "\na run would build %d of %d table%s\n", builds, len(p.Tables), plural(len(p.Tables)))
}

// explainTable says what the rows go through, and which parts of it are slow.
func explainTable(line func(word, format string, args ...any), t plan.Table, e activities.Explanation) {
	for _, s := range t.Steps {
		line("step", "%s", describeStep(s))
	}
	for _, x := range t.Expect {
		line("expect", "%s: %s, otherwise %s", x.Name, x.That, x.Otherwise)
	}
	for _, f := range e.Fallbacks {
		line("slow", "%s", f)
	}
	line("columns", "%s", describeColumns(t.Columns))
}

func describeReads(e activities.Explanation) string {
	if !e.Builds {
		return "nothing: " + e.Reads
	}
	if e.Bytes > 0 {
		return fmt.Sprintf("%s, %s", e.Reads, healthpage.Bytes(e.Bytes))
	}
	return e.Reads
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func describeInput(t plan.Table) string {
	switch {
	case t.Files != nil && t.Write.Mode == "replace":
		return fmt.Sprintf("files %s (%s), all of them when one has changed", t.Files.Glob, t.Files.Format)
	case t.Files != nil:
		return fmt.Sprintf("files %s (%s), each once", t.Files.Glob, t.Files.Format)
	case t.From != nil && t.From.Read == "appends":
		return t.From.Table + ", what was added since the last commit"
	case t.From != nil:
		return t.From.Table + ", all of it"
	case t.SQL != nil:
		return fmt.Sprintf("%s, by SQL (%s)", strings.Join(t.SQL.Reads, ", "), t.SQL.Engine)
	}
	return "nothing"
}

func describeStep(s plan.Step) string {
	assigns := func(verb string, list []plan.Assign) string {
		parts := make([]string, len(list))
		for i, a := range list {
			parts[i] = a.Name + ": " + a.Value
		}
		return verb + " " + strings.Join(parts, "; ")
	}
	switch {
	case s.Filter != "":
		return "filter " + s.Filter
	case s.Derive != nil:
		return assigns("derive", s.Derive)
	case s.Rename != nil:
		return assigns("rename", s.Rename)
	case s.Cast != nil:
		return assigns("cast", s.Cast)
	case s.Select != nil:
		return "select " + strings.Join(s.Select, ", ")
	case s.Drop != nil:
		return "drop " + strings.Join(s.Drop, ", ")
	case s.Dedupe != nil:
		return fmt.Sprintf("dedupe by %s, keep %s", strings.Join(s.Dedupe.By, ", "), s.Dedupe.Keep)
	}
	return ""
}
