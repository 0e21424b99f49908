package main

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
)

func newTableTag(g *global) *cobra.Command {
	var at, keep string
	var remove bool
	c := &cobra.Command{Use: "tag TABLE NAME", Short: "Name a version of a table, which then stays: for an audit, for a regulator",
		Long: "tag names a version of a table, the current one or that of --at. Expiry leaves it, with its files, while the tag is there:\n" +
			"for as long as --keep says, from now, or until it is removed. FOR VERSION AS OF 'NAME' reads it. Rows that are erased, or\n" +
			"deleted for their age, stay in a version that is tagged.",
		Example: "  trigger table tag gold.ledger audit-2026 --keep 10y\n  trigger table tag gold.ledger audit-2026 --remove",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: completeTables(g),
		RunE: func(c *cobra.Command, args []string) error {
			if remove && (at != "" || keep != "") {
				return usageError{fmt.Errorf("--remove goes with neither --at nor --keep")}
			}
			return withLake(c.Context(), g, func(lake *tables.Lake) error {
				t, err := lake.Table(c.Context(), args[0])
				if err != nil {
					return err
				}
				options := tables.CommitOptions{ID: commit.ID{Writer: "tag", Token: uuid.NewString()}}
				if remove {
					if err := t.Untag(c.Context(), options, args[1]); err != nil {
						return err
					}
					_, err = fmt.Fprintf(c.OutOrStdout(), "%s: tag %s is removed\n", t.Name(), args[1])
					return err
				}
				return tag(c, t, options, args[1], at, keep)
			})
		}}
	c.Flags().StringVar(&at, "at", "", "snapshot id, time, or another tag or branch (default: the current snapshot)")
	c.Flags().StringVar(&keep, "keep", "", "how long it stays, such as 10y (default: until it is removed)")
	c.Flags().BoolVar(&remove, "remove", false, "remove the tag")
	return c
}

func tag(c *cobra.Command, t *tables.Table, options tables.CommitOptions, name, at, keep string) error {
	var of tables.Version
	if at != "" {
		of = parseVersion(at)
	}
	var period time.Duration
	if keep != "" {
		var err error
		if period, err = spec.ParseDuration(keep); err != nil {
			return usageError{fmt.Errorf("--keep: %w", err)}
		}
	}
	s, err := t.Tag(c.Context(), options, name, of, period)
	if err != nil {
		return err
	}
	until := "until it is removed"
	if period > 0 {
		until = "until " + stamp(time.Now().Add(period))
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s is snapshot %d of %s, and stays %s\n", t.Name(), name, s.ID, stamp(s.Timestamp), until)
	return err
}
