package contention

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// upkeepWriters write beside a maintenance.
	upkeepWriters = 8
	// fullFiles is how many files of the target's size the table begins with, rowsInFile each. A table may keep a few small
	// files that are not worth a rewrite: beside so many full ones they are below 5 %.
	fullFiles  = 200
	rowsInFile = 2000
	fileBytes  = 6_000 // is what those take
)

// upkeepWork is that of eight writers, who change keys out of the first hot ones.
func upkeepWork(seed uint64, n int, hot int64) work {
	w := work{Initial: fullFiles * rowsInFile, Files: fullFiles, Target: fileBytes}
	for i := range upkeepWriters {
		s := &script{writer: i, dice: rand.New(rand.NewPCG(seed, uint64(i))), hot: hot}
		w.Writers = append(w.Writers, s.changes(n))
	}
	return w
}

// besideUpkeep is a way in which writers are at work beside a maintenance.
type besideUpkeep struct {
	name    string
	hot     int64 // keys that all of them change
	commits int   // of each, for each four that other races make
	rest    time.Duration
}

// TestMaintenanceBesideWriters lets eight processes write to a table that another one maintains all the while: no commit
// fails, what maintenance takes from a writer is a try now and then, the rows are those of the commits one after another,
// and once the writers rest no more than a few small files are left.
func TestMaintenanceBesideWriters(t *testing.T) {
	kinds := []besideUpkeep{
		{name: "keys of all files", hot: fullFiles * rowsInFile, commits: 8}, {name: "the same few keys", hot: 96, commits: 8},
	}
	if long(t) {
		kinds = append(kinds, besideUpkeep{name: "a commit in four seconds each, keys of all files", hot: fullFiles * rowsInFile, commits: 6, rest: 4 * time.Second})
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			s, n := seed(t), commits(t)*k.commits/4
			beside := maintained(t, sqlite(t), upkeepWork(s, n, k.hot), k.rest, true)
			figures := []figures{figuresOf("beside maintenance", beside.reports, beside.wall)}
			if long(t) {
				alone := maintained(t, sqlite(t), upkeepWork(s, n, k.hot), k.rest, false)
				alone.check(t)
				figures = append(figures, figuresOf("without", alone.reports, alone.wall))
			}
			t.Log(tableOf(k.name, figures...))
			beside.check(t)
			lost, conflicts := beside.lostToMaintenance()
			t.Logf("of %d tries that met a conflict, %d lost to a commit of the maintenance\n%s", conflicts, lost, passes(beside.compactor))
			require.NotZero(t, beside.history.compactions, "compaction got through")
			last := beside.compactor[len(beside.compactor)-2].Shape.After
			require.Less(t, last.share(), 0.05, "small files by number, once the writers rest")
			require.Less(t, float64(last.InSmall), 0.05*float64(last.Bytes), "bytes in small files")
		})
	}
}

// maintained lets the writers loose on a table of full files, beside a maintenance or without.
func maintained(t *testing.T, p place, w work, rest time.Duration, beside bool) *race {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lake := prepare(t, p, w)
	tbl, err := lake.Table(ctx, table)
	require.NoError(t, err)
	h, err := tbl.Health(ctx, 0)
	require.NoError(t, err)
	require.Zero(t, h.SmallFiles, "of %d files of %d bytes", h.Files, h.Bytes/int64(h.Files))
	var all []*racer
	for i, changes := range w.Writers {
		all = append(all, start(t, ctx, job{Place: p, Name: writerName(i), Strategy: strategyOf(i), Changes: changes, Rest: rest}))
	}
	var keeper *racer
	if beside {
		keeper = start(t, ctx, job{Place: p, Name: maintenance, Maintain: &upkeep{
			Target: w.Target, MinInputFiles: 5, KeepLast: 20, OlderThan: time.Second, Rest: pause,
		}})
		keeper.ready(t)
	}
	out := &race{work: w}
	out.begin(t, all, keeper)
	out.look(t, lake)
	return out
}

// maintenance is the name of the writer that maintains; what it forgets, it does under another.
const maintenance = "maintenance"

// lostToMaintenance counts the tries that did not get through since a commit of the maintenance had come before, and all
// that did not get through.
func (r *race) lostToMaintenance() (lost, all int) {
	by := r.versions.after()
	for _, report := range r.reports {
		for _, d := range report {
			for _, head := range d.Heads[:len(d.Heads)-1] {
				all++
				if strings.HasPrefix(by[head], maintenance) {
					lost++
				}
			}
		}
	}
	return lost, all
}

// passes tells what each pass of a maintenance came to.
func passes(report []done) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| pass | seconds | groups joined, left to writers | files before, after | small before, after, of those before | delete files | snapshots | manifests | metadata kB |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, d := range report {
		if d.Shape == nil {
			continue
		}
		was, is := d.Shape.Before, d.Shape.After
		fmt.Fprintf(&b, "| %s | %s | %d, %d | %d, %d | %d, %d, %d | %d, %d | %d | %d | %d |\n", d.ID, seconds(d.took()), d.Compacted, d.Redone,
			was.Files, is.Files, was.Small, is.Small, d.Shape.Left, was.Deletes, is.Deletes, is.Snapshots, is.Manifests, is.MetadataBytes>>10)
	}
	return b.String()
}
