package activities

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
)

// stockLab is a table of 12 files, and a delivery that changes a row in each of them, deletes none and adds one.
func stockLab(t *testing.T, strategy string) (*lab, *build) {
	t.Helper()
	l := newLab(t, func(c *Config) { c.FanOut, c.Batch = 1, 5 })
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  silver.stock:
    source: {files: "in/*.csv", malformed: quarantine}
    columns: {id: int, shop: string, n: int}
    partition_by: [shop]
    write:
      merge:
        on: [id]
        strategy: `+strategy+`
        when_matched: [{if: s.n < 0, delete: true}, {if: s.n > t.n, update: "*"}]
        when_not_matched: [{insert: "*"}]
`)
	var first, second strings.Builder
	first.WriteString("id,shop,n\n")
	second.WriteString("id,shop,n\n9999,new,1\n3,s-3,-1\nx,y,z\n")
	for i := range 120 {
		fmt.Fprintf(&first, "%d,s-%d,%d\n", i, i%12, 10)
		if i < 24 && i != 3 {
			fmt.Fprintf(&second, "%d,s-%d,%d\n", i, i%12, i)
		}
	}
	l.write("in/1.csv", first.String())
	l.runPipeline("p")
	l.write("in/2.csv", second.String())
	return l, l.staged2(t)
}

// staged2 prepares and stages what is new for silver.stock.
func (l *lab) staged2(t *testing.T) *build {
	t.Helper()
	compiled, err := l.compile("p")
	require.NoError(t, err)
	b := l.begin(compiled, "silver.stock")
	require.NoError(t, b.prepare())
	require.NoError(t, b.stage())
	return b
}

func (b *build) commitInGroups(rounds []wire.MergeRound) (wire.Committed, error) {
	return call[wire.Committed](b.l, wire.ActivityCommit, wire.CommitRequest{
		Job: b.prepared.Job, Parts: b.parts, FanOut: true, Merged: rounds,
	})
}

func (b *build) mergeGroup(d *wire.Divided, n int) (wire.MergedGroup, error) {
	return call[wire.MergedGroup](b.l, wire.ActivityMergeGroup, wire.MergeGroupRequest{Job: b.prepared.Job, Division: d.Division, Group: n})
}

// mergeAll merges the groups of a division, each so many times, and gathers them in batches.
func (b *build) mergeAll(d *wire.Divided, times int) wire.MergeRound {
	b.l.t.Helper()
	round := wire.MergeRound{Division: d.Division}
	var batch []string
	for n := range d.Groups {
		var last wire.MergedGroup
		for range times {
			var err error
			last, err = b.mergeGroup(d, n)
			require.NoError(b.l.t, err)
			require.NotEmpty(b.l.t, last.Part, last.Reason)
		}
		if batch = append(batch, last.Part); len(batch) == 5 || n == d.Groups-1 {
			gathered, err := call[wire.Gathered](b.l, wire.ActivityGather, wire.GatherRequest{Job: b.prepared.Job, Parts: batch})
			require.NoError(b.l.t, err)
			round.Parts, batch = append(round.Parts, gathered.Part), nil
		}
	}
	return round
}

func (l *lab) stock() []string { return l.rows("silver.stock", "id", "shop", "n") }

// wantStock is the table after the second delivery.
func wantStock() map[string]bool {
	want := map[string]bool{"9999 new 1": true}
	for i := range 120 {
		n := 10
		if i > 10 && i < 24 {
			n = i
		}
		if i != 3 {
			want[fmt.Sprintf("%d s-%d %d", i, i%12, n)] = true
		}
	}
	return want
}

func (l *lab) requireStock() {
	l.t.Helper()
	want := wantStock()
	rows := l.stock()
	require.Len(l.t, rows, len(want))
	for _, r := range rows {
		require.True(l.t, want[r], r)
	}
}

func TestAMergeInGroupsThroughActivities(t *testing.T) {
	for _, strategy := range []string{"copy-on-write", "merge-on-read"} {
		t.Run(strategy, func(t *testing.T) {
			l, b := stockLab(t, strategy)
			divided, err := b.commitInGroups(nil)
			require.NoError(t, err)
			require.NotNil(t, divided.Divided)
			d := divided.Divided
			require.Equal(t, 12, d.Files)
			require.Greater(t, d.Groups, 2)
			require.False(t, d.Redo)
			require.Equal(t, []string{"x,y,z"}, l.rows("silver.stock__quarantine", "_row"))

			rounds := []wire.MergeRound{b.mergeAll(d, 1)}
			snapshots := l.snapshots("silver.stock")
			done, err := b.commitInGroups(rounds)
			require.NoError(t, err)
			require.Nil(t, done.Divided)
			require.Equal(t, []int64{1, 13, 1}, []int64{done.Inserted, done.Updated, done.Deleted})
			l.requireStock()
			for range 2 { // the answer was lost
				again, err := b.commitInGroups(rounds)
				require.NoError(t, err)
				require.True(t, again.Already)
				require.Equal(t, done.Snapshot, again.Snapshot)
				require.Equal(t, done.Updated, again.Updated)
			}
			require.LessOrEqual(t, l.snapshots("silver.stock"), snapshots+2)
			require.Len(t, l.rows("silver.stock__quarantine", "_row"), 1)
			require.NoError(t, b.cleanup())
			require.Empty(t, l.staged())
			l.requireStock()
		})
	}
}

// A group that runs twice, since its worker was given up for dead, is in the table once; so is a division made twice.
func TestMergeGroupsTwice(t *testing.T) {
	l, b := stockLab(t, "copy-on-write")
	_, err := b.commitInGroups(nil)
	require.NoError(t, err)
	divided, err := b.commitInGroups(nil)
	require.NoError(t, err)
	round := b.mergeAll(divided.Divided, 2)
	done, err := b.commitInGroups([]wire.MergeRound{round})
	require.NoError(t, err)
	require.Equal(t, int64(13), done.Updated)
	l.requireStock()
	late, err := b.mergeGroup(divided.Divided, 0)
	require.NoError(t, err, "a zombie goes on after the commit")
	require.True(t, late.Part != "" || late.Reason != "")
	l.requireStock()
}

// Others change the table while groups are merged: the commit completes, and names what has to be done again.
func TestAConflictDividesWhatItConcerns(t *testing.T) {
	l, b := stockLab(t, "copy-on-write")
	first, err := b.commitInGroups(nil)
	require.NoError(t, err)
	rounds := []wire.MergeRound{b.mergeAll(first.Divided, 1)}

	others := []int{4, 5, 6, 7, 8, 9, 10} // rows of seven files, of which each is of a partition of its own
	l.meanwhile(others...)
	second, err := b.commitInGroups(rounds)
	require.NoError(t, err)
	require.NotNil(t, second.Divided)
	require.True(t, second.Divided.Redo)
	require.Equal(t, []int{12, 7}, []int{first.Divided.Files, second.Divided.Files}, "only what the other commit has touched")

	rounds = append(rounds, b.mergeAll(second.Divided, 1))
	done, err := b.commitInGroups(rounds)
	require.NoError(t, err)
	require.Nil(t, done.Divided)
	want := wantStock()
	for i := range 120 { // n = 1000 is newer than what the delivery has
		if slices.Contains(others, i) {
			delete(want, fmt.Sprintf("%d s-%d %d", i, i%12, 10))
			want[fmt.Sprintf("%d s-%d 1000", i, i%12)] = true
		}
	}
	rows := l.stock()
	require.Len(t, rows, len(want))
	for _, r := range rows {
		require.True(t, want[r], r)
	}
}

// Where no more divisions are allowed, the commit redoes conflicts by itself.
func TestACommitRedoesConflictsItself(t *testing.T) {
	l, b := stockLab(t, "merge-on-read")
	first, err := b.commitInGroups(nil)
	require.NoError(t, err)
	rounds := []wire.MergeRound{b.mergeAll(first.Divided, 1)}
	l.meanwhile(30, 31)
	done, err := call[wire.Committed](l, wire.ActivityCommit, wire.CommitRequest{Job: b.prepared.Job, Parts: b.parts, Merged: rounds})
	require.NoError(t, err)
	require.Nil(t, done.Divided)
	require.Positive(t, done.GroupsRedone)
	require.Equal(t, []int64{1, 13, 1}, []int64{done.Inserted, done.Updated, done.Deleted})
	require.EqualValues(t, done.GroupsRedone, l.metered.of(metricRedone, "silver.stock"))
	require.Positive(t, l.metered.of(metricAttempts, "silver.stock"))
	require.Zero(t, l.metered.of(metricUnknown, "silver.stock"))
}

// meanwhile sets n of some rows to 1000, as another writer.
func (l *lab) meanwhile(ids ...int) {
	l.t.Helper()
	table, err := l.a.lake.Table(l.t.Context(), "silver.stock")
	require.NoError(l.t, err)
	schema, err := table.Schema()
	require.NoError(l.t, err)
	schema, err = project(schema, []string{"id", "shop", "n"})
	require.NoError(l.t, err)
	build := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for _, i := range ids {
		for c, v := range []string{fmt.Sprint(i), fmt.Sprintf("s-%d", i%12), "1000"} {
			require.NoError(l.t, build.Field(c).AppendValueFromString(v))
		}
	}
	source := rowsSource{build.NewRecordBatch()}
	l.runs++
	id := commit.ID{Writer: "another", Token: fmt.Sprint(l.runs)}
	_, err = table.Merge(l.t.Context(), tables.CommitOptions{ID: id}, merge.Options{
		On: []string{"id"}, Matched: []merge.Clause{{Action: merge.Update, All: true}},
	}, source)
	require.NoError(l.t, err)
}

// rowsSource merges one batch.
type rowsSource struct{ batch arrow.RecordBatch }

func (s rowsSource) Schema() *arrow.Schema { return s.batch.Schema() }

func (s rowsSource) Open(_ context.Context, columns []string) (array.RecordReader, error) {
	schema, err := project(s.batch.Schema(), columns)
	if err != nil {
		return nil, err
	}
	var all []arrow.Array
	for _, f := range schema.Fields() {
		all = append(all, s.batch.Column(s.batch.Schema().FieldIndices(f.Name)[0]))
	}
	return array.NewRecordReader(schema, []arrow.RecordBatch{array.NewRecordBatch(schema, all, s.batch.NumRows())})
}

// A column that is added between the division and the commit changes how files are written: the MERGE is divided anew.
func TestASchemaThatChangedDividesAnew(t *testing.T) {
	l, b := stockLab(t, "copy-on-write")
	first, err := b.commitInGroups(nil)
	require.NoError(t, err)
	round := b.mergeAll(first.Divided, 1)
	l.addColumn("extra")
	second, err := b.commitInGroups([]wire.MergeRound{round})
	require.NoError(t, err)
	require.NotNil(t, second.Divided)
	require.Equal(t, 12, second.Divided.Files)

	l.addColumn("more")
	moved, err := b.mergeGroup(second.Divided, 0)
	require.NoError(t, err)
	require.Empty(t, moved.Part)
	require.Contains(t, moved.Reason, "schema or layout")

	rounds := []wire.MergeRound{round, {Division: second.Divided.Division}}
	third, err := b.commitInGroups(rounds)
	require.NoError(t, err)
	require.NotNil(t, third.Divided)
	rounds = append(rounds, b.mergeAll(third.Divided, 1))
	done, err := b.commitInGroups(rounds)
	require.NoError(t, err)
	require.Nil(t, done.Divided)
	l.requireStock()
}

func (l *lab) addColumn(name string) {
	l.t.Helper()
	table, err := l.a.lake.Table(l.t.Context(), "silver.stock")
	require.NoError(l.t, err)
	tx := table.Iceberg().NewTransaction()
	require.NoError(l.t, tx.UpdateSchema(true, false).AddColumn([]string{name}, iceberg.PrimitiveTypes.Int64, "", false, nil).Commit())
	_, err = tx.Commit(l.t.Context())
	require.NoError(l.t, err)
}

// Results that no commit was asked to use are removed when the build is given up.
func TestCleanupDiscardsMergedGroups(t *testing.T) {
	l, b := stockLab(t, "copy-on-write")
	before := l.dataFiles()
	first, err := b.commitInGroups(nil)
	require.NoError(t, err)
	round := b.mergeAll(first.Divided, 1)
	require.Greater(t, l.dataFiles(), before)
	for range 2 {
		_, err = l.env.ExecuteActivity(wire.ActivityCleanup, wire.CleanupRequest{
			Build: b.build, Table: b.table.Name, Job: b.prepared.Job, Discard: round.Parts,
		})
		require.NoError(t, err)
	}
	require.Equal(t, before, l.dataFiles())
	require.Empty(t, l.staged())
}

func (l *lab) dataFiles() (n int) {
	_ = filepath.WalkDir(filepath.Join(l.dir, "lake", "warehouse"), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.Contains(path, "/stock/data/") && !d.IsDir() {
			n++
		}
		return nil
	})
	return n
}

func TestACancelledGroupLeavesNothing(t *testing.T) {
	l, b := stockLab(t, "copy-on-write")
	first, err := b.commitInGroups(nil)
	require.NoError(t, err)
	before := l.dataFiles()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	started := time.Now()
	p, stop := startPulse(ctx)
	defer stop()
	_, err = l.a.mergeGroup(ctx, p, wire.MergeGroupRequest{Job: b.prepared.Job, Division: first.Divided.Division})
	require.ErrorIs(t, classify(ctx, err), context.Canceled)
	require.Less(t, time.Since(started), 2*time.Second)
	require.Equal(t, before, l.dataFiles())
	leftovers, err := filepath.Glob(filepath.Join(l.a.cfg.WorkDir, "varve-merge-*"))
	require.NoError(t, err)
	require.Empty(t, leftovers)
}
