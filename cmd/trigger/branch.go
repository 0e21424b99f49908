package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/tables"
)

func newBranch(g *global) *cobra.Command {
	c := &cobra.Command{Use: "branch", Short: "Branches of the whole catalog, which Nessie has: build on one, merge it when it is good",
		Long: "A branch of the catalog has all its tables, and what is built on it others do not see before it is merged:\n" +
			"`trigger run PIPELINE --branch NAME` builds on one, and with --merge merges it when all is built.",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())}
			}
			return c.Help()
		}}
	c.AddCommand(newBranchList(g), newBranchCreate(g), newBranchMerge(g), newBranchDelete(g))
	return c
}

func newBranchList(g *global) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "Branches and tags, the configured branch first", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		return withLake(c.Context(), g, func(lake *tables.Lake) error {
			all, err := lake.Branches(c.Context())
			if err != nil {
				return branchFailure(err)
			}
			if g.json {
				return printJSON(c.OutOrStdout(), all)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "name\tkind\tcommit")
			for _, r := range all {
				kind := "branch"
				switch {
				case r.Tag:
					kind = "tag"
				case r.Name == lake.Catalog().Configured():
					kind = "branch, configured"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", r.Name, kind, r.Hash)
			}
			return w.Flush()
		})
	}}
}

func newBranchCreate(g *global) *cobra.Command {
	var from string
	c := &cobra.Command{Use: "create NAME", Short: "Make a branch of where another one stands", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		return withLake(c.Context(), g, func(lake *tables.Lake) error {
			of := firstNonEmpty(from, lake.Catalog().Configured())
			made, err := lake.Catalog().CreateBranch(c.Context(), args[0], of)
			if err != nil {
				return branchFailure(err)
			}
			if !made {
				return codedError{fmt.Errorf("branch %s is there already", args[0]), exitMistake}
			}
			fmt.Fprintf(c.OutOrStdout(), "made branch %s of %s\n", args[0], of)
			return nil
		})
	}}
	c.Flags().StringVar(&from, "from", "", "branch or tag (default: the configured branch)")
	return c
}

func newBranchMerge(g *global) *cobra.Command {
	var into, at string
	var keep bool
	c := &cobra.Command{Use: "merge NAME", Short: "Make what was built on a branch another one's, and remove the branch",
		Long: "merge commits what was committed to the branch since it was made to another one, all tables at once. Where both have\n" +
			"changed a table nothing is merged: build again on a new branch. With --at it is what the branch had at a commit, as\n" +
			"`trigger branch list` told it before the branch was looked at: what came since stays on the branch.",
		Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
			return withLake(c.Context(), g, func(lake *tables.Lake) error { return mergeBranch(c, lake, args[0], into, at, keep) })
		}}
	c.Flags().StringVar(&at, "at", "", "commit of the branch up to which it is merged (default: where it stands)")
	c.Flags().StringVar(&into, "into", "", "branch to merge into (default: the configured branch)")
	c.Flags().BoolVar(&keep, "keep", false, "keep the branch")
	return c
}

func mergeBranch(c *cobra.Command, lake *tables.Lake, name, into, at string, keep bool) error {
	into = firstNonEmpty(into, lake.Catalog().Configured())
	if name == into && name != "" {
		return usageError{fmt.Errorf("branch %s cannot be merged into itself", name)}
	}
	var seen []string
	if at != "" {
		seen = []string{at}
	}
	merged, err := lake.Catalog().MergeBranch(c.Context(), name, into, seen...)
	if err != nil {
		return branchFailure(err)
	}
	if merged.Changed {
		fmt.Fprintf(c.OutOrStdout(), "merged %s into %s\n", name, into)
	} else {
		fmt.Fprintf(c.OutOrStdout(), "%s has nothing that %s has not\n", name, into)
	}
	if keep {
		return nil
	}
	err = lake.Catalog().DropBranch(c.Context(), name, merged.Hash)
	if errors.Is(err, tables.ErrConflict) {
		return fmt.Errorf("branch %s is kept, since something was committed to it after what was merged: merge it again: %w", name, err)
	}
	return err
}

func newBranchDelete(g *global) *cobra.Command {
	var yes bool
	c := &cobra.Command{Use: "delete NAME", Short: "Remove a branch, with what was built on it and not merged", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		return withLake(c.Context(), g, func(lake *tables.Lake) error {
			if err := lake.Catalog().Knows(c.Context(), args[0]); err != nil {
				return branchFailure(err)
			}
			if args[0] == lake.Catalog().Configured() {
				return usageError{fmt.Errorf("branch %s is the configured one", args[0])}
			}
			if !yes {
				if err := confirm(c); err != nil {
					return err
				}
			}
			return lake.Catalog().DropBranch(c.Context(), args[0], "")
		})
	}}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// branchFailure gives what a person got wrong its exit code.
func branchFailure(err error) error {
	if errors.Is(err, tables.ErrNoBranches) || errors.Is(err, tables.ErrAbsent) {
		return codedError{err, exitMistake}
	}
	return err
}

// branchFlag is the flag of commands that look at the lake.
func (g *global) branchFlag(c *cobra.Command) {
	c.PersistentFlags().StringVar(&g.branch, "branch", "", "branch of the catalog, where it has branches (default: catalog.branch of varve.yaml, then the catalog's own)")
}

// loadEnvironment is the environment with its catalog at the branch that the command names.
func (g *global) loadEnvironment() (environment.Environment, error) {
	env, err := environment.Load(g.env)
	env.Lake.Catalog.Branch = firstNonEmpty(g.branch, env.Lake.Catalog.Branch)
	return env, err
}
