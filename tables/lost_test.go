package tables_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// group is a piece of work on some files of a table, planned and not done.
type group struct {
	name string
	do   func(t *testing.T, tbl *tables.Table) error
}

// groups are work on all files of a table with a delete, by a compaction and by a MERGE.
func groups(t *testing.T, tbl *tables.Table, source merge.Source) []group {
	t.Helper()
	plan, err := tbl.PlanCompaction(ctx, everyFile())
	require.NoError(t, err)
	require.Len(t, plan.Groups, 1)
	m := merge.Options{On: []string{"id"}, Matched: []merge.Clause{{Action: merge.Update, All: true}}}
	fan := merge.Fanout{Above: 1, GroupBytes: 1, GroupFiles: 1}
	_, division, err := tbl.MergeInGroups(ctx, token("w", "merge"), m, &rowSource{t: t, schema: schemaOf(t, []string{"id string", "v long"}), lines: []string{"b 20", "d 40"}}, fan)
	require.NoError(t, err)
	require.Len(t, division.Groups, 2)
	return []group{
		{"compaction", func(_ *testing.T, tbl *tables.Table) error {
			_, err := tbl.CompactGroup(ctx, plan.WithoutGroups(), plan.Groups[0])
			return err
		}},
		{"merge", func(_ *testing.T, tbl *tables.Table) error {
			var errs []error
			for _, g := range division.Groups {
				_, err := tbl.MatchGroup(ctx, m, source, merge.Fanout{}, *division, g)
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}},
	}
}

// A file that the table names and that is not there is lost, and no sign that others have changed the table.
func TestALostFileIsNoMovedTable(t *testing.T) {
	for _, what := range []string{"data", "deletes"} {
		lake := newLake(t)
		tbl := ensure(t, lake, pairs(t))
		put(t, tbl, token("w", 1), "a 1", "b 2")
		put(t, tbl, token("w", 2), "c 3", "d 4")
		deleteRow(t, tbl, 'a')
		tbl = reload(t, tbl)
		source := &rowSource{t: t, schema: schemaOf(t, []string{"id string", "v long"}), lines: []string{"b 20", "d 40"}}
		all := groups(t, tbl, source)
		of := iceberg.ManifestContentData
		if what == "deletes" {
			of = iceberg.ManifestContentDeletes
		}
		lost := ""
		for path := range entriesOf(t, tbl, of) {
			lost = path
		}
		require.NoError(t, os.Remove(localPath(t, lost)))
		for _, g := range all {
			err := g.do(t, tbl)
			require.NotErrorIs(t, err, tables.ErrMoved, "%s, %s", g.name, what)
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.ErrorContains(t, err, fmt.Sprintf("names %s, which is not there", lost), g.name)
		}
	}
}

// Files that others have replaced, and that expiry has removed since, are.
func TestFilesThatOthersReplacedAreAMovedTable(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1", "b 2")
	put(t, tbl, token("w", 2), "c 3", "d 4")
	deleteRow(t, tbl, 'a')
	tbl = reload(t, tbl)
	all := groups(t, tbl, &rowSource{t: t, schema: schemaOf(t, []string{"id string", "v long"}), lines: []string{"b 20", "d 40"}})
	_, err := reload(t, tbl).Compact(ctx, token("c", 1), everyFile())
	require.NoError(t, err)
	_, err = reload(t, tbl).Expire(ctx, token("x", 1), maintain.ExpireOptions{OlderThan: time.Nanosecond, KeepLast: 1, Now: func() time.Time { return time.Now().Add(time.Hour) }})
	require.NoError(t, err)
	for _, g := range all {
		require.ErrorIs(t, g.do(t, tbl), tables.ErrMoved, g.name)
	}
}

// broken is a source that is not there.
type broken struct{ rowSource }

// Open implements merge.Source.
func (*broken) Open(context.Context, []string) (array.RecordReader, error) {
	return nil, fmt.Errorf("staged rows: %w", fs.ErrNotExist)
}

// What is absent beside the table says nothing of the table.
func TestALostSourceIsNoMovedTable(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1", "b 2")
	put(t, tbl, token("w", 2), "c 3", "d 4")
	tbl = reload(t, tbl)
	err := groups(t, tbl, &broken{rowSource{t: t, schema: schemaOf(t, []string{"id string", "v long"})}})[1].do(t, tbl)
	require.ErrorContains(t, err, "staged rows")
	require.NotErrorIs(t, err, tables.ErrMoved)
}
