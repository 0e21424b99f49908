package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/transforms/expression"
	"github.com/varve-lake/varve/workflows"
)

// weekVariable, when set, is how often TestAWeek appends: 1m for each minute.
const weekVariable = "VARVE_WEEK"

const (
	weekTable  = "bronze.events"
	weekDays   = 7
	weekKeeps  = 36 * time.Hour // of rows
	weekPolicy = `
pipeline: week
tables:
  bronze.events:
    source: {files: "in/*.csv"}
    columns: {id: long, ts: timestamptz, v: long}
    partition_by: [days(ts)]
    retain: {column: ts, for: 36h}
    maintenance:
      compact: {%s, min_input_files: 5, clean_bytes: 1B}
      merge_deletes: {min_input_files: 2}
      remove_dangling_deletes: {min_files: 1}
      rewrite_manifests: {min_input_manifests: 3}
      expire_snapshots: {older_than: 6h, keep_last: 10}
      remove_orphans: {older_than: 6h}
`
)

// pace is how often what happens in a week, and of how much.
type pace struct {
	version                      int
	appended, merged, maintained time.Duration
	rows                         int    // of an append
	compact                      string // how files are joined
}

// weekJoined and weekClustered are how files are joined in format 2 and in format 3, in which appends are large enough for a day of several
// files.
const (
	weekJoined    = "target_file_size: 64KB"
	weekClustered = "target_file_size: 8KB, strategy: zorder, columns: [id, v]"
)

// TestAWeek has a table live through a week, on a clock that goes on when nothing is left to do: it is appended to, merged
// into, and maintained by its policy; some writers die and leave files behind, and another engine deletes that delete nothing. Its
// rows stay those of a model, nothing of what it takes up, on disk or in metadata, grows after the second day, and each kind of
// maintenance has had something to do.
func TestAWeek(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of commits in one goroutine: the race detector has little to find, and long to look")
	}
	p := pace{appended: time.Hour, merged: 4 * time.Hour, maintained: 6 * time.Hour}
	if often := os.Getenv(weekVariable); often != "" {
		each, err := time.ParseDuration(often)
		require.NoError(t, err, weekVariable)
		p = pace{appended: each, merged: 15 * time.Minute, maintained: time.Hour}
	}
	for _, p.version = range []int{2, 3} {
		p.rows, p.compact = 20, weekJoined
		if p.version == 3 {
			p.rows, p.compact = max(20, int(200*p.appended/time.Hour)), weekClustered
		}
		t.Run(fmt.Sprintf("v%d", p.version), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { newWeek(t, p).live() }) })
	}
}

// week is a table beside its model, and what was measured at the end of each day.
type week struct {
	*lab
	pace
	dice   *rand.Rand
	folder string
	made   ages
	rows   map[int64]weekRow
	next   int64
	steps  int
	days   []debt
	wrote  int64           // bytes of compactions
	did    map[string]int  // maintenances in which a step has changed something, by its kind
	placed map[string]bool // files that a clustering has written, by path
}

type weekRow struct {
	ts time.Time
	v  int64
}

// debt is what a table takes up, and what reading it costs.
type debt struct {
	health *tables.Health
	disk   onDisk
	rows   int
}

func newWeek(t *testing.T, p pace) *week {
	w := &week{lab: newLab(t), pace: p, dice: rand.New(rand.NewPCG(1, 7)), made: ages{}, rows: map[int64]weekRow{},
		did: map[string]int{}, placed: map[string]bool{}}
	none := func(context.Context) (time.Duration, error) { return 0, nil }
	w.a.longest, w.a.reading = none, none
	w.write("pipelines/week.yaml", fmt.Sprintf(weekPolicy, p.compact))
	tbl, _, err := w.a.lake.Ensure(t.Context(), tables.Definition{
		Name: weekTable, Schema: weekSchema, PartitionBy: []string{"days(ts)"}, FormatVersion: p.version,
		Properties: map[string]string{"write.metadata.previous-versions-max": "20"}, // of a day, and not of three
	})
	require.NoError(t, err)
	w.folder = strings.TrimPrefix(tbl.Location(), "file://")
	return w
}

// live goes through the days.
func (w *week) live() {
	began := time.Now()
	for at := p0; at <= weekDays*24*time.Hour; at += time.Minute {
		time.Sleep(time.Until(began.Add(at)))
		if at%w.appended == 0 {
			w.appendRows()
		}
		if at%w.merged == 0 {
			w.mergeRows()
		}
		if at%(24*time.Hour) == 12*time.Hour {
			w.leaveDangling()
		}
		if at%w.maintained == 0 {
			w.keep()
		}
		if at%(24*time.Hour) == 0 {
			w.measure()
		}
	}
	w.t.Log(w.report())
	w.bounded()
	w.worked()
	want := []string{}
	for id, r := range w.rows {
		want = append(want, fmt.Sprint(id, " ", r.v))
	}
	slices.Sort(want)
	require.Equal(w.t, want, w.lab.rows(weekTable, "id", "v"))
}

// p0 is when the first minute has passed.
const p0 = time.Minute

var weekSchema = arrow.NewSchema([]arrow.Field{
	{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "ts", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true},
	{Name: "v", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
}, nil)

// weekSource is rows as a merge reads them.
type weekSource map[int64]weekRow

// Schema implements merge.Source.
func (s weekSource) Schema() *arrow.Schema { return weekSchema }

// Open implements merge.Source.
func (s weekSource) Open(_ context.Context, names []string) (array.RecordReader, error) {
	if names == nil {
		names = []string{"id", "ts", "v"}
	}
	var fields []arrow.Field
	for _, name := range names {
		fields = append(fields, weekSchema.Field(weekSchema.FieldIndices(name)[0]))
	}
	schema := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, id := range slices.Sorted(maps.Keys(s)) {
		for i, name := range names {
			switch name {
			case "id":
				b.Field(i).(*array.Int64Builder).Append(id)
			case "ts":
				b.Field(i).(*array.TimestampBuilder).Append(arrow.Timestamp(s[id].ts.UnixMicro()))
			case "v":
				b.Field(i).(*array.Int64Builder).Append(s[id].v)
			}
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	return array.NewRecordReader(schema, []arrow.RecordBatch{batch})
}

// options are those of a build's commit, with a checkpoint that is too large for the metadata.
func (w *week) options() tables.CommitOptions {
	w.steps++
	body, err := json.Marshal(strings.Repeat(fmt.Sprintf("%d.csv ", w.steps), 1000))
	require.NoError(w.t, err)
	return tables.CommitOptions{
		ID: commit.ID{Writer: "build", Token: fmt.Sprint(w.steps)}, Checkpoint: &tables.Checkpoint{Kind: "files", Body: body},
	}
}

// fresh are new rows of this minute.
func (w *week) fresh(n int) weekSource {
	out := weekSource{}
	for range n {
		out[w.next] = weekRow{time.Now().Add(-time.Duration(w.dice.IntN(60)) * time.Second).Truncate(time.Second), w.dice.Int64N(1_000_000)}
		w.next++
	}
	return out
}

func (w *week) appendRows() {
	rows := w.fresh(w.pace.rows)
	in, err := rows.Open(w.t.Context(), nil)
	require.NoError(w.t, err)
	tbl := w.tableOf(weekTable)
	staged, err := tbl.Stage(w.t.Context(), in, tables.StageOptions{})
	require.NoError(w.t, err)
	if w.dice.IntN(50) == 0 {
		return // it died before it committed
	}
	_, err = tbl.Append(w.t.Context(), w.options(), staged)
	require.NoError(w.t, err)
	maps.Copy(w.rows, rows)
}

// mergeRows changes rows of the last day, and brings some new ones.
func (w *week) mergeRows() {
	rows := w.fresh(10)
	for range 40 {
		id := w.next - 1 - w.dice.Int64N(min(w.next, int64(time.Duration(w.pace.rows)*24*time.Hour/w.appended)))
		if r, ok := w.rows[id]; ok {
			rows[id] = weekRow{r.ts, w.dice.Int64N(1_000_000)}
		}
	}
	value, err := expression.Compile("s.v", expression.Scope{"s": weekSchema, "t": weekSchema})
	require.NoError(w.t, err)
	strategy := merge.MergeOnRead
	if w.dice.IntN(4) == 0 {
		strategy = merge.CopyOnWrite
	}
	_, err = w.tableOf(weekTable).Merge(w.t.Context(), w.options(), merge.Options{
		On: []string{"id"}, Strategy: strategy, TempDir: w.t.TempDir(),
		Matched:    []merge.Clause{{Action: merge.Update, Set: []merge.Assign{{Column: "v", Value: value}}}},
		NotMatched: []merge.Clause{{Action: merge.Insert, All: true}},
	}, rows)
	require.NoError(w.t, err)
	maps.Copy(w.rows, rows)
}

// keep is what the schedule starts.
func (w *week) keep() {
	require.NoError(w.t, w.made.set(w.folder))
	r, err := w.lab.maintain(0, workflows.MaintainInput{Table: weekTable})
	require.NoError(w.t, err)
	for _, s := range r.Steps {
		require.Empty(w.t, s.Error, s.Kind)
		w.wrote += s.BytesWritten
		if s.Done {
			w.did[s.Kind]++
		}
	}
	for _, f := range w.files() {
		if strings.Contains(f.FilePath(), "/zorder-") {
			w.placed[f.FilePath()] = true
		}
	}
	past := time.Now().Add(-weekKeeps).Truncate(time.Second)
	maps.DeleteFunc(w.rows, func(_ int64, r weekRow) bool { return r.ts.Before(past) })
}

func (w *week) measure() {
	h, err := w.tableOf(weekTable).Health(w.t.Context(), 64_000)
	require.NoError(w.t, err)
	disk, err := look(w.folder)
	require.NoError(w.t, err)
	w.days = append(w.days, debt{h, disk, len(w.rows)})
}

// debts are what must not grow, by name.
func (d debt) debts() map[string]int64 {
	h := d.health
	return map[string]int64{
		"data files": int64(h.Files), "small": int64(h.SmallFiles), "delete files": int64(h.DeleteFiles), "snapshots": int64(h.Snapshots),
		"manifests": int64(h.Manifests), "metadata.json": h.MetadataBytes, "files on disk": int64(d.disk.files), "bytes on disk": d.disk.bytes,
		"metadata files": int64(d.disk.metadata), "state files": int64(d.disk.states), "staged files": int64(d.disk.staged),
		"rows": int64(d.rows), "data bytes": h.Bytes,
	}
}

var debtNames = []string{
	"rows", "data bytes", "data files", "small", "delete files", "snapshots", "manifests", "metadata.json", "metadata files", "state files", "staged files", "files on disk", "bytes on disk",
}

func (w *week) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nformat %d, an append each %s, a MERGE each %s, maintenance each %s; %d commits; compactions wrote %d kB, clusterings %d files; each step did something in so many maintenances: %v\n| day | %s |\n|---%s|\n", w.version, w.appended, w.merged, w.maintained, w.steps, w.wrote/1000, len(w.placed), w.did,
		strings.Join(debtNames, " | "), strings.Repeat("|---", len(debtNames)))
	for i, d := range w.days {
		fmt.Fprintf(&b, "| %d |", i+1)
		all := d.debts()
		for _, name := range debtNames {
			fmt.Fprintf(&b, " %d |", all[name])
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// bounded holds every later day against the second; where files are clustered, by twice of what it grows by, for a day may end
// before its partition is clustered, or after.
func (w *week) bounded() {
	second, more := w.days[1].debts(), int64(3)
	if w.compact == weekClustered {
		more *= 2
	}
	for i, d := range w.days[2:] {
		for name, n := range d.debts() {
			require.LessOrEqual(w.t, n, second[name]*(10+more)/10+10, "%s of day %d", name, i+3)
		}
	}
}
