package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/activities"
	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/internal/healthpage"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/tables"
)

func newTableHealth(g *global) *cobra.Command {
	var html string
	c := &cobra.Command{Use: "health [TABLE]", Short: "What shape tables are in, and what their policies would do next",
		Long: "health tells of a table, or of all: its files and their sizes, the share of small files and of deleted rows, its snapshots and\n" +
			"metadata, and what its policy would do next. It reads metadata alone. --html FILE writes a page with pictures of file\n" +
			"sizes, of the layout by partition and of commits over time, in one file. What files nothing names, table maintain --plan tells.",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeTables(g),
		RunE: func(c *cobra.Command, args []string) error {
			env, err := g.loadEnvironment()
			if err != nil {
				return err
			}
			return withLake(c.Context(), g, func(lake *tables.Lake) error {
				all, err := health(c.Context(), env, lake, args)
				if err != nil {
					return err
				}
				return printHealth(c, g, all, html, len(args) == 1)
			})
		}}
	c.Flags().StringVar(&html, "html", "", "write a page to this file")
	return c
}

func health(ctx context.Context, env environment.Environment, lake *tables.Lake, names []string) ([]healthpage.Table, error) {
	if len(names) == 0 {
		var err error
		if names, err = lake.Tables(ctx); err != nil {
			return nil, err
		}
	}
	out := make([]healthpage.Table, len(names))
	for i, name := range names {
		t, err := lake.Table(ctx, name)
		if err != nil {
			return nil, err
		}
		policy := policyOf(env, name)
		h, err := activities.Shape(ctx, t, policy)
		if err != nil {
			return nil, err
		}
		out[i] = healthpage.Table{Health: *h, Policy: policyText(policy)}
		if policy != nil {
			if out[i].Next, err = activities.Next(ctx, lake, t, *policy, time.Now()); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// policyText is a policy in a line.
func policyText(m *plan.Maintenance) string {
	if m == nil {
		return ""
	}
	span := func(seconds int64) string { return activities.Days(time.Duration(seconds) * time.Second) }
	parts := []string{"every " + span(m.Every)}
	if m.Retain != nil {
		parts = append(parts, fmt.Sprintf("rows kept for %s by %s", span(m.Retain.For), m.Retain.Column))
	}
	if m.Compact != nil {
		parts = append(parts, "files joined to "+healthpage.Bytes(m.Compact.TargetFileSize)+m.Compact.Layout())
	}
	if m.MergeDeletes != nil {
		parts = append(parts, fmt.Sprintf("deletes merged from %d of a file on", m.MergeDeletes.MinInputFiles))
	}
	if m.RemoveDangling != nil {
		parts = append(parts, fmt.Sprintf("dangling deletes removed from %d on", m.RemoveDangling.MinFiles))
	}
	if m.Manifests != nil {
		parts = append(parts, "manifests laid by partition, of "+healthpage.Bytes(m.Manifests.TargetSize))
	}
	if m.Expire != nil {
		parts = append(parts, fmt.Sprintf("snapshots kept for %s, and the last %d", span(m.Expire.OlderThan), m.Expire.KeepLast))
	}
	if m.RemoveOrphans != nil {
		parts = append(parts, "orphans removed after "+span(m.RemoveOrphans.OlderThan))
	}
	return strings.Join(parts, "; ")
}

func printHealth(c *cobra.Command, g *global, all []healthpage.Table, html string, one bool) error {
	if html != "" {
		f, err := os.Create(html)
		if err != nil {
			return err
		}
		if err := errors.Join(healthpage.Write(f, time.Now(), all), f.Close()); err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "wrote %s\n", html)
	}
	out := c.OutOrStdout()
	switch {
	case g.json && one:
		return printJSON(out, all[0])
	case g.json:
		return printJSON(out, all)
	case one:
		return printTableHealth(out, all[0])
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "table\tfiles\tsize\tsmall\tdeleted rows\tsnapshots\tmetadata\tnext")
	for _, t := range all {
		fmt.Fprintf(w, "%s\t%d\t%s\t%.0f%%\t%.1f%%\t%d\t%s\t%s\n", t.Table, t.Files, healthpage.Bytes(t.Bytes), 100*t.SmallShare, 100*t.DeletedShare, t.Snapshots,
			healthpage.Bytes(t.MetadataBytes+t.ManifestBytes), nextText(t))
	}
	return w.Flush()
}

func nextText(t healthpage.Table) string {
	if t.Policy == "" {
		return "no policy"
	}
	var due []string
	for _, s := range t.Next {
		if s.Done {
			due = append(due, s.What)
		}
	}
	return orDash(strings.Join(due, "; "))
}

func printTableHealth(out io.Writer, t healthpage.Table) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "table\t%s\nlocation\t%s\n", t.Table, t.Location)
	fmt.Fprintf(w, "data files\t%s, %s, %s rows\n", count(int64(t.Files)), healthpage.Bytes(t.Bytes), count(t.Rows))
	fmt.Fprintf(w, "small files\t%s (%.1f%%), below three quarters of %s\n", count(int64(t.SmallFiles)), 100*t.SmallShare, healthpage.Bytes(t.Target))
	fmt.Fprintf(w, "deleted rows\t%s at most (%.1f%%), by %s delete files\n", count(t.DeletedRows), 100*t.DeletedShare, count(int64(t.DeleteFiles)))
	if len(t.ClusteredBy) > 0 {
		fmt.Fprintf(w, "clustering\tdepth %.2f by %s: a value lies in so many files of its partition\n", t.Depth, strings.Join(t.ClusteredBy, ", "))
	}
	oldest := ""
	if t.Oldest != nil {
		oldest = ", the oldest of " + stamp(*t.Oldest)
	}
	fmt.Fprintf(w, "snapshots\t%d%s; %d branches and tags\n", t.Snapshots, oldest, t.Refs)
	fmt.Fprintf(w, "metadata\t%s, %d manifests of %s; %d metadata files\n", healthpage.Bytes(t.MetadataBytes), t.Manifests, healthpage.Bytes(t.ManifestBytes), t.MetadataFiles)
	policy := t.Policy
	if policy == "" {
		policy = "none is declared"
	}
	fmt.Fprintf(w, "policy\t%s\n", policy)
	if t.Files > 0 {
		fmt.Fprintln(w, "\nfile size\tfiles\t")
		most := 0
		for _, c := range t.Sizes {
			most = max(most, c.Files)
		}
		for i, c := range t.Sizes {
			label := "more"
			if c.Below > 0 {
				label = "< " + healthpage.Bytes(c.Below)
			} else if i == len(t.Sizes)-1 && i > 0 {
				label = ">= " + healthpage.Bytes(t.Sizes[i-1].Below)
			}
			fmt.Fprintf(w, "%s\t%d\t%s\n", label, c.Files, strings.Repeat("#", (c.Files*40+most-1)/most))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(t.Next) > 0 {
		fmt.Fprintln(out)
		printSteps(out, append([]wire.UpkeepStep(nil), t.Next...))
	}
	return nil
}
