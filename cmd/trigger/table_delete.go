package main

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/internal/rowfilter"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
)

func newTableDelete(g *global) *cobra.Command {
	var where, strategy string
	var yes bool
	c := &cobra.Command{Use: "delete TABLE --where CONDITION", Short: "Delete a table's rows by a condition",
		Long: "delete removes the rows for which a condition over the table's columns holds, in one snapshot; where it is unknown, a\n" +
			"row stays. Files all of whose rows are meant are removed without being read. Checkpoints stay: a run does not load\n" +
			"again what was deleted. Older snapshots have the rows still, until they expire; table rollback brings them back.",
		Example: `  trigger table delete silver.flights --where 'day < date("2013-01-15") and carrier in ["9E", "AA"]'`,
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
				return deleteRows(c, g, t, policyOf(env, t.Name()), where, strategy, yes)
			})
		}}
	c.Flags().StringVar(&where, "where", "", "the condition, as in pipelines")
	c.Flags().StringVar(&strategy, "strategy", string(merge.CopyOnWrite), "copy-on-write or merge-on-read")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	_ = c.MarkFlagRequired("where")
	return c
}

func deleteRows(c *cobra.Command, g *global, t *tables.Table, policy *plan.Maintenance, where, strategy string, yes bool) error {
	if strategy != string(merge.CopyOnWrite) && strategy != string(merge.MergeOnRead) {
		return usageError{fmt.Errorf("--strategy: expected copy-on-write or merge-on-read, found %q", strategy)}
	}
	rows, err := rowsWhere(t, where, merge.Strategy(strategy))
	if err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s: delete the rows where %s\n", t.Name(), where)
	if !yes {
		if err := confirm(c); err != nil {
			return err
		}
	}
	// A delete by hand is an act of its own: giving the command again looks again.
	id := commit.ID{Writer: "delete", Token: uuid.NewString()}
	result, err := t.Delete(c.Context(), tables.CommitOptions{
		ID: id, Summary: map[string]string{"varve.where": where}, Require: timely(policy, time.Now),
	}, rows)
	if err != nil {
		return err
	}
	if g.json {
		return printJSON(c.OutOrStdout(), result)
	}
	if result.SnapshotID == 0 {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: no row is meant, nothing was changed\n", t.Name())
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: deleted %s rows; files +%d -%d, delete files +%d\n", t.Name(), count(result.Deleted),
		result.FilesAdded, result.FilesRemoved, result.DeleteFilesAdded)
	return err
}

// rowsWhere are the rows that --where means.
func rowsWhere(t *tables.Table, where string, strategy merge.Strategy) (tables.Rows, error) {
	schema, err := t.Schema()
	if err != nil {
		return tables.Rows{}, err
	}
	filter, err := rowfilter.Compile(where, schema)
	if err != nil {
		return tables.Rows{}, usageError{fmt.Errorf("--where: %w", err)}
	}
	return tables.Rows{Where: filter, May: filter.May, Rest: filter.Rest, Strategy: strategy}, nil
}
