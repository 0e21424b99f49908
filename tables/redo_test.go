package tables_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/merge"
)

// contested is a catalog that lets another writer commit before the next commit, and counts the data files that are read and written
// through it.
type contested struct {
	*catalog.Catalog
	first func()

	mu            sync.Mutex
	read, written map[string]bool
}

// LoadTable implements commit.Catalog.
func (c *contested) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	t, err := c.Catalog.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	return tables.StoredThrough(t, func(fs iceio.WriteFileIO) iceio.IO { return &contestedStore{fs, c} }), nil
}

// CommitTable implements commit.Catalog.
func (c *contested) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if do := c.first; do != nil {
		c.first = nil
		do()
	}
	return c.Catalog.CommitTable(ctx, ident, reqs, updates)
}

type contestedStore struct {
	iceio.WriteFileIO
	by *contested
}

func (s *contestedStore) note(to map[string]bool, name string) {
	if strings.Contains(name, "/data/") {
		s.by.mu.Lock()
		defer s.by.mu.Unlock()
		to[name] = true
	}
}

// Open implements iceio.IO.
func (s *contestedStore) Open(name string) (iceio.File, error) {
	s.note(s.by.read, name)
	return s.WriteFileIO.Open(name)
}

// Create implements iceio.WriteFileIO.
func (s *contestedStore) Create(name string) (iceio.FileWriter, error) {
	s.note(s.by.written, name)
	return s.WriteFileIO.Create(name)
}

// WriteFile implements iceio.WriteFileIO.
func (s *contestedStore) WriteFile(name string, content []byte) error {
	s.note(s.by.written, name)
	return s.WriteFileIO.WriteFile(name, content)
}

// redoing is a MERGE into a table of a file for each of six days, and another writer beside it.
type redoing struct {
	t      *testing.T
	c      *contested
	mine   *tables.Lake
	others *tables.Lake
	m      merge.Options
	source merge.Source
	done   []merge.Done
	tokens int
}

const redoDays = 6

func newRedoing(t *testing.T, format int, strategy merge.Strategy) *redoing {
	t.Helper()
	dir := t.TempDir()
	r := &redoing{t: t, mine: lakeIn(t, dir), others: lakeIn(t, dir)}
	def := tables.Definition{Name: "ns.t", FormatVersion: format, PartitionBy: []string{"day"},
		Schema: schemaOf(t, []string{"day long", "id long", "v long"})}
	tbl := ensure(t, r.others, def)
	lines := []string{"9 901 5", "9 902 5"} // are new
	for day := range redoDays {
		put(t, tbl, token("load", day), fmt.Sprintf("%d %d 0", day, 100*day), fmt.Sprintf("%d %d 0", day, 100*day+1))
		lines = append(lines, fmt.Sprintf("%d %d 5", day, 100*day))
	}
	r.c = &contested{Catalog: r.mine.Catalog()}
	r.mine.CommitThrough(r.c)
	r.m = merge.Options{On: []string{"id"}, Strategy: strategy,
		Matched: []merge.Clause{{Action: merge.Update, All: true}}, NotMatched: []merge.Clause{{Action: merge.Insert, All: true}}}
	r.source = &rowSource{t: t, schema: def.Schema, lines: lines}
	return r
}

// update sets a row of the other writer's.
func (r *redoing) update(day, id int) func() {
	return func() {
		tbl, err := r.others.Table(ctx, "ns.t")
		require.NoError(r.t, err)
		r.tokens++
		source := &rowSource{t: r.t, schema: schemaOf(r.t, []string{"day long", "id long", "v long"}), lines: []string{fmt.Sprintf("%d %d 7", day, id)}}
		m := r.m
		m.NotMatched = nil
		out, err := tbl.Merge(ctx, token("other", r.tokens), m, source)
		require.NoError(r.t, err)
		require.EqualValues(r.t, 1, out.Updated)
	}
}

// append adds a row of the other writer's, in a file of its own.
func (r *redoing) append(day, id int) func() {
	return func() {
		tbl, err := r.others.Table(ctx, "ns.t")
		require.NoError(r.t, err)
		r.tokens++
		put(r.t, tbl, token("other", r.tokens), fmt.Sprintf("%d %d 7", day, id))
	}
}

// commit is one commit of the MERGE, as an activity would do it, before which another writer comes.
func (r *redoing) commit(first func()) (tables.Result, *merge.Division) {
	r.t.Helper()
	tbl, err := r.mine.Table(ctx, "ns.t")
	require.NoError(r.t, err)
	r.c.first, r.c.read, r.c.written = first, map[string]bool{}, map[string]bool{}
	fan := merge.Fanout{Above: 1 << 40, Redo: true, Done: travelled(r.t, r.done)}
	result, division, err := tbl.MergeInGroups(ctx, token("merge", 1), r.m, r.source, fan)
	require.NoError(r.t, err)
	return result, division
}

// redo looks through the groups of a division, as other processes.
func (r *redoing) redo(d *merge.Division) {
	r.t.Helper()
	done := d.Done()
	for _, g := range d.Groups {
		tbl, err := r.others.Table(ctx, "ns.t")
		require.NoError(r.t, err)
		found, err := tbl.MatchGroup(ctx, r.m, r.source, merge.Fanout{}, travelled(r.t, *d), travelled(r.t, g))
		require.NoError(r.t, err)
		done.Found = append(done.Found, found)
	}
	r.done = append(r.done, done)
}

func (r *redoing) rows() []string {
	r.t.Helper()
	tbl, err := r.others.Table(ctx, "ns.t")
	require.NoError(r.t, err)
	rdr, err := tbl.Scan(ctx, tables.ScanOptions{})
	require.NoError(r.t, err)
	out := rowTexts(r.t, batches(rdr))
	slices.Sort(out)
	return out
}

// want is what the MERGE comes to, with some lines in place of others, by id.
func (r *redoing) want(instead map[int]string) []string {
	out := []string{"9 901 5", "9 902 5"}
	for day := range redoDays {
		out = append(out, fmt.Sprintf("%d %d 5", day, 100*day))
		line, ok := instead[100*day+1]
		if !ok {
			line = fmt.Sprintf("%d %d 0", day, 100*day+1)
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

func eachRedoing(t *testing.T, do func(t *testing.T, r *redoing)) {
	for _, format := range []int{2, 3} {
		for _, strategy := range []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead} {
			t.Run(fmt.Sprintf("format %d, %s", format, strategy), func(t *testing.T) { do(t, newRedoing(t, format, strategy)) })
		}
	}
}

// Of a MERGE that loses to another writer, only what that one changed is looked through again, by others; what it had found and
// written else is taken over as it is, by a commit that reads and writes no data file.
func TestWhatAConflictLeavesIsTakenOver(t *testing.T) {
	eachRedoing(t, func(t *testing.T, r *redoing) {
		result, d := r.commit(r.update(2, 201))
		require.NotNil(t, d)
		require.Equal(t, []int{1, 1}, []int{result.Attempts, result.Conflicts})
		require.Equal(t, []int{1, 1, 2}, []int{d.Redone, len(d.Groups), d.Count})
		kept := d.Kept.Paths()
		for name := range r.c.written {
			if slices.Contains(kept, name) {
				require.FileExists(t, localPath(t, name))
				continue
			}
			if !strings.Contains(name, "-deletes.") { // which lie in no partition's folder
				require.Contains(t, name, "day=2", "what was written is kept, or was for the file in conflict")
			}
			require.NoFileExists(t, localPath(t, name))
		}
		require.Greater(t, len(r.c.written), len(kept))
		require.Len(t, d.Kept.Files, redoDays-1)
		require.Len(t, d.Kept.Inserts.Paths, 1)
		require.False(t, d.Sent)
		r.redo(d)

		result, again := r.commit(nil)
		require.Nil(t, again)
		require.Empty(t, r.c.read)
		require.Empty(t, r.c.written)
		require.Equal(t, []int64{8, 2, 6, 0}, []int64{result.RowsIn, result.Inserted, result.Updated, result.Unchanged})
		require.Equal(t, r.want(map[int]string{201: "2 201 7"}), r.rows())
	})
}

// A conflict with what was taken over has that, and nothing else, done again.
func TestAConflictWithWhatWasTakenOver(t *testing.T) {
	eachRedoing(t, func(t *testing.T, r *redoing) {
		_, first := r.commit(r.update(2, 201))
		require.NotNil(t, first)
		r.redo(first)
		_, second := r.commit(r.update(4, 401))
		require.NotNil(t, second)
		require.Equal(t, []int{1, 1}, []int{second.Files, second.Redone})
		require.Len(t, second.Dropped, 1)
		require.False(t, second.Fresh)
		require.Empty(t, r.c.read, "the commit looks through nothing")
		require.Empty(t, r.c.written)
		r.redo(second)

		// Rows that others add are looked through too, and nothing beside them.
		_, third := r.commit(r.append(3, 302))
		if third != nil {
			require.Equal(t, 1, third.Files)
			r.redo(third)
			_, last := r.commit(nil)
			require.Nil(t, last)
		}
		require.Empty(t, r.c.read)
		require.Empty(t, r.c.written)
		want := append(r.want(map[int]string{201: "2 201 7", 401: "4 401 7"}), "3 302 7")
		slices.Sort(want)
		require.Equal(t, want, r.rows())
	})
}

// A row that another writer inserts with a key that the MERGE inserts too is merged: its file is looked through, and what was to be
// inserted is written again without it.
func TestAnInsertedKeyIsMerged(t *testing.T) {
	eachRedoing(t, func(t *testing.T, r *redoing) {
		_, d := r.commit(r.append(9, 901))
		require.NotNil(t, d)
		require.Equal(t, []int{1, 0}, []int{d.Files, d.Redone})
		require.Len(t, d.Kept.Files, redoDays)
		r.redo(d)
		result, again := r.commit(nil)
		require.Nil(t, again)
		require.Empty(t, r.c.read)
		require.Len(t, r.c.written, 1, "what is inserted")
		require.Equal(t, []int64{1, 7}, []int64{result.Inserted, result.Updated})
		require.Equal(t, r.want(nil), r.rows())
		for _, path := range d.Kept.Inserts.Paths {
			require.NoFileExists(t, localPath(t, path), "what was inserted before")
		}
	})
}

// What concerns nothing that the MERGE has looked at, nor a row that it could match, has nothing redone: the commit goes on.
func TestAConflictThatConcernsNothingIsNoRedo(t *testing.T) {
	eachRedoing(t, func(t *testing.T, r *redoing) {
		result, d := r.commit(r.append(20, 5000))
		require.Nil(t, d)
		require.Equal(t, 1, result.Conflicts)
		require.True(t, result.Committed)
	})
}

// What was kept and is lost on its way is done again, and so is what nobody has looked through.
func TestWhatWasKeptAndIsLostIsDoneAgain(t *testing.T) {
	eachRedoing(t, func(t *testing.T, r *redoing) {
		_, d := r.commit(r.update(2, 201))
		require.NotNil(t, d)
		r.redo(d)
		r.done[0].Found = r.done[0].Found[1:]
		_, again := r.commit(nil)
		require.NotNil(t, again)
		require.Equal(t, redoDays-1, again.Files)
		r.redo(again)
		_, last := r.commit(nil)
		require.Nil(t, last)
		require.Equal(t, r.want(map[int]string{201: "2 201 7"}), r.rows())
	})
}
