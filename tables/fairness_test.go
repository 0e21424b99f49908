package tables_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/merge"
)

// A MERGE whose every commit meets another one, of rows that it has to merge too, gets through all the same: what it has
// done it keeps, and what comes since is little.
func TestAMergeGetsThroughAgainstAWriterWhoNeverRests(t *testing.T) {
	dir := t.TempDir()
	open := func() *tables.Lake {
		lake, err := tables.OpenLake(ctx, tables.Local(dir))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, lake.Close()) })
		return lake
	}
	lake, other := open(), open()
	def := tables.Definition{Name: "ns.t", Schema: schemaOf(t, []string{"id long", "v long"})}
	tbl := ensure(t, lake, def)
	const (
		keys  = 200
		pause = 10 * time.Millisecond
	)
	for f := range 8 {
		var lines []string
		for i := f; i < keys; i += 8 {
			lines = append(lines, fmt.Sprintf("%d 1", i))
		}
		put(t, tbl, token("load", f), lines...)
	}
	var lines []string
	for i := range keys {
		lines = append(lines, fmt.Sprintf("%d 2", i))
	}
	source := &rowSource{t: t, schema: def.Schema, lines: lines}

	var appended atomic.Int64
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			tbl, err := other.Table(ctx, "ns.t")
			if err == nil {
				var s *tables.Staged
				if s, err = tbl.Stage(ctx, rowsOf(t, def.Schema, []string{fmt.Sprintf("%d 1", n%keys)}), tables.StageOptions{}); err == nil {
					_, err = tbl.Append(ctx, token("restless", n), s)
				}
			}
			if err != nil {
				stopped <- err
				return
			}
			appended.Add(1)
			time.Sleep(pause)
		}
	}()
	m := merge.Options{On: []string{"id"}, Strategy: merge.MergeOnRead, Matched: []merge.Clause{{Action: merge.Update, All: true}}}
	began, before := time.Now(), appended.Load()
	result, rounds := mergeInRounds(t, lake, m, source)
	t.Logf("through after %s: %d rounds of groups, then %d attempts and %d conflicts in the last; %d appends meanwhile",
		time.Since(began).Round(time.Millisecond), rounds, result.Attempts, result.Conflicts, appended.Load()-before)
	close(stop)
	require.NoError(t, <-stopped)
	require.True(t, result.Committed)

	tbl, err := lake.Table(ctx, "ns.t")
	require.NoError(t, err)
	rdr, err := tbl.Scan(ctx, tables.ScanOptions{Version: tables.Version{SnapshotID: &result.SnapshotID}})
	require.NoError(t, err)
	rows := rowTexts(t, batches(rdr))
	require.Greater(t, len(rows), keys)
	for _, r := range rows {
		require.True(t, strings.HasSuffix(r, " 2"), "%s: a row that was there before the MERGE is merged", r)
	}
}

const pace = 100 * time.Millisecond

// mergeInRounds is what a workflow does: groups, commit, again the groups that conflict, and at last by the commit alone.
func mergeInRounds(t *testing.T, lake *tables.Lake, m merge.Options, source merge.Source) (tables.Result, int) {
	t.Helper()
	var done []merge.Done
	for round := 0; ; round++ {
		fan := merge.Fanout{GroupFiles: 2, Done: done}
		if round < 4 {
			fan.Above, fan.Redo = 1, true
		}
		tbl, err := lake.Table(ctx, "ns.t")
		require.NoError(t, err)
		result, division, err := tbl.MergeInGroups(ctx, token("merge", 1), m, source, fan)
		require.NoError(t, err)
		if division == nil {
			return result, round
		}
		d := division.Done()
		for _, g := range division.Groups {
			found, err := tbl.MatchGroup(ctx, m, source, merge.Fanout{}, *division, g)
			require.NoError(t, err)
			d.Found = append(d.Found, found)
			time.Sleep(pace) // groups take their time
		}
		done = append(done, d)
	}
}
