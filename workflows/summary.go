package workflows

import (
	"fmt"
	"slices"
	"strings"

	"github.com/varve-lake/varve/activities/wire"
)

const (
	// memoLines bounds what a memo says of single tables.
	memoLines = 100
	// detailed is the number of tables above which a result leaves out what may be long of each: it stays a small payload.
	detailed = 100
)

// bounded are the results of a run as its own result has them. The children keep the whole.
func bounded(tables []wire.TableResult) []wire.TableResult {
	if len(tables) <= detailed {
		return tables
	}
	out := slices.Clone(tables)
	for i := range out {
		out[i].Warnings, out[i].Changes, out[i].Warned = nil, nil, nil
		out[i].Reason = clip(out[i].Reason, 120)
	}
	return out
}

// stateOrder is the order in which a summary counts the states.
var stateOrder = []string{
	wire.StateBuilt, wire.StateUnchanged, wire.StateDone, wire.StateFailed, wire.StateSkipped, wire.StateCancelled,
	wire.StateRunning, wire.StateWaiting,
}

// Summary is one line about the run: "3 tables built, 1 failed".
func (r *RunResult) Summary() string {
	counts := make(map[string]int)
	for _, t := range r.Tables {
		counts[t.State]++
	}
	var parts []string
	for _, state := range stateOrder {
		if n := counts[state]; n > 0 {
			if len(parts) == 0 {
				parts = append(parts, fmt.Sprintf("%d table%s %s", n, plural(n), state))
				continue
			}
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(parts) == 0 {
		return "no tables"
	}
	return strings.Join(parts, ", ")
}

// Lines is a line about each table, up to a bound.
func (r *RunResult) Lines() []string {
	var lines []string
	for i, t := range r.Tables {
		if i == memoLines {
			return append(lines, fmt.Sprintf("and %d more", len(r.Tables)-memoLines))
		}
		lines = append(lines, tableLine(t))
	}
	return lines
}

func tableLine(t wire.TableResult) string {
	switch t.State {
	case wire.StateBuilt:
		return fmt.Sprintf("%s: %s", t.Table, deeds(t))
	case wire.StateFailed:
		return fmt.Sprintf("%s: failed: %s", t.Table, clip(t.Reason, 300))
	case wire.StateSkipped:
		return fmt.Sprintf("%s: %s", t.Table, t.Reason)
	}
	return fmt.Sprintf("%s: %s", t.Table, t.State)
}

// deeds says what a build did to its table.
func deeds(t wire.TableResult) string {
	parts := []string{fmt.Sprintf("%d rows read", t.RowsRead)}
	for _, c := range []struct {
		n    int64
		what string
	}{
		{t.Inserted, "inserted"}, {t.Updated, "updated"}, {t.Deleted, "deleted"}, {t.Unchanged, "unchanged"},
		{t.Quarantined, "quarantined"}, {t.Dropped, "dropped"}, {int64(t.Conflicts), "conflicts"}, {int64(t.GroupsRedone), "groups redone"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if t.MergeGroups > 0 {
		parts = append(parts, fmt.Sprintf("merged in %d groups", t.MergeGroups))
	}
	if t.Conflicts > 0 {
		parts = append(parts, fmt.Sprintf("%d conflict%s", t.Conflicts, plural(t.Conflicts)))
	}
	if t.SnapshotID != 0 {
		parts = append(parts, fmt.Sprintf("snapshot %d", t.SnapshotID))
	}
	return strings.Join(parts, ", ")
}

// failure is the message of a run in which tables failed, or empty.
func (r *RunResult) failure() string {
	var failed []string
	for _, t := range r.Tables {
		if t.State == wire.StateFailed || t.State == wire.StateCancelled {
			failed = append(failed, fmt.Sprintf("%s: %s", t.Table, clip(t.Reason, 2000)))
		}
	}
	if len(failed) == 0 {
		return ""
	}
	const shown = 10
	more := ""
	if len(failed) > shown {
		more = fmt.Sprintf("\nand %d more", len(failed)-shown)
		failed = failed[:shown]
	}
	return fmt.Sprintf("%s\n%s%s", r.Summary(), strings.Join(failed, "\n"), more)
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
