package activities

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
)

// readers reads a table by appends, whole, and by a query.
const readers = `
pipeline: p
tables:
  bronze.a: {source: {files: "in/*.csv"}, columns: {n: int}, write: append}
  silver.appends: {from: bronze.a, write: append}
  silver.whole: {from: {table: bronze.a, read: full}, write: replace}
  gold.query: {sql: "SELECT n FROM bronze.a", write: replace}
`

// rewriteAndExpire leaves bronze.a with none of its files, and none of the snapshots that name them.
func (l *lab) rewriteAndExpire() {
	l.t.Helper()
	id := func(what string) tables.CommitOptions {
		return tables.CommitOptions{ID: commit.ID{Writer: what, Token: fmt.Sprint(l.runs)}}
	}
	t, err := l.a.lake.Table(l.t.Context(), "bronze.a")
	require.NoError(l.t, err)
	_, err = t.Compact(l.t.Context(), id("compact"), maintain.CompactOptions{RewriteAll: true})
	require.NoError(l.t, err)
	_, err = t.Expire(l.t.Context(), id("expire"), maintain.ExpireOptions{OlderThan: time.Nanosecond, KeepLast: 1, Now: func() time.Time { return time.Now().Add(time.Hour) }})
	require.NoError(l.t, err)
}

// files are those of bronze.a.
func (l *lab) files() []string {
	l.t.Helper()
	t, err := l.a.lake.Table(l.t.Context(), "bronze.a")
	require.NoError(l.t, err)
	added, err := t.AddedSince(l.t.Context(), 0)
	require.NoError(l.t, err)
	var out []string
	for _, f := range added.Files {
		out = append(out, strings.TrimPrefix(f.File.FilePath(), "file://"))
	}
	return out
}

// What a build has pinned may expire, with its files, before they are read: it is planned anew. A file that the table names still is
// lost: no plan mends that, and the error names it.
func TestWhatExpiresBetweenPlanAndReadIsPlannedAnew(t *testing.T) {
	for _, name := range []string{"silver.appends", "silver.whole", "gold.query"} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.write("pipelines/p.yaml", readers)
			l.write("in/1.csv", "n\n1\n")
			compiled, err := l.compile("p")
			require.NoError(t, err)
			_, err = l.begin(compiled, "bronze.a").run()
			require.NoError(t, err)
			l.write("in/2.csv", "n\n2\n")
			_, err = l.begin(compiled, "bronze.a").run()
			require.NoError(t, err)

			b := l.begin(compiled, name)
			require.NoError(t, b.prepare())
			l.rewriteAndExpire()
			requireClass(t, b.stage(), wire.ErrSuperseded)

			b.build.Workflow, b.counts = "anew", wire.Counts{}
			_, err = b.run()
			require.NoError(t, err)
			require.Equal(t, []string{"1", "2"}, l.rows(name, "n"))

			l.write("in/3.csv", "n\n3\n")
			_, err = l.begin(compiled, "bronze.a").run()
			require.NoError(t, err)
			b = l.begin(compiled, name)
			require.NoError(t, b.prepare())
			lost := l.files()
			for _, path := range lost {
				require.NoError(t, os.Remove(path))
			}
			err = b.stage()
			requireClass(t, err, wire.ErrInternal)
			named := false
			for _, path := range lost {
				named = named || strings.Contains(err.Error(), path)
			}
			require.True(t, named, "%v names none of %v", err, lost)
		})
	}
}
