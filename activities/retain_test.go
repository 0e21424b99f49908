package activities

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/workflows"
)

// retain is a policy by which rows of 2014 are past their time and those of 2024 are not.
var retain = fmt.Sprintf("retain: {column: day, for: %dd}\n", int(time.Since(time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)).Hours()/24))

// deliverAged delivers a row that is past its time, 2n, and one that is not, 2n+1.
func (l *lab) deliverAged(n int) {
	l.t.Helper()
	l.write(fmt.Sprintf("in/%03d.csv", n), fmt.Sprintf("id,day,v\n%d,2014-01-01,1\n%d,2024-01-01,2\n", 2*n, 2*n+1))
	l.build("bronze.events")
}

// build builds one table of the pipeline and none that reads it.
func (l *lab) build(table string) {
	l.t.Helper()
	compiled, err := l.compile("kept")
	require.NoError(l.t, err)
	_, err = l.begin(compiled, table).run()
	require.NoError(l.t, err)
}

func TestRetention(t *testing.T) {
	l := kept(t, retain, 0)
	for i := range 3 {
		l.deliverAged(i)
	}
	require.Len(t, l.rows("bronze.events", "id"), 6)
	preview, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events", Preview: true})
	require.NoError(t, err)
	require.Equal(t, 3, steps(preview)["retain"].Files)
	r, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.EqualValues(t, 3, steps(r)["retain"].Rows)
	require.Equal(t, []string{"1 2024-01-01", "3 2024-01-01", "5 2024-01-01"}, l.rows("bronze.events", "id", "day"))
	require.Zero(t, steps(r)["expire"].Snapshots, "snapshots have them still")

	// A week later the snapshots that have them are gone, and so are their files.
	data := func() (n int) {
		_ = filepath.WalkDir(filepath.Join(l.dir, "lake", "warehouse"), func(path string, d os.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".parquet") {
				n++
			}
			return nil
		})
		return n
	}
	require.Equal(t, 6, data())
	_, err = l.maintain(8*24*time.Hour, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.Equal(t, 3, data())
	require.Equal(t, 1, l.snapshots("bronze.events"))
	require.Equal(t, wire.StateUnchanged, l.runPipeline("kept")["bronze.events"].State, "what was deleted is not loaded again")
}

// What is deleted for its age is no news for who reads what was added: it goes on, with what came before and after.
func TestReadersGoOnAfterRowsWerePastTheirTime(t *testing.T) {
	l := kept(t, retain+"  silver.events: {from: bronze.events, columns: {id: int, v: long}, strict: true}", 0)
	l.deliverAged(0)
	l.build("silver.events")
	l.deliverAged(1) // which silver has yet to read
	r, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.EqualValues(t, 2, steps(r)["retain"].Rows)
	require.Equal(t, []string{"1", "3"}, l.rows("bronze.events", "id"))

	l.deliverAged(2)
	l.build("silver.events")
	require.Equal(t, []string{"0", "1", "2", "3", "4", "5"}, l.rows("silver.events", "id"), "each row of every delivery, once")
	_, err = l.maintain(0, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	for name, r := range l.runPipeline("kept") {
		require.Equal(t, wire.StateUnchanged, r.State, "%s: %s", name, r.Reason)
	}
}

// Snapshots that hold no row that was deleted for its age stay as the policy says: by number, and for readers.
func TestRetentionTakesOnlySnapshotsThatHoldWhatIsPastItsTime(t *testing.T) {
	policy := retain + "    maintenance: {expire_snapshots: {older_than: 1h, keep_last: 3}}\n"
	l := kept(t, policy+"  silver.events: {from: bronze.events, columns: {id: int, v: long}, strict: true}", 0)
	l.deliverAged(0)
	l.build("silver.events")
	_, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.Equal(t, 2, l.snapshots("bronze.events"))
	l.build("silver.events") // has read as far as the retention
	for n := 1; n < 6; n++ {
		l.write(fmt.Sprintf("in/%03d.csv", n), fmt.Sprintf("id,day,v\n%d,2024-01-01,2\n", 2*n+1))
		l.build("bronze.events")
	}
	r, err := l.maintain(2*time.Hour, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.Equal(t, 1, steps(r)["expire"].Snapshots, "the one before the retention; the others silver has yet to read")
	l.build("silver.events")
	require.Len(t, l.rows("silver.events", "id"), 7)
	r, err = l.maintain(2*time.Hour, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.Equal(t, 3, steps(r)["expire"].Snapshots)
	require.Equal(t, 3, l.snapshots("bronze.events"), "keep_last")
}

// readByAppends is a table that reads bronze.events by what is added to it.
const readByAppends = "\n  silver.events: {from: bronze.events, columns: {id: int, day: date, v: long}, strict: true}"

func (l *lab) tended(later time.Duration) map[string]wire.UpkeepStep {
	l.t.Helper()
	r, err := l.maintain(later, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(l.t, err)
	return steps(r)
}

// parquets counts the data files of a table's folder.
func (l *lab) parquets(of string) int { return len(l.parquetsIn(of)) }

// parquetsIn are their paths.
func (l *lab) parquetsIn(of string) (paths []string) {
	_ = filepath.WalkDir(filepath.Join(l.dir, "lake", "warehouse", of), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".parquet") {
			paths = append(paths, path)
		}
		return nil
	})
	return paths
}

// Rows past their time are really gone when their snapshots are old, whoever has not read them. The reader goes on with what
// is left, and takes nothing twice.
func TestAReaderOfErasedSnapshotsGoesOn(t *testing.T) {
	l := kept(t, retain+"    maintenance: {expire_snapshots: {older_than: 7d, keep_last: 1}}"+readByAppends, 0)
	l.deliverAged(0)
	l.build("silver.events")
	for i := 1; i < 4; i++ {
		l.deliverAged(i)
	}
	require.EqualValues(t, 4, l.tended(0)[wire.UpkeepRetain].Rows)
	l.deliverAged(4)
	l.deliverAged(5)
	require.Equal(t, 12, l.parquets("bronze.db"))
	later := l.tended(8 * 24 * time.Hour)
	require.EqualValues(t, 2, later[wire.UpkeepRetain].Rows)
	require.Equal(t, 7, later[wire.UpkeepExpire].Snapshots, "those before the last removal")
	require.Equal(t, 6, l.parquets("bronze.db"))

	// What came after it stays until it is read.
	l.write("in/006.csv", "id,day,v\n13,2024-01-01,2\n")
	l.build("bronze.events")
	later = l.tended(16 * 24 * time.Hour)
	require.Zero(t, later[wire.UpkeepExpire].Snapshots)
	require.Contains(t, later[wire.UpkeepExpire].Why, "yet to be read by silver.events stays")
	require.Equal(t, 2, l.snapshots("bronze.events"))
	r := l.runPipeline("kept")["silver.events"]
	require.Equal(t, wire.StateBuilt, r.State)
	require.Empty(t, r.Warnings)
	require.Equal(t, []string{"0", "1", "11", "13", "3", "5", "7", "9"}, l.rows("silver.events", "id"))
	l.deliverAged(7)
	l.build("silver.events")
	require.Equal(t, []string{"0", "1", "11", "13", "14", "15", "3", "5", "7", "9"}, l.rows("silver.events", "id"))
	require.Equal(t, 1, l.tended(24 * 24 * time.Hour)[wire.UpkeepExpire].Snapshots-2, "all but the head, once read")
}

// Where a compaction has joined what was read with what was not, the reader ends with an error: it must leave out no row and
// take none twice.
func TestAReaderOfErasedSnapshotsTakesNothingTwice(t *testing.T) {
	l := kept(t, retain+"    maintenance: {compact: {min_input_files: 2}, expire_snapshots: {older_than: 7d, keep_last: 1}}"+readByAppends, 0)
	l.deliverAged(0)
	l.build("silver.events")
	for i := 1; i < 4; i++ {
		l.deliverAged(i)
	}
	l.tended(0)
	l.deliverAged(4)
	l.tended(8 * 24 * time.Hour) // which removes rows again
	require.Equal(t, 2, l.snapshots("bronze.events"))
	compiled, err := l.compile("kept")
	require.NoError(t, err)
	_, err = l.begin(compiled, "silver.events").run()
	require.ErrorContains(t, err, "1 files have rows of before and of after it")
	require.ErrorContains(t, err, "read: full")
	require.Equal(t, []string{"0", "1"}, l.rows("silver.events", "id"))
}

// A table that was dropped meanwhile, or is broken, keeps no other from being looked after.
func TestABrokenTableStopsNoExpiry(t *testing.T) {
	l := kept(t, "maintenance: {expire_snapshots: {older_than: 1h, keep_last: 1}}"+readByAppends, 3)
	require.NoError(t, os.RemoveAll(filepath.Join(l.dir, "lake", "warehouse", "silver.db", "events", "metadata")))
	expired := l.tended(2 * time.Hour)[wire.UpkeepExpire]
	require.Equal(t, 2, expired.Snapshots)
	require.Contains(t, expired.Why, "what silver.events has read is not known")
}

// Rows that a table refused are kept for as long as its rows, from when they came, and go with the maintenance of the table itself:
// from the head, and a week later for good. A preview says so. A column of the table's they need not have.
func TestRetentionOfRefusedRows(t *testing.T) {
	l := kept(t, "expect: [{name: small, that: v < 5, otherwise: quarantine}]\n    "+retain, 0)
	deliver := func(n int, came time.Time) {
		t.Helper()
		l.write(fmt.Sprintf("in/%03d.csv", n), fmt.Sprintf("id,day,v\n%d,2024-01-01,1\n%d,2014-01-01,7\n%d,2024-01-01,8\n", 3*n, 3*n+1, 3*n+2))
		compiled, err := l.compile("kept")
		require.NoError(t, err)
		b := l.begin(compiled, "bronze.events")
		b.build.LoadedAt = came
		_, err = b.run()
		require.NoError(t, err)
	}
	const refused = "bronze.events__quarantine"
	deliver(0, time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC))
	deliver(1, time.Now())
	deliver(2, time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC))
	require.Len(t, l.rows(refused, "_key"), 6)
	files := l.parquets("bronze.db/events__quarantine")

	preview, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events", Preview: true})
	require.NoError(t, err)
	require.True(t, steps(preview)[wire.UpkeepRetain].Done)
	require.Contains(t, steps(preview)[wire.UpkeepRetain].What, "no row is past its time; of the rows that the table refused: remove 2 files unread, 4 rows at most")
	require.Len(t, l.rows(refused, "_key"), 6, "a preview changes nothing")
	policy := plan.Maintenance{Retain: &plan.Retain{Column: "day", For: int64(time.Since(time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)).Seconds())}}
	next, err := Next(l.t.Context(), l.a.lake, l.tableOf("bronze.events"), policy, time.Now())
	require.NoError(t, err)
	require.Equal(t, wire.UpkeepRetain, next[0].Kind)
	require.Contains(t, next[0].What, "of the rows that the table refused: remove 2 files unread, 4 rows at most")

	did := l.tended(0)[wire.UpkeepRetain]
	require.EqualValues(t, 4, did.Rows)
	require.Contains(t, did.What, "of the rows that the table refused: deleted 4 rows, of 2 files")
	require.Len(t, l.rows("bronze.events", "id"), 3)
	require.Equal(t, []string{"4", "5"}, l.refusedIDs(refused))
	require.Equal(t, files, l.parquets("bronze.db/events__quarantine"), "snapshots have them still")

	l.tended(8 * 24 * time.Hour)
	require.Equal(t, files-2, l.parquets("bronze.db/events__quarantine"))
	require.Equal(t, []string{"4", "5"}, l.refusedIDs(refused))
	require.Len(t, l.rows("bronze.events", "id"), 3)

	// Maintained for itself, the quarantine goes by the same.
	r, err := l.maintain(0, workflows.MaintainInput{Table: refused})
	require.NoError(t, err)
	require.False(t, steps(r)[wire.UpkeepRetain].Done)
	require.Contains(t, steps(r)[wire.UpkeepRetain].Why, "_quarantined_at < timestamptz(")
}

// refusedIDs are the ids of rows that were refused.
func (l *lab) refusedIDs(table string) (out []string) {
	l.t.Helper()
	for _, row := range l.rows(table, "_row") {
		fields := map[string]any{}
		require.NoError(l.t, json.Unmarshal([]byte(row), &fields), row)
		out = append(out, fmt.Sprint(fields["id"]))
	}
	slices.Sort(out)
	return out
}
