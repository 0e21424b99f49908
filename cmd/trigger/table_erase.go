package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

func newTableErase(g *global) *cobra.Command {
	var where string
	var yes, check bool
	c := &cobra.Command{Use: "erase TABLE --where CONDITION", Short: "Erase rows for good, and say what still holds them and until when",
		Long: "erase deletes the rows for which a condition over the table's columns holds, for a request to be forgotten: data files that\n" +
			"have them are written anew, so that the current version does not. Then it looks into the files of every snapshot,\n" +
			"branch and tag and reports those that still hold such rows, what keeps each, and until when by the table's policy.\n" +
			"--check only reports. Tables that were built from this one are not looked at: give the command for each.",
		Example: `  trigger table erase silver.users --where 'user_id == 42'`,
		Args:    cobra.ExactArgs(1), ValidArgsFunction: completeTables(g),
		RunE: func(c *cobra.Command, args []string) error {
			env, err := g.loadEnvironment()
			if err != nil {
				return err
			}
			return withLake(c.Context(), g, func(lake *tables.Lake) error {
				t, err := lake.Table(c.Context(), args[0])
				if err != nil {
					return err
				}
				return erase(c, g, env, t, where, yes, check)
			})
		}}
	c.Flags().StringVar(&where, "where", "", "the condition, as in pipelines")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&check, "check", false, "erase nothing, only report what holds such rows")
	_ = c.MarkFlagRequired("where")
	return c
}

// erased is what the command prints.
type erased struct {
	Table   string          `json:"table"`
	Where   string          `json:"where"`
	Deleted int64           `json:"deleted"`
	Holders []tables.Holder `json:"holders"`
	// Branches says that the catalog's other branches, and its history, could not be looked into.
	Branches string `json:"branches,omitempty"`
	// Beside says what may hold values of the rows and was not looked into.
	Beside []string `json:"beside,omitempty"`
}

func erase(c *cobra.Command, g *global, env environment.Environment, t *tables.Table, where string, yes, check bool) error {
	rows, err := rowsWhere(t, where, merge.CopyOnWrite)
	if err != nil {
		return err
	}
	policy := policyOf(env, t.Name())
	out := erased{Table: t.Name(), Where: where, Holders: []tables.Holder{}}
	if !check {
		fmt.Fprintf(c.ErrOrStderr(), "%s: erase the rows where %s\n", t.Name(), where)
		if !yes {
			if err := confirm(c); err != nil {
				return err
			}
		}
		if out.Deleted, err = eraseRows(c.Context(), t, rows, policy); err != nil {
			return err
		}
	}
	if t, err = t.Refresh(c.Context()); err != nil {
		return err
	}
	held, err := t.Held(c.Context(), rows, expiryOf(policy))
	if err != nil {
		return err
	}
	out.Holders, out.Beside = append(out.Holders, held.Holders...), held.Beside
	if t.HeadOnly() {
		out.Branches = "the catalog's other branches and its history were not looked into: they may hold such rows until Nessie's garbage collector has taken them"
	}
	if g.json {
		return printJSON(c.OutOrStdout(), out)
	}
	printErased(c.OutOrStdout(), out, check, policy != nil && policy.Expire != nil)
	return nil
}

// eraseRows deletes by writing files anew. An erasure by hand is an act of its own: giving the command again looks again.
func eraseRows(ctx context.Context, t *tables.Table, rows tables.Rows, policy *plan.Maintenance) (int64, error) {
	id := commit.ID{Writer: "erase", Token: uuid.NewString()}
	// The condition itself may name whom it is about, so that the summary, which outlives the rows, does not have it.
	result, err := t.Delete(ctx, tables.CommitOptions{
		ID: id, Summary: map[string]string{maintain.ErasureKey: "true"}, Require: timely(policy, time.Now),
	}, rows)
	return result.Deleted, err
}

func printErased(out io.Writer, e erased, check, maintained bool) {
	if !check {
		fmt.Fprintf(out, "%s: erased %s rows\n", e.Table, count(e.Deleted))
	}
	if e.Branches != "" {
		fmt.Fprintln(out, e.Branches)
	}
	if len(e.Beside) > 0 {
		defer fmt.Fprintf(out, "Not looked into, and may hold values of such rows:\n  %s\n", strings.Join(e.Beside, "\n  "))
	}
	if len(e.Holders) == 0 {
		fmt.Fprintf(out, "%s: no file of any snapshot, branch or tag holds such rows\n", e.Table)
		return
	}
	fmt.Fprintln(out, "\nStill held by:")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "snapshot\ttime\trefs\trows\tfiles\tuntil\tkept by")
	for _, h := range e.Holders {
		until := "-"
		if h.Until != nil {
			until = stamp(*h.Until)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%s\t%s\n", h.ID, stamp(h.Timestamp), orDash(strings.Join(h.Refs, " ")), count(h.Rows), h.Files, until, h.Why)
	}
	_ = w.Flush()
	if !maintained {
		fmt.Fprintln(out, "No pipeline declares maintenance.expire_snapshots for this table: snapshots go when something expires them.")
	}
}
