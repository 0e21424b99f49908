package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"golang.org/x/term"

	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/internal/schedules"
	"github.com/varve-lake/varve/spec"
)

func newApply(g *global) *cobra.Command {
	var yes, check bool
	c := &cobra.Command{
		Use:   "apply",
		Short: "Make the Temporal Schedules match the pipeline files",
		Long: "apply creates, updates and removes Temporal Schedules so that they are what the files of the pipelines folder declare:\n" +
			"one for each pipeline with a schedule, and one for each table with a maintenance or a retain.\n" +
			"It shows the difference first and asks, unless --yes is given. Schedules that it did not make are left alone.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return apply(c, g, yes, check) },
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&check, "check", false, "only show the difference; exit code 5 if there is one")
	return c
}

func apply(c *cobra.Command, g *global, yes, check bool) error {
	env, err := environment.Load(g.env)
	if err != nil {
		return err
	}
	wanted, err := declared(env, c.ErrOrStderr())
	if err != nil {
		return err
	}
	s, err := connect(c.Context(), g)
	if err != nil {
		return err
	}
	defer s.close()
	on := schedules.Server{ScheduleClient: s.ScheduleClient(), Converter: s.converter}
	changes, err := on.Diff(c.Context(), wanted)
	if err != nil {
		return err
	}
	if g.json {
		if err := printJSON(c.OutOrStdout(), append([]schedules.Change{}, changes...)); err != nil { // not null
			return err
		}
	} else {
		printChanges(c.OutOrStdout(), changes)
	}
	if len(changes) == 0 {
		return nil
	}
	if check {
		return silentError{exitDifference}
	}
	if !yes {
		if err := confirm(c); err != nil {
			return err
		}
	}
	if err := on.Apply(c.Context(), changes); err != nil {
		return err
	}
	if !g.json {
		fmt.Fprintf(c.OutOrStdout(), "applied %d\n", len(changes))
	}
	if s.embedded {
		fmt.Fprintln(c.ErrOrStderr(), "The schedules are kept in .varve/ and fire while `worker --dev` runs.")
	}
	return nil
}

// declared decodes all pipeline files; a mistake in any of them stops the command, so that no schedule is removed because
// its file could not be read.
func declared(env environment.Environment, warnings io.Writer) (map[string]client.ScheduleOptions, error) {
	files, err := pipelineFiles(env.Pipelines)
	if err != nil {
		return nil, err
	}
	key := ""
	if e := env.Temporal.Encryption; e != nil {
		key = e.Key
	}
	out := map[string]client.ScheduleOptions{}
	var all spec.Diagnostics
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		p, diagnostics := spec.Decode(relative(file), data, spec.DecodeOptions{AllowUnset: true, Secrets: env.Secrets})
		if p != nil && p.Schedule != nil { // it starts runs without parameters: each must have a default
			p, diagnostics = spec.Decode(relative(file), data, spec.DecodeOptions{Secrets: env.Secrets})
		}
		if p == nil {
			all = append(all, diagnostics...)
			continue
		}
		if err := report(warnings, diagnostics); err != nil {
			return nil, err
		}
		if p.Schedule != nil {
			o := schedules.Options(p, env.Queue(), key)
			out[o.ID] = o
		}
		for _, o := range schedules.Maintenance(p, env.Queue()) {
			if _, again := out[o.ID]; again {
				all = append(all, spec.Diagnostic{Pos: p.Pos, Message: fmt.Sprintf("%s is declared by another pipeline too: one alone says how a table is maintained", o.Note)})
			}
			out[o.ID] = o
		}
	}
	return out, all.Err()
}

func printChanges(out io.Writer, changes []schedules.Change) {
	if len(changes) == 0 {
		fmt.Fprintln(out, "The schedules match the files.")
		return
	}
	sort.Slice(changes, func(i, j int) bool { return changes[i].ID < changes[j].ID })
	for _, ch := range changes {
		fmt.Fprintf(out, "%s %s\n", map[string]string{schedules.Create: "+", schedules.Update: "~", schedules.Delete: "-"}[ch.Action], ch.ID)
		for _, line := range ch.Lines {
			fmt.Fprintf(out, "    %s\n", line)
		}
	}
}

// confirm asks on a terminal; elsewhere it declines, since no one can answer.
func confirm(c *cobra.Command) error {
	if f, ok := c.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return usageError{errors.New("nothing was changed: give --yes where no one can be asked")}
	}
	fmt.Fprint(c.ErrOrStderr(), "Go on? [y/N] ")
	answer, err := bufio.NewReader(c.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was changed")
}
