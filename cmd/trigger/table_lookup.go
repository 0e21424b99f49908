package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/tables"
)

func newTableLookup(g *global) *cobra.Command {
	var at, format string
	var columns []string
	var limit int64
	var stats bool
	c := &cobra.Command{Use: "lookup TABLE COLUMN=VALUE...", Short: "The rows of a key, also as of a snapshot or a time",
		Long: "lookup reads the rows that have the values given, of one column or of several. It reads only what may hold them: files by\n" +
			"partition and bounds, row groups by statistics and Bloom filters, and of these the pages that hold the key.\n" +
			"--at takes a snapshot's id, a time (2026-01-01 or RFC 3339), or a tag or branch.",
		Example: "  trigger table lookup gold.transactions user_id=42\n" +
			"  trigger table lookup gold.transactions user_id=42 day=2026-01-31 --at 2026-02-01 --columns ts,amount",
		Args: cobra.MinimumNArgs(2), ValidArgsFunction: completeTables(g),
		RunE: func(c *cobra.Command, args []string) error {
			key, err := parseKey(args[1:])
			if err != nil {
				return err
			}
			if g.json {
				format = "json"
			}
			opts := tables.LookupOptions{Columns: columns, Limit: limit}
			if at != "" {
				opts.Version = parseVersion(at)
			}
			return withLake(c.Context(), g, func(lake *tables.Lake) error {
				return lookup(c.Context(), c, lake, args[0], key, opts, format, stats)
			})
		}}
	c.Flags().StringVar(&at, "at", "", "snapshot id, time, tag or branch")
	c.Flags().StringVar(&at, "as-of", "", "the same as --at")
	c.MarkFlagsMutuallyExclusive("at", "as-of")
	c.Flags().StringSliceVar(&columns, "columns", nil, "columns to show, in this order; all without it")
	c.Flags().Int64VarP(&limit, "rows", "n", 0, "how many at most; all without it")
	c.Flags().StringVar(&format, "format", "table", "table, csv or json (an object a line)")
	c.Flags().BoolVar(&stats, "stats", false, "say on standard error what was read and what was left out")
	return c
}

// parseKey reads column=value; all behind the first equals sign is the value.
func parseKey(args []string) (map[string]any, error) {
	key := map[string]any{}
	for _, arg := range args {
		column, value, found := strings.Cut(arg, "=")
		if !found || column == "" {
			return nil, usageError{fmt.Errorf("%q: expected COLUMN=VALUE", arg)}
		}
		if _, twice := key[column]; twice {
			return nil, usageError{fmt.Errorf("column %q is given twice", column)}
		}
		key[column] = value
	}
	return key, nil
}

func lookup(ctx context.Context, c *cobra.Command, lake *tables.Lake, name string, key map[string]any, opts tables.LookupOptions, format string, stats bool) error {
	t, err := lake.Table(ctx, name)
	if err != nil {
		return err
	}
	rows, err := t.Lookup(ctx, key, opts)
	if errors.Is(err, tables.ErrKey) {
		return codedError{err, exitMistake}
	}
	if err != nil {
		return err
	}
	defer rows.Release()
	if _, err := printRows(c.OutOrStdout(), rows, format); err != nil || !stats {
		return err
	}
	return printJSON(c.ErrOrStderr(), rows.Stats())
}
