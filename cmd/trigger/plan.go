package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/activities"
	"github.com/varve-lake/varve/internal/environment"
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
				if g.json {
					return printJSON(c.OutOrStdout(), p)
				}
				return printPlan(c.Context(), c.OutOrStdout(), a, p, explain)
			})
		},
	}
	c.Flags().StringArrayVarP(&parameters, "parameter", "p", nil, "name=value; may be given again")
	c.Flags().BoolVar(&explain, "explain", false, "also the columns, the steps, and which expressions have no vectorised kernel")
	return c
}

func newValidate(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "validate [FILE...]",
		Short: "Check pipeline files (default: all of the folder) against the language, the data and the lake",
		RunE: func(c *cobra.Command, args []string) error {
			files := args
			if len(files) == 0 {
				env, err := environment.Load(g.env)
				if err != nil {
					return err
				}
				if files, err = pipelineFiles(env.Pipelines); err != nil {
					return err
				}
			}
			return validateAll(c, g, files)
		},
	}
}

// pipelineFiles lists the *.yaml and *.yml files of a folder, sorted.
func pipelineFiles(dir string) ([]string, error) {
	var out []string
	for _, pattern := range []string{"*.yaml", "*.yml"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		return nil, codedError{fmt.Errorf("no pipelines (*.yaml) in %s", dir), exitMistake}
	}
	sort.Strings(out)
	return out, nil
}

func validateAll(c *cobra.Command, g *global, files []string) error {
	failed := false
	for _, file := range files {
		here := *g
		name, err := usePipelineFile(&here, file)
		if err == nil {
			err = withActivities(c.Context(), &here, func(a *activities.Activities) error {
				_, diagnostics := a.Plan(c.Context(), name, nil)
				return report(c.ErrOrStderr(), diagnostics)
			})
		}
		var found spec.Diagnostics
		switch {
		case errors.As(err, &found):
			fmt.Fprintln(c.ErrOrStderr(), found.Error())
			failed = true
		case err != nil:
			return err
		default:
			fmt.Fprintf(c.OutOrStdout(), "%s: ok\n", relative(file))
		}
	}
	if failed {
		return silentError{exitMistake}
	}
	return nil
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
	env, err := environment.Load(g.env)
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
	a, err := activities.Open(ctx, activities.Config{
		PipelinesDir: env.Pipelines, Environment: env.Name, Lake: env.Lake, WorkDir: filepath.Join(env.Dir, "tmp"),
		Memory: env.Limits.Memory, Parallelism: env.Limits.Parallelism,
	})
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

// printPlan says for each table what it reads and how its rows are written.
func printPlan(_ context.Context, out io.Writer, a *activities.Activities, p *plan.Plan, explain bool) error {
	fmt.Fprintf(out, "pipeline %s, %d tables, environment %s\n", p.Pipeline, len(p.Tables), p.Environment)
	for _, t := range p.Tables {
		fmt.Fprintf(out, "\n%s\n", t.Name)
		fmt.Fprintf(out, "  reads   %s\n", describeInput(t))
		fmt.Fprintf(out, "  writes  %s\n", describeWrite(t))
		if len(t.PartitionBy) > 0 {
			fmt.Fprintf(out, "  by      %s\n", strings.Join(t.PartitionBy, ", "))
		}
		if !explain {
			continue
		}
		for _, s := range t.Steps {
			fmt.Fprintf(out, "  step    %s\n", describeStep(s))
		}
		for _, e := range t.Expect {
			fmt.Fprintf(out, "  expect  %s: %s, otherwise %s\n", e.Name, e.That, e.Otherwise)
		}
		fmt.Fprintf(out, "  columns %s\n", describeColumns(t.Columns))
	}
	return nil
}

func describeInput(t plan.Table) string {
	switch {
	case t.Files != nil:
		return fmt.Sprintf("%s (%s), each file once", t.Files.Glob, t.Files.Format)
	case t.From != nil && t.From.Read == "appends":
		return t.From.Table + ", what was added since the last commit"
	case t.From != nil:
		return t.From.Table + ", all of it"
	case t.SQL != nil:
		return fmt.Sprintf("%s, by SQL (%s)", strings.Join(t.SQL.Reads, ", "), t.SQL.Engine)
	}
	return "nothing"
}

func describeWrite(t plan.Table) string {
	w := t.Write
	switch {
	case w.Merge != nil && len(w.Merge.On) > 0:
		return fmt.Sprintf("by MERGE on %s, %s", strings.Join(w.Merge.On, ", "), w.Merge.Strategy)
	case w.Merge != nil:
		return fmt.Sprintf("by MERGE on %s, %s", w.Merge.Predicate, w.Merge.Strategy)
	case w.Mode == "replace_partitions":
		return "by replacing the partitions that it has rows for"
	case w.Mode == "replace":
		return "by replacing the table"
	}
	return "by append"
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
