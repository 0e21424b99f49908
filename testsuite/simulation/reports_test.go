package simulation

import (
	"context"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/fault"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// What users of other tools have reported of tables that several programs write to, each in the smallest form that shows
// it, on the catalog and store of the simulation but with one script instead of a scheduler: what the programs do is what
// the test says, and between a plan and its commit happens what it puts there.

// stage is a table in memory and what happens to a commit on its way.
type stage struct {
	t *testing.T
	s *sim
	// before is called with each commit that is sent, before it arrives; answer, after it has.
	before func()
	answer func(meta table.Metadata, location string, err error) (table.Metadata, string, error)
	// repeat delivers it twice.
	repeat bool
	sent   int
	tokens int
}

// onStage runs a test on tables of format 2 and 3.
func onStage(t *testing.T, strategy merge.Strategy, do func(t *testing.T, st *stage)) {
	for format := 2; format <= 3; format++ {
		t.Run([]string{"format 2", "format 3"}[format-2], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				do(t, newStage(t, strategy, format, false))
			})
		})
	}
}

// newStage takes the first world that is as it should be.
func newStage(t *testing.T, strategy merge.Strategy, format int, partitioned bool) *stage {
	for seed := uint64(0); ; seed++ {
		s := newSim(seed, "")
		spec, by := s.catalog.current().PartitionSpec(), ""
		for _, f := range spec.Fields() {
			by = f.Name
		}
		if s.format == format && !s.catalog.currentOnly && by == map[bool]string{true: "p"}[partitioned] {
			s.strategy, s.faultless = strategy, true
			return &stage{t: t, s: s}
		}
	}
}

// LoadTable implements commit.Catalog and, with CommitTable, table.CatalogIO.
func (st *stage) LoadTable(context.Context, table.Identifier) (*table.Table, error) {
	return st.s.catalog.table(nil, len(st.s.catalog.versions)-1), nil
}

// CommitTable implements commit.Catalog.
func (st *stage) CommitTable(_ context.Context, _ table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if before := st.before; before != nil && !claims(updates) {
		st.before = nil
		before()
	}
	st.sent++
	r := &request{&process{sim: st.s, op: &operation{kind: "any", still: 1}}, reqs, updates}
	err := st.s.catalog.apply(r)
	if st.repeat {
		st.repeat = false
		err = st.s.catalog.apply(r)
	}
	meta, location := st.s.catalog.current(), locationOf(len(st.s.catalog.versions)-1)
	if err != nil {
		meta, location = nil, ""
	}
	if answer := st.answer; answer != nil {
		st.answer = nil
		return answer(meta, location, err)
	}
	return meta, location, err
}

// lost loses an answer.
func lost(table.Metadata, string, error) (table.Metadata, string, error) {
	return nil, "", fault.New(fault.ErrUnknownOutcome, "commit", io.ErrUnexpectedEOF)
}

type onlyTable struct {
	client
	*stage
}

func (o onlyTable) LoadTable(ctx context.Context, id table.Identifier) (*table.Table, error) {
	return o.stage.LoadTable(ctx, id)
}

func (o onlyTable) CommitTable(ctx context.Context, id table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	return o.stage.CommitTable(ctx, id, reqs, updates)
}

func (st *stage) table() *tables.Table {
	st.t.Helper()
	lake := tables.LakeOn(catalog.Wrap(onlyTable{stage: st}, "sim://lake"), tables.Config{
		Parallelism: 1, MemoryLimit: 1 << 24, Commit: commit.Options{MaxElapsed: 24 * time.Hour},
	})
	tbl, err := lake.Table(bg, "lake.t")
	require.NoError(st.t, err)
	return tbl
}

func (st *stage) token(writer string) tables.CommitOptions {
	st.tokens++
	return tables.CommitOptions{ID: commit.ID{Writer: writer, Token: string(rune('a' + st.tokens))}}
}

func (st *stage) append(rows ...change) (tables.Result, error) {
	tbl := st.table()
	staged, err := tbl.Stage(bg, (&source{rows: rows, without: true}).all(), tables.StageOptions{})
	require.NoError(st.t, err)
	r, err := tbl.Append(bg, st.token("appender"), staged)
	if err != nil && commit.Safe(err) {
		require.NoError(st.t, tbl.Discard(bg, staged))
	}
	return r, err
}

func (st *stage) merge(rows ...change) tables.Result {
	st.t.Helper()
	r, err := st.table().Merge(bg, st.token("merger"), st.s.mergeOptions(), &source{rows: rows})
	require.NoError(st.t, err)
	return r
}

func (st *stage) compact() tables.CompactResult {
	st.t.Helper()
	r, err := st.table().Compact(bg, st.token("maintenance"), maintain.CompactOptions{MinInputFiles: 2, MaxDeleted: 0.1})
	require.NoError(st.t, err)
	return r
}

// has checks the head's rows, that every snapshot can be read, and that nothing was removed that one names.
func (st *stage) has(want ...row) {
	st.t.Helper()
	tbl := st.s.catalog.table(nil, len(st.s.catalog.versions)-1)
	got, err := rowsOf(tbl, nil)
	require.NoError(st.t, err)
	slices.SortFunc(want, func(a, b row) int { return int(a.k-b.k)*1000 + int(a.v-b.v) })
	require.Equal(st.t, want, got)
	for _, snap := range tbl.Metadata().Snapshots() {
		_, err := rowsOf(tbl, &snap.SnapshotID)
		require.NoError(st.t, err)
	}
	require.Empty(st.t, st.s.violations)
}

// apache/iceberg 10312, nimtable/iceberg-compaction 163: rows that were deleted while a compaction ran are back after it.
func TestRowsDeletedDuringACompactionStayDeleted(t *testing.T) {
	for _, strategy := range []merge.Strategy{merge.MergeOnRead, merge.CopyOnWrite} {
		onStage(t, strategy, func(t *testing.T, st *stage) {
			_, err := st.append(change{k: 1, v: 1}, change{k: 2, v: 2})
			require.NoError(t, err)
			_, err = st.append(change{k: 3, v: 3})
			require.NoError(t, err)
			st.before = func() { st.merge(change{k: 2, del: true}) }
			r := st.compact()
			require.False(t, r.Committed, "its one group was touched")
			require.Equal(t, 1, r.GroupsDropped)
			st.has(row{1, 1}, row{3, 3})
			require.True(t, st.compact().Committed)
			st.has(row{1, 1}, row{3, 3})
		})
	}
}

// A conflict of a compaction costs the group that it concerns, not the others.
func TestACompactionKeepsTheGroupsThatNobodyTouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, merge.MergeOnRead, 3, true)
		for v := range int64(3) {
			_, err := st.append(change{k: 0, v: v}, change{k: 1, v: v})
			require.NoError(t, err)
		}
		st.before = func() { st.merge(change{k: 1, del: true}) }
		r := st.compact()
		require.True(t, r.Committed)
		require.Equal(t, []int{1, 1}, []int{r.Groups, r.GroupsDropped})
		st.has(row{0, 0}, row{0, 1}, row{0, 2})
	})
}

// redpanda-data/connect 4591 (a 5xx), apache/iceberg 17340: an answer is lost, the commit is made again, and the rows are there twice.
func TestALostAnswerDoesNotCommitTwice(t *testing.T) {
	onStage(t, merge.MergeOnRead, func(t *testing.T, st *stage) {
		st.answer = lost
		r, err := st.append(change{k: 1, v: 1})
		require.NoError(t, err)
		require.True(t, r.Committed)
		require.Equal(t, 1, r.UnknownOutcomes)
		st.answer = lost
		require.True(t, st.merge(change{k: 1, v: 2}, change{k: 2, v: 2}).Committed)
		require.Equal(t, 2, st.sent)
		st.has(row{1, 2}, row{2, 2})
	})
}

// trinodb/trino 26853: a conflict that is one with the commit's own first copy, which a client below has sent twice, makes
// the writer remove files that the table names. redpanda-data/connect 4591 (a request sent again): it adds them a second time.
func TestACommitThatArrivesTwiceKeepsItsFiles(t *testing.T) {
	for _, strategy := range []merge.Strategy{merge.MergeOnRead, merge.CopyOnWrite} {
		onStage(t, strategy, func(t *testing.T, st *stage) {
			st.repeat = true
			r, err := st.append(change{k: 1, v: 1}, change{k: 2, v: 1})
			require.NoError(t, err)
			require.True(t, r.Committed)
			require.Equal(t, 1, r.Conflicts)
			st.repeat = true
			require.True(t, st.merge(change{k: 1, v: 2}, change{k: 3, v: 2}).Committed)
			st.repeat = true
			require.True(t, st.compact().Committed)
			st.has(row{1, 2}, row{2, 1}, row{3, 2})
		})
	}
}

// apache/iceberg-go 976: a commit that is tried again after a conflict drops what the other writer added.
func TestARetryKeepsWhatAPeerAdded(t *testing.T) {
	for _, strategy := range []merge.Strategy{merge.MergeOnRead, merge.CopyOnWrite} {
		onStage(t, strategy, func(t *testing.T, st *stage) {
			_, err := st.append(change{k: 1, v: 1})
			require.NoError(t, err)
			st.before = func() { _, err := st.append(change{k: 2, v: 2}); require.NoError(t, err) }
			require.Equal(t, 1, st.merge(change{k: 1, v: 10}).Conflicts)
			st.has(row{1, 10}, row{2, 2})
			st.before = func() { _, err := st.append(change{k: 3, v: 3}); require.NoError(t, err) }
			require.True(t, st.compact().Committed)
			st.has(row{1, 10}, row{2, 2}, row{3, 3})
		})
	}
}

// A row that comes in while a MERGE runs, with a key that it merges, is merged and not doubled: the MERGE is serializable.
func TestAMatchingRowThatComesInMeanwhileIsMerged(t *testing.T) {
	for _, strategy := range []merge.Strategy{merge.MergeOnRead, merge.CopyOnWrite} {
		onStage(t, strategy, func(t *testing.T, st *stage) {
			st.before = func() { _, err := st.append(change{k: 1, v: 1}); require.NoError(t, err) }
			st.merge(change{k: 1, v: 2})
			st.has(row{1, 2})
		})
	}
}

// IMPALA-13382: a conflict throws all of the work away. Here it costs the files that it concerns.
func TestAConflictCostsWhatItConcerns(t *testing.T) {
	for _, strategy := range bothStrategies {
		onStage(t, strategy, func(t *testing.T, st *stage) {
			_, err := st.append(change{k: 1, v: 1}, change{k: 2, v: 1})
			require.NoError(t, err)
			before := 0
			st.before = func() {
				_, err := st.append(change{k: 7, v: 7})
				require.NoError(t, err)
				before = st.written()
			}
			r := st.merge(change{k: 1, v: 2}, change{k: 2, v: 2})
			require.Equal(t, []int{1, 0}, []int{r.Conflicts, r.GroupsRedone})
			require.Equal(t, before, st.written(), "the second attempt writes manifests alone")
			st.has(row{1, 2}, row{2, 2}, row{7, 7})
		})
	}
}

// amoro 938: what removes old files removes live ones, for expiry those of a commit that is under way, of a tag, and of a reader.
func TestExpiryRemovesNothingThatIsNeeded(t *testing.T) {
	onStage(t, merge.CopyOnWrite, func(t *testing.T, st *stage) {
		_, err := st.append(change{k: 1, v: 1})
		require.NoError(t, err)
		time.Sleep(240 * time.Hour) // the head is old by now
		reader := st.s.catalog.table(nil, len(st.s.catalog.versions)-1)
		expire := func() tables.ExpireResult {
			r, err := st.table().Expire(bg, st.token("maintenance"), maintain.ExpireOptions{OlderThan: time.Hour})
			require.NoError(t, err)
			return r
		}
		st.merge(change{k: 1, v: 2})
		require.False(t, expire().Committed, "who reads what was the head a moment ago needs it")
		_, err = rowsOf(reader, nil)
		require.NoError(t, err)
		time.Sleep(2 * time.Hour)
		// A commit is on its way while the snapshot that it was planned on expires, with the files that only that one names.
		st.before = func() {
			st.merge(change{k: 1, v: 3})
			time.Sleep(2 * time.Hour)
			require.Positive(t, expire().FilesSwept)
		}
		require.Equal(t, 1, st.merge(change{k: 1, v: 4}, change{k: 2, v: 4}).Conflicts)
		st.has(row{1, 4}, row{2, 4})
		_, err = rowsOf(reader, nil)
		require.ErrorIs(t, err, tables.ErrAbsent, "and two hours later it does not count on it")
	})
}

// An expiry whose answer is lost, and that did not arrive, has removed no file.
func TestExpiryThatDidNotArriveRemovesNothing(t *testing.T) {
	onStage(t, merge.CopyOnWrite, func(t *testing.T, st *stage) {
		for v := range int64(3) {
			st.merge(change{k: 1, v: v})
		}
		time.Sleep(2 * time.Hour)
		tbl := st.table()
		versions := st.s.catalog.versions
		st.answer = func(table.Metadata, string, error) (table.Metadata, string, error) {
			st.s.catalog.versions = versions // as if it had never been
			return lost(nil, "", nil)
		}
		ctx, cancel := context.WithCancel(bg)
		opts := st.token("maintenance")
		opts.Observe = func(commit.Event) { cancel() }
		_, err := tbl.Expire(ctx, opts, maintain.ExpireOptions{OlderThan: time.Hour})
		require.Error(t, err)
		require.False(t, commit.Safe(err))
		st.has(row{1, 2})
	})
}
