package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/internal/healthpage"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
)

func newTable(g *global) *cobra.Command {
	c := &cobra.Command{Use: "table", Short: "Look into tables, maintain them, roll them back, delete rows",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 { // which cobra would answer with the help, as if all were well
				return usageError{fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())}
			}
			return c.Help()
		}}
	g.branchFlag(c)
	c.AddCommand(newTableList(g), newTableShow(g), newTableHead(g), newTableSnapshots(g), newTableRollback(g), newTableDelete(g), newTableLookup(g), newTableMaintain(g), newTableTag(g), newTableErase(g), newTableHealth(g))
	return c
}

// withLake opens the lake for one command.
func withLake(ctx context.Context, g *global, do func(*tables.Lake) error) (err error) {
	env, err := g.loadEnvironment()
	if err != nil {
		return err
	}
	lake, err := env.OpenLake(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lake.Close()) }()
	return tableFailure(do(lake))
}

func newTableList(g *global) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "The lake's tables", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		return withLake(c.Context(), g, func(lake *tables.Lake) error {
			names, err := lake.Tables(c.Context())
			if err != nil {
				return err
			}
			infos := make([]*tables.Info, len(names))
			for i, name := range names {
				t, err := lake.Table(c.Context(), name)
				if err != nil {
					return err
				}
				if infos[i], err = t.Info(c.Context()); err != nil {
					return err
				}
			}
			if g.json {
				return printJSON(c.OutOrStdout(), infos)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "table\trows\tdata files\tdelete files\tsize\tsnapshots\tpartitioned by\tdoc")
			for _, t := range infos {
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%d\t%s\t%s\n", t.Name, count(t.Rows), t.DataFiles, t.DeleteFiles, healthpage.Bytes(t.Bytes), t.Snapshots, strings.Join(t.PartitionBy, ", "), firstLine(t.Doc))
			}
			return w.Flush()
		})
	}}
}

func newTableShow(g *global) *cobra.Command {
	return &cobra.Command{Use: "show TABLE", Short: "A table's columns, layout, properties and partitions", Args: cobra.ExactArgs(1),
		ValidArgsFunction: completeTables(g),
		RunE: func(c *cobra.Command, args []string) error {
			return withLake(c.Context(), g, func(lake *tables.Lake) error {
				t, err := lake.Table(c.Context(), args[0])
				if err != nil {
					return err
				}
				info, err := t.Info(c.Context())
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(c.OutOrStdout(), info)
				}
				return printInfo(c.OutOrStdout(), info)
			})
		}}
}

func printInfo(out io.Writer, t *tables.Info) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "table\t%s\nlocation\t%s\nuuid\t%s\nformat version\t%d\n", t.Name, t.Location, t.UUID, t.FormatVersion)
	for _, line := range [][2]string{{"doc", t.Doc}, {"owner", t.Owner}, {"identifier", strings.Join(t.Identifier, ", ")},
		{"partitioned by", strings.Join(t.PartitionBy, ", ")}, {"sorted by", strings.Join(t.SortBy, ", ")}} {
		if line[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
		}
	}
	fmt.Fprintf(w, "snapshot\t%s of %d\nrows\t%s\nfiles\t%d data, %d delete, %s\n", snapshot(t.SnapshotID), t.Snapshots, count(t.Rows), t.DataFiles, t.DeleteFiles, healthpage.Bytes(t.Bytes))
	fmt.Fprintln(w, "\ncolumn\ttype\t\tdoc")
	for _, c := range t.Columns {
		required := ""
		if c.Required {
			required = "required"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Name, c.Type, required, c.Doc)
	}
	if len(t.Properties) > 0 {
		fmt.Fprintln(w, "\nproperty\tvalue")
		for _, k := range sortedKeys(t.Properties) {
			fmt.Fprintf(w, "%s\t%s\n", k, clip(t.Properties[k]))
		}
	}
	if len(t.Partitions) > 0 {
		fmt.Fprintln(w, "\npartition\trows\tfiles\tsize")
		for _, p := range t.Partitions {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", p.Path, count(p.Rows), p.Files, healthpage.Bytes(p.Bytes))
		}
	}
	return w.Flush()
}

func newTableHead(g *global) *cobra.Command {
	var n int64
	var format string
	c := &cobra.Command{Use: "head TABLE", Short: "A table's first rows", Args: cobra.ExactArgs(1), ValidArgsFunction: completeTables(g),
		RunE: func(c *cobra.Command, args []string) error {
			if g.json {
				format = "json"
			}
			return withLake(c.Context(), g, func(lake *tables.Lake) error {
				return printHead(c.Context(), c.OutOrStdout(), lake, args[0], n, format)
			})
		}}
	c.Flags().Int64VarP(&n, "rows", "n", 10, "how many")
	c.Flags().StringVar(&format, "format", "table", "table, csv or json (an object a line)")
	return c
}

func newTableSnapshots(g *global) *cobra.Command {
	var n int
	c := &cobra.Command{Use: "snapshots TABLE", Short: "A table's snapshots, the newest first", Args: cobra.ExactArgs(1), ValidArgsFunction: completeTables(g),
		RunE: func(c *cobra.Command, args []string) error {
			return withLake(c.Context(), g, func(lake *tables.Lake) error {
				t, err := lake.Table(c.Context(), args[0])
				if err != nil {
					return err
				}
				snapshots, err := t.History(c.Context(), n)
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(c.OutOrStdout(), append([]tables.Snapshot{}, snapshots...)) // not null
				}
				w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
				commit := ""
				if len(snapshots) > 0 && snapshots[0].Commit != "" {
					commit = "\tcommit" // of the catalog's own history
				}
				fmt.Fprintln(w, "snapshot\ttime\toperation\tadded rows\tdeleted rows\ttotal rows\trefs\trun"+commit)
				for i := len(snapshots) - 1; i >= 0; i-- {
					s := snapshots[i]
					fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Timestamp.UTC().Format("2006-01-02 15:04:05.000"), s.Operation,
						summaryCount(s, "added-records"), summaryDeleted(s), summaryCount(s, "total-records"), orDash(strings.Join(s.Refs, " ")), s.Summary["varve.run"]+strings.TrimSuffix("\t"+s.Commit, "\t"))
				}
				return w.Flush()
			})
		}}
	c.Flags().IntVarP(&n, "snapshots", "n", 0, "how many at most, the newest (default: all)")
	return c
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func summaryCount(s tables.Snapshot, key string) string {
	n, err := strconv.ParseInt(s.Summary[key], 10, 64)
	if err != nil {
		return "-"
	}
	return count(n)
}

// summaryDeleted adds what was removed with files and what position deletes mark.
func summaryDeleted(s tables.Snapshot) string {
	var sum int64
	for _, key := range []string{"deleted-records", "added-position-deletes"} {
		if n, err := strconv.ParseInt(s.Summary[key], 10, 64); err == nil {
			sum += n
		}
	}
	return count(sum)
}

func newTableRollback(g *global) *cobra.Command {
	var to string
	var yes bool
	c := &cobra.Command{Use: "rollback TABLE --to SNAPSHOT", Short: "Make an older snapshot the current one, with its checkpoint",
		Long: "rollback makes an older snapshot the table's current one. The build's checkpoint goes back with it, so the next run\n" +
			"loads again what came after. --to takes a snapshot's id, a time (2026-01-01 or RFC 3339), or a tag or branch.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: completeTables(g),
		RunE: func(c *cobra.Command, args []string) error {
			return withLake(c.Context(), g, func(lake *tables.Lake) error { return rollback(c, lake, args[0], to, yes) })
		}}
	c.Flags().StringVar(&to, "to", "", "snapshot id, time, tag or branch")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	_ = c.MarkFlagRequired("to")
	return c
}

func rollback(c *cobra.Command, lake *tables.Lake, name, to string, yes bool) error {
	t, err := lake.Table(c.Context(), name)
	if err != nil {
		return err
	}
	version := parseVersion(to)
	target, err := t.At(version)
	if err != nil {
		return err
	}
	now, _ := t.Head()
	fmt.Fprintf(c.ErrOrStderr(), "%s: from snapshot %d of %s back to %d of %s\n", name, now.ID, stamp(now.Timestamp), target.ID, stamp(target.Timestamp))
	if !yes {
		if err := confirm(c); err != nil {
			return err
		}
	}
	token := uuid.NewString() // a rollback by hand is an act of its own: giving the command again rolls back again
	result, err := t.Rollback(c.Context(), tables.CommitOptions{ID: commit.ID{Writer: "rollback", Token: token}}, version)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s is at snapshot %d\n", name, result.SnapshotID)
	return nil
}

// parseVersion takes a snapshot id, a time or the name of a tag or branch.
func parseVersion(s string) tables.Version {
	if id, err := strconv.ParseInt(s, 10, 64); err == nil {
		return tables.Version{SnapshotID: &id}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02"} {
		if ts, err := time.Parse(layout, s); err == nil {
			return tables.Version{Timestamp: &ts}
		}
	}
	return tables.Version{Ref: s}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// completeTables completes the names of tables in a shell.
func completeTables(g *global) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		var names []string
		if len(args) == 0 {
			_ = withLake(c.Context(), g, func(lake *tables.Lake) (err error) {
				names, err = lake.Tables(c.Context())
				return err
			})
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func clip(s string) string {
	if r := []rune(firstLine(s)); len(r) > 100 {
		return string(r[:99]) + "…"
	}
	return firstLine(s)
}
