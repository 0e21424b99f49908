package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/internal/lakesql"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/transforms/sql"
)

func newQuery(g *global) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "query SQL",
		Short: "Query the lake's tables in SQL (DuckDB's), also as of a snapshot or a time",
		Example: `  trigger query "SELECT * FROM gold.carrier_daily LIMIT 5"
  trigger query "SELECT count(*) FROM silver.flights FOR VERSION AS OF 4711"
  trigger query "SELECT count(*) FROM silver.flights FOR TIMESTAMP AS OF '2026-01-01 00:00:00'"
  trigger query "SELECT count(*) FROM silver.flights FOR VERSION AS OF 'a tag, a branch, or on Nessie the hash of a commit'"`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if g.json {
				format = "json"
			}
			return runQuery(c.Context(), g, c.OutOrStdout(), args[0], format)
		},
	}
	g.branchFlag(c)
	c.Flags().StringVar(&format, "format", "table", "table, csv or json (an object a line)")
	return c
}

func runQuery(ctx context.Context, g *global, out io.Writer, query, format string) (err error) {
	env, err := g.loadEnvironment()
	if err != nil {
		return err
	}
	lake, err := env.OpenLake(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lake.Close()) }()
	engine, err := sql.Open(sql.Options{MemoryLimit: env.Limits.Memory, Threads: env.Limits.Parallelism, TempDir: env.Lake.TempDir,
		Folders: lakesql.Folders(lake)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	rows, err := engine.Run(ctx, query, lakesql.New(lake, nil))
	if err != nil {
		return queryFailure(err)
	}
	defer rows.Release()
	_, err = printRows(out, rows, format)
	return queryFailure(err)
}

// queryFailure gives a mistake in the query its exit code.
func queryFailure(err error) error {
	var mistake *sql.Error
	if errors.As(err, &mistake) && mistake.Kind != sql.Data && mistake.Kind != sql.Memory || errors.Is(err, tables.ErrNoSuchTable) || errors.Is(err, tables.ErrNoSuchSnapshot) {
		return codedError{err, exitMistake}
	}
	return err
}

// printHead writes a table's first n rows.
func printHead(ctx context.Context, out io.Writer, lake *tables.Lake, name string, n int64, format string) error {
	t, err := lake.Table(ctx, name)
	if err != nil {
		return tableFailure(err)
	}
	rows, err := t.Scan(ctx, tables.ScanOptions{Limit: n})
	if err != nil {
		return fmt.Errorf("head of %s: %w", name, err)
	}
	defer rows.Release()
	_, err = printRows(out, rows, format)
	return err
}

func tableFailure(err error) error {
	if errors.Is(err, tables.ErrNoSuchTable) || errors.Is(err, tables.ErrNoSuchSnapshot) {
		return codedError{err, exitMistake}
	}
	return err
}
