package commit_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/script"
)

// TestFaults goes through what can become of a commit: which faults, and how often the rows are there afterwards.
func TestFaults(t *testing.T) {
	var w *world
	script.Run(t, "testdata/faults.txt", func(t *testing.T, c *script.Command) string {
		switch c.Name {
		case "table":
			w = newWorld(t, "2")
			return ""
		case "append":
			return w.appendCommand(c)
		case "deliver":
			w.held()
			return ""
		case "rows":
			return fmt.Sprintf("%s; %d orphans", strings.Join(w.live(), " "), len(w.orphans()))
		}
		t.Fatalf("%s: unknown command", c.Pos)
		return ""
	})
}

func (w *world) appendCommand(c *script.Command) string {
	w.script, w.twin = c.Words, c.Args["token"]
	w.slept, w.events = nil, nil
	id := commit.ID{Writer: "me", Token: c.Args["token"]}
	if writer, ok := c.Args["writer"]; ok {
		id.Writer = writer
	}
	if after, ok := c.Args["after"]; ok {
		id.After = &after
	}
	opts := commit.Options{}
	fmt.Sscan(c.Args["attempts"], &opts.MaxAttempts)
	out, err := w.commit(id, appending(c.Args["file"]), opts)
	var b strings.Builder
	for _, e := range w.events {
		fmt.Fprintln(&b, e)
	}
	switch {
	case err != nil:
		fmt.Fprintf(&b, "error: %s (class %s, safe to remove files: %v)\n", snapshotIDs.ReplaceAllString(err.Error(), "N"), className(err), commit.Safe(err))
	case out.AlreadyCommitted:
		fmt.Fprintf(&b, "already committed, snapshot known: %v, files may be the table's: %v\n", out.SnapshotID != 0, out.Sent)
	case out.Committed:
		fmt.Fprintf(&b, "committed, snapshot known: %v\n", out.SnapshotID != 0)
	default:
		fmt.Fprintln(&b, "nothing to do")
	}
	fmt.Fprintf(&b, "attempts %d, conflicts %d, unknown outcomes %d, waited %v", out.Attempts, out.Conflicts, out.UnknownOutcomes, w.slept)
	return b.String()
}

var snapshotIDs = regexp.MustCompile(`\b\d{12,}\b`)

func className(err error) string {
	for class, name := range map[error]string{
		commit.ErrConflict: "conflict", commit.ErrDenied: "denied", commit.ErrPassing: "passing",
		commit.ErrAbsent: "absent", commit.ErrSuperseded: "superseded",
	} {
		if errors.Is(err, class) && !errors.Is(err, commit.ErrUnknownOutcome) {
			return name
		}
	}
	if errors.Is(err, commit.ErrUnknownOutcome) {
		return "unknown outcome"
	}
	return "none"
}

// TestChanges shows which snapshots each kind of change makes, in both formats.
func TestChanges(t *testing.T) {
	var w *world
	n := 0
	script.Run(t, "testdata/changes.txt", func(t *testing.T, c *script.Command) string {
		switch c.Name {
		case "table":
			w, n = newWorld(t, c.Args["format"]), 0
			return ""
		case "change":
			n++
			before := len(w.load().Metadata().Snapshots())
			out, err := w.commit(commit.ID{Writer: "me", Token: fmt.Sprint(n)}, changing(c), commit.Options{})
			if err != nil {
				return "error: " + strings.ReplaceAll(err.Error(), w.load().Location(), "")
			}
			return describe(w, out.Table, before)
		case "diff":
			return diffCommand(t, w, c)
		}
		t.Fatalf("%s: unknown command", c.Pos)
		return ""
	})
}

// changing reads lists of files: add, remove, deletes (name:of) and undeletes.
func changing(c *script.Command) commit.Planner {
	return func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
		change := &commit.Change{Operation: commit.Operation(c.Words[0])}
		for _, n := range strings.Fields(c.Args["add"]) {
			change.AddData = append(change.AddData, file(head, n))
		}
		for _, n := range strings.Fields(c.Args["remove"]) {
			change.RemoveData = append(change.RemoveData, file(head, n))
		}
		for _, n := range strings.Fields(c.Args["deletes"]) {
			name, of, _ := strings.Cut(n, ":")
			change.AddDeletes = append(change.AddDeletes, deletes(head, name, of))
		}
		for _, n := range strings.Fields(c.Args["undeletes"]) {
			name, of, _ := strings.Cut(n, ":")
			change.RemoveDeletes = append(change.RemoveDeletes, deletes(head, name, of))
		}
		if p := c.Args["property"]; p != "" {
			change.Properties = map[string]string{"p": p}
		}
		return change, nil
	}
}

func describe(w *world, tbl *table.Table, before int) string {
	var b strings.Builder
	all := tbl.Metadata().Snapshots()
	sort.Slice(all, func(i, j int) bool { return all[i].SequenceNumber < all[j].SequenceNumber })
	for _, s := range all[before:] {
		p := s.Summary.Properties
		fmt.Fprintf(&b, "%s: token %s", s.Summary.Operation, p[commit.TokenKey])
		for _, k := range []string{"added-data-files", "deleted-data-files", "added-delete-files", "removed-delete-files", commit.PartKey} {
			if v, ok := p[k]; ok {
				fmt.Fprintf(&b, ", %s %s", k, v)
			}
		}
		if s.FirstRowID != nil {
			fmt.Fprintf(&b, ", rows from %d", *s.FirstRowID)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "live: %s", strings.Join(w.live(), " "))
	return b.String()
}

func diffCommand(t *testing.T, w *world, c *script.Command) string {
	var from, to int
	fmt.Sscan(c.Args["from"], &from)
	fmt.Sscan(c.Args["to"], &to)
	tbl := w.load()
	all := tbl.Metadata().Snapshots()
	sort.Slice(all, func(i, j int) bool { return all[i].SequenceNumber < all[j].SequenceNumber })
	at := func(n int) *table.Snapshot {
		if n == 0 {
			return nil
		}
		return &all[n-1]
	}
	d, err := commit.BetweenSnapshots(context.Background(), tbl, at(from), at(to))
	require.NoError(t, err)
	names := func(files []iceberg.DataFile) string {
		var out []string
		for _, f := range files {
			out = append(out, f.FilePath()[strings.LastIndex(f.FilePath(), "/")+1:])
		}
		sort.Strings(out)
		return "[" + strings.Join(out, " ") + "]"
	}
	return fmt.Sprintf("data +%s -%s, deletes +%s -%s", names(d.AddedData), names(d.RemovedData), names(d.AddedDeletes), names(d.RemovedDeletes))
}

// TestManyWritersLoseNothing: writers in parallel, each of which commits every token twice, also to a table without a
// snapshot.
func TestManyWritersLoseNothing(t *testing.T) {
	w := newWorld(t, "2")
	const writers, commits = 6, 4
	var wg sync.WaitGroup
	errs := make(chan error, writers*2)
	for n := range writers {
		for range 2 { // the same work, by two processes
			wg.Go(func() {
				for c := range commits {
					id := commit.ID{Writer: fmt.Sprint("w", n), Token: fmt.Sprint(c)}
					_, err := commit.Commit(context.Background(), w.cat, w.ident, id,
						appending(fmt.Sprintf("w%d-%d", n, c)), commit.Options{MaxAttempts: 500, MaxDelay: 50 * time.Millisecond})
					if err != nil {
						errs <- err
						return
					}
				}
			})
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	live := w.live()
	require.Len(t, live, writers*commits)
	for i := 1; i < len(live); i++ {
		require.NotEqual(t, live[i-1], live[i], "committed twice")
	}
}

// TestAPlannerSeesTheHeadItsFilesAreCommittedTo: a replace plans again at each head, so that it removes what came
// meanwhile.
func TestAPlannerSeesTheHeadItsFilesAreCommittedTo(t *testing.T) {
	w := newWorld(t, "2")
	w.interlope()
	w.script = []string{"other-writer", "other-writer"}
	var heads []int
	_, err := w.commit(commit.ID{Writer: "me", Token: "1"}, func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
		heads = append(heads, attempt)
		diff, err := commit.BetweenSnapshots(ctx, head, nil, head.CurrentSnapshot())
		if err != nil {
			return nil, err
		}
		return &commit.Change{Operation: commit.Overwrite, RemoveData: diff.AddedData, AddData: []iceberg.DataFile{file(head, "mine")}}, nil
	}, commit.Options{})
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 3}, heads)
	require.Equal(t, []string{"mine"}, w.live())
	require.Empty(t, w.orphans(), "the manifests of lost attempts are removed")
}

// TestTheLibraryNeverReplays: with the library's own retries on in the table's properties, a row-level change planned on
// an old head must not land.
func TestTheLibraryNeverReplays(t *testing.T) {
	w := newWorld(t, "2")
	w.interlope()
	_, err := w.commit(commit.ID{Writer: "admin", Token: "1"}, func(context.Context, *table.Table, int) (*commit.Change, error) {
		return &commit.Change{Properties: map[string]string{table.CommitNumRetriesKey: "10"}}, nil
	}, commit.Options{})
	require.NoError(t, err)
	w.script = []string{"other-writer"}
	calls := 0
	out, err := w.commit(commit.ID{Writer: "me", Token: "1"}, func(_ context.Context, head *table.Table, _ int) (*commit.Change, error) {
		calls++
		return &commit.Change{Operation: commit.RowDelta, AddDeletes: []iceberg.DataFile{deletes(head, fmt.Sprint("d", calls), "other1")}}, nil
	}, commit.Options{})
	require.NoError(t, err)
	require.Equal(t, 1, out.Conflicts)
	require.Equal(t, 2, calls, "planned again, not replayed")
	require.Equal(t, []string{"d2:other1", "other1", "other2"}, w.live())
}

// TestTimeIsBoundedWithoutPlanning: a change that takes long to plan is tried again after a conflict all the same.
func TestTimeIsBoundedWithoutPlanning(t *testing.T) {
	w := newWorld(t, "2")
	w.script = []string{"other-writer"}
	out, err := w.commit(commit.ID{Writer: "me", Token: "1"}, func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
		w.now = w.now.Add(10 * time.Minute)
		return appending("f")(ctx, head, attempt)
	}, commit.Options{})
	require.NoError(t, err)
	require.Equal(t, 2, out.Attempts)
}

// TestTimeIsBounded: faults that go on for longer than MaxElapsed end the commit, with their class, long before the attempts do.
func TestTimeIsBounded(t *testing.T) {
	w := newWorld(t, "2")
	w.script = slices.Repeat([]string{"busy"}, 200)
	out, err := w.commit(commit.ID{Writer: "me", Token: "1"}, appending("f"), commit.Options{
		MaxAttempts: 200, MaxElapsed: time.Minute, BaseDelay: 10 * time.Second, MaxDelay: 10 * time.Second})
	require.ErrorIs(t, err, commit.ErrPassing)
	require.ErrorContains(t, err, "given up after")
	require.Less(t, out.Attempts, 20)
	require.GreaterOrEqual(t, w.now.Sub(time.Unix(0, 0)), time.Minute)
}

func TestCancellationIsNotTriedAgainAndKeepsFiles(t *testing.T) {
	w := newWorld(t, "2")
	ctx, cancel := context.WithCancel(context.Background())
	_, err := commit.Commit(ctx, w, w.ident, commit.ID{Writer: "me", Token: "1"},
		func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
			cancel()
			return appending("f")(ctx, head, 1)
		}, commit.Options{})
	require.Error(t, err)
	require.False(t, commit.Safe(err))
	require.Empty(t, w.live())
}

func TestAnIDIsRequired(t *testing.T) {
	w := newWorld(t, "2")
	for _, id := range []commit.ID{{}, {Writer: "w"}, {Token: "t"}} {
		_, err := commit.Commit(context.Background(), w, w.ident, id, appending("f"), commit.Options{})
		require.ErrorContains(t, err, "writer and token")
	}
	_, err := commit.Commit(context.Background(), w, table.Identifier{"ns", "none"}, commit.ID{Writer: "w", Token: "t"}, appending("f"), commit.Options{})
	require.ErrorIs(t, err, commit.ErrAbsent)
}

// TestRowIDsAreNeverSharedInFormat3: through appends whose manifests are merged, overwrites and row deltas, each row of
// the table has an id of its own, below the table's next one.
func TestRowIDsAreNeverSharedInFormat3(t *testing.T) {
	w := newWorld(t, "3")
	_, err := w.commit(commit.ID{Writer: "admin", Token: "0"}, func(context.Context, *table.Table, int) (*commit.Change, error) {
		return &commit.Change{Properties: map[string]string{table.ManifestMinMergeCountKey: "2"}}, nil
	}, commit.Options{})
	require.NoError(t, err)
	for n := range 12 {
		_, err := w.commit(commit.ID{Writer: "me", Token: fmt.Sprint(n)}, func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
			c := &commit.Change{Operation: commit.Append, AddData: []iceberg.DataFile{file(head, fmt.Sprint("f", n))}}
			diff, err := commit.BetweenSnapshots(ctx, head, nil, head.CurrentSnapshot())
			switch n % 4 {
			case 2:
				c.Operation, c.RemoveData = commit.Overwrite, diff.AddedData[:1]
			case 3:
				c.Operation = commit.RowDelta
				c.AddDeletes = []iceberg.DataFile{deletes(head, fmt.Sprint("d", n), fmt.Sprint("f", n-1))}
			}
			return c, err
		}, commit.Options{})
		require.NoError(t, err)

		head := w.load()
		all, err := commit.BetweenSnapshots(context.Background(), head, nil, head.CurrentSnapshot())
		require.NoError(t, err)
		taken := map[int64]string{}
		for _, f := range all.AddedData {
			require.NotNil(t, f.FirstRowID(), f.FilePath())
			for id := *f.FirstRowID(); id < *f.FirstRowID()+f.Count(); id++ {
				require.Empty(t, taken[id], "row id %d of %s", id, f.FilePath())
				require.Less(t, id, head.Metadata().NextRowID())
				taken[id] = f.FilePath()
			}
		}
	}
}

// A change without files that meets a copy of its own request with its last attempt has landed.
func TestTheLastAttemptMeetsItsOwnCopy(t *testing.T) {
	w := newWorld(t, "2")
	for n := range 2 {
		_, err := w.commit(commit.ID{Writer: "me", Token: fmt.Sprint(n)}, appending(fmt.Sprint(n)), commit.Options{})
		require.NoError(t, err)
	}
	first := w.load().Metadata().Snapshots()[0].SnapshotID
	w.script = []string{"twice"}
	out, err := w.commit(commit.ID{Writer: "me", Token: "back"}, func(context.Context, *table.Table, int) (*commit.Change, error) {
		return &commit.Change{Properties: map[string]string{"p": "v"}, Updates: []table.Update{
			table.NewSetSnapshotRefUpdate(table.MainBranch, first, table.BranchRef, 0, 0, 0)}}, nil
	}, commit.Options{MaxAttempts: 1})
	require.NoError(t, err)
	require.Equal(t, []any{true, 1, 1}, []any{out.Committed, out.Attempts, out.Conflicts})
	require.Equal(t, []string{"0"}, w.live())
	require.Equal(t, "v", out.Table.Properties()["p"])
}
