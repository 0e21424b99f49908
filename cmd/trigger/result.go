package main

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/workflows"
)

// printResult is the table at the end of a run, and below it what went wrong or wants attention.
func printResult(out io.Writer, r *workflows.RunResult) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "table\tstate\tread\tinserted\tupdated\tdeleted\tquarantined\tdropped\tfiles\tsnapshot\tseconds\t")
	for _, t := range r.Tables {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t\n", t.Table, t.State, count(t.RowsRead), count(t.Inserted),
			count(t.Updated), count(t.Deleted), count(t.Quarantined), count(t.Dropped+t.Duplicates), filesChanged(t), snapshot(t.SnapshotID), t.Seconds)
	}
	_ = w.Flush()
	for _, t := range r.Tables {
		printNotes(out, t)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(out, "warning: %s\n", warning)
	}
	where := ""
	switch {
	case r.Merged != "":
		where = fmt.Sprintf(", on branch %s, which is merged into %s", r.Branch, r.Merged)
	case r.Branch != "":
		where = fmt.Sprintf(", on branch %s, which is not merged", r.Branch)
	}
	fmt.Fprintf(out, "%s in %.1fs%s\n", summary(r.Tables), r.Seconds, where)
}

func printNotes(out io.Writer, t wire.TableResult) {
	switch t.State {
	case wire.StateFailed, wire.StateCancelled:
		fmt.Fprintf(out, "%s: %s: %s\n", t.Table, t.State, t.Reason)
	case wire.StateSkipped: // the reason says so
		fmt.Fprintf(out, "%s: %s\n", t.Table, t.Reason)
	case wire.StateRunning:
		if t.Reason != "" {
			fmt.Fprintf(out, "%s: %s\n", t.Table, t.Reason)
		}
	}
	if t.MergeGroups > 0 {
		fmt.Fprintf(out, "%s: merged in %d groups of files, %d conflicts\n", t.Table, t.MergeGroups, t.Conflicts)
	}
	for _, name := range sortedKeys(t.Warned) {
		fmt.Fprintf(out, "%s: warning: %s rows do not meet %q\n", t.Table, count(t.Warned[name]), name)
	}
	for _, warning := range t.Warnings {
		fmt.Fprintf(out, "%s: warning: %s\n", t.Table, warning)
	}
}

// filesChanged is "+2", or "+2 -1" when data files were removed too; deletes are files added.
func filesChanged(t wire.TableResult) string {
	added := t.DataFilesAdded + t.DeleteFilesAdded
	switch {
	case added == 0 && t.DataFilesRemoved == 0:
		return "-"
	case t.DataFilesRemoved == 0:
		return fmt.Sprintf("+%d", added)
	}
	return fmt.Sprintf("+%d -%d", added, t.DataFilesRemoved)
}

func snapshot(id int64) string {
	if id == 0 {
		return "-"
	}
	return fmt.Sprint(id)
}

func summary(tables []wire.TableResult) string {
	n := map[string]int{}
	for _, t := range tables {
		n[t.State]++
	}
	var parts []string
	for _, state := range []string{wire.StateBuilt, wire.StateUnchanged, wire.StateDone, wire.StateFailed, wire.StateSkipped, wire.StateCancelled} {
		if n[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[state], state))
		}
	}
	if len(parts) == 0 {
		return "nothing to build"
	}
	return strings.Join(parts, ", ")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
