package activities

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/workflows"
)

// customers is a pipeline of change data, with what the test says of how it is written.
func customers(l *lab, settings string) {
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  bronze.changes:
    source: {files: "in/*.csv"}
  silver.customers:
    from: bronze.changes
    steps: [{drop: [_source_file, _source_row, _loaded_at]}]
    write: {cdc: {keys: [id], sequence_by: [lsn], delete_when: op == "d", except: [op, lsn], `+settings+`}}
`)
}

func TestChangesLeaveThePresentState(t *testing.T) {
	l := newLab(t)
	customers(l, "strategy: merge-on-read")
	l.write("in/1.csv", "id,name,op,lsn\n1,ann,i,10\n2,bob,i,11\n1,anna,u,12\n3,cy,i,13\n3,,d,14\n1,ann,i,10\n")
	r := l.runPipeline("p")["silver.customers"]
	require.Equal(t, []int64{2, 0, 0}, []int64{r.Inserted, r.Updated, r.Deleted})
	require.Equal(t, []string{"1 anna 12", "2 bob 11"}, l.rows("silver.customers", "id", "name", "_sequence_lsn"))

	// Late events change nothing, also of a row that is deleted; what was delivered comes again.
	l.write("in/2.csv", "id,name,op,lsn\n1,late,u,9\n3,late,u,13\n2,,d,20\n1,anna,u,12\n")
	r = l.runPipeline("p")["silver.customers"]
	require.Equal(t, []int64{0, 0, 1}, []int64{r.Inserted, r.Updated, r.Deleted})
	require.Equal(t, []string{"1 anna 12"}, l.rows("silver.customers", "id", "name", "_sequence_lsn"))

	// What changes nothing makes no snapshot, but is not read again.
	before := l.snapshots("silver.customers")
	l.write("in/3.csv", "id,name,op,lsn\n1,anna,u,12\n2,late,u,19\n2,,d,20\n")
	require.Equal(t, wire.StateBuilt, l.runPipeline("p")["silver.customers"].State)
	require.Equal(t, before, l.snapshots("silver.customers"))
	require.Equal(t, wire.StateUnchanged, l.runPipeline("p")["silver.customers"].State)

	l.write("in/4.csv", "id,name,op,lsn\n2,back,i,30\n3,back,i,15\n")
	l.runPipeline("p")
	require.Equal(t, []string{"1 anna 12", "2 back 30", "3 back 15"}, l.rows("silver.customers", "id", "name", "_sequence_lsn"))
	require.Empty(t, l.staged())
}

func TestChangesLeaveTheirHistory(t *testing.T) {
	l := newLab(t)
	customers(l, "history: scd2")
	state := func() string {
		return strings.Join(l.rows("silver.customers", "id", "valid_from", "valid_to", "is_current", "name"), "\n")
	}
	l.write("in/1.csv", "id,name,op,lsn\n1,a,i,10\n1,c,u,30\n2,x,i,10\n2,,d,20\n2,,d,20\n")
	l.runPipeline("p")
	require.Equal(t, "1 10 30 false a\n1 30 (null) true c\n2 10 20 false x", state())

	// A late event divides a state; a late delete leaves a gap; an event after a deletion begins anew.
	l.write("in/2.csv", "id,name,op,lsn\n1,b,u,20\n2,z,u,40\n1,,d,25\n2,y,u,15\n")
	r := l.runPipeline("p")["silver.customers"]
	require.Equal(t, []int64{3, 2, 0}, []int64{r.Inserted, r.Updated, r.Deleted})
	want := "1 10 20 false a\n1 20 25 false b\n1 30 (null) true c\n2 10 15 false x\n2 15 20 false y\n2 40 (null) true z"
	require.Equal(t, want, state())

	before := l.snapshots("silver.customers")
	l.write("in/3.csv", "id,name,op,lsn\n1,a,i,10\n1,b,u,20\n1,c,u,30\n1,,d,25\n2,,d,20\n2,x,i,10\n2,y,u,15\n2,z,u,40\n")
	l.runPipeline("p")
	require.Equal(t, want, state())
	require.Equal(t, before, l.snapshots("silver.customers"))

	// An event between a delete that ended nothing and the next state.
	l.write("in/4.csv", "id,name,op,lsn\n2,,d,30\n3,,d,50\n")
	l.runPipeline("p")
	require.Equal(t, want, state())
	l.write("in/5.csv", "id,name,op,lsn\n2,w,u,25\n3,never,i,40\n")
	l.runPipeline("p")
	require.Equal(t, want[:len(want)-len("\n2 40 (null) true z")]+"\n2 25 30 false w\n2 40 (null) true z\n3 40 50 false never", state())
}

func TestTiesAreToldByKeyAndSequence(t *testing.T) {
	l := newLab(t)
	fails := func(kind, message string) {
		t.Helper()
		compiled, err := l.compile("p")
		require.NoError(t, err)
		_, err = l.begin(compiled, "bronze.changes").run()
		require.NoError(t, err)
		_, err = l.begin(compiled, "silver.customers").run()
		requireClass(t, err, kind)
		require.ErrorContains(t, err, message)
	}
	customers(l, "history: scd1")
	l.write("in/1.csv", "id,name,op,lsn\n1,ann,i,10\n2,bob,i,11\n2,bob,i,11\n")
	l.runPipeline("p")
	l.write("in/2.csv", "id,name,op,lsn\n3,cy,i,12\n2,bobby,u,11\n")
	fails(wire.ErrData, "different events of id = 2 have equal sequences, lsn = 11")
	require.Equal(t, []string{"1 ann", "2 bob"}, l.rows("silver.customers", "id", "name"))

	customers(l, "ties: last")
	l.runPipeline("p")
	require.Equal(t, []string{"1 ann", "2 bobby", "3 cy"}, l.rows("silver.customers", "id", "name"))
	// What comes again comes last again: the same events once more change nothing.
	l.write("in/2-again.csv", "id,name,op,lsn\n2,bob,i,11\n2,bobby,u,11\n6,eve,i,20\n6,,d,20\n")
	l.runPipeline("p")
	require.Equal(t, []string{"1 ann", "2 bobby", "3 cy"}, l.rows("silver.customers", "id", "name"))
	l.write("in/2-once-more.csv", "id,name,op,lsn\n2,bob,i,11\n2,bobby,u,11\n6,eve,i,20\n6,,d,20\n")
	l.runPipeline("p")
	require.Equal(t, []string{"1 ann", "2 bobby", "3 cy"}, l.rows("silver.customers", "id", "name"))
	customers(l, "ties: first")
	l.write("in/3.csv", "id,name,op,lsn\n1,anna,u,10\n4,one,u,13\n4,,d,13\n")
	l.runPipeline("p")
	require.Equal(t, []string{"1 ann", "2 bobby", "3 cy", "4 one"}, l.rows("silver.customers", "id", "name"))

	l.write("in/4.csv", "id,name,op,lsn\n5,dee,u,\n")
	fails(wire.ErrData, "an event has no lsn (id = 5, lsn = null)")
}

// Tombstones are the table's: they end with their period, and a rollback takes them back with the rows.
func TestTombstonesEndAndAreRolledBack(t *testing.T) {
	l := newLab(t, func(cfg *Config) { cfg.GroupFiles = 1 })
	customers(l, "tombstones: 3h") // each run is an hour after the one before, as is each build
	l.write("in/1.csv", "id,name,op,lsn\n1,ann,i,10\n2,bob,i,10\n")
	l.runPipeline("p")
	l.write("in/2.csv", "id,name,op,lsn\n1,,d,20\n2,,d,20\n")
	l.runPipeline("p")
	deleted, err := l.a.lake.Table(t.Context(), "silver.customers")
	require.NoError(t, err)
	snapshots := deleted.Snapshots()
	l.write("in/3.csv", "id,name,op,lsn\n1,late,u,15\n3,cy,i,10\n")
	l.runPipeline("p")
	require.Equal(t, []string{"3 cy"}, l.rows("silver.customers", "id", "name"))
	l.write("in/4.csv", "id,name,op,lsn\n1,too late,u,16\n")
	l.runPipeline("p")
	require.Equal(t, []string{"1 too late", "3 cy"}, l.rows("silver.customers", "id", "name"))

	_, err = deleted.Rollback(t.Context(), tables.CommitOptions{ID: commit.ID{Writer: "ops", Token: "back"}}, tables.Version{SnapshotID: &snapshots[0].ID})
	require.NoError(t, err)
	memory, err := deleted.Memory(t.Context(), "p", memoryOfTombstones)
	require.NoError(t, err)
	require.Nil(t, memory)
	l.runPipeline("p") // reads again what was rolled back
	require.Equal(t, []string{"3 cy"}, l.rows("silver.customers", "id", "name"))
}

func TestManyTombstoneFilesAreJoined(t *testing.T) {
	l := newLab(t)
	customers(l, "")
	for i := range maxTombstoneFiles + 3 {
		l.write(fmt.Sprintf("in/%02d.csv", i), fmt.Sprintf("id,name,op,lsn\n%d,,d,20\n%d,x,u,10\n", i, max(i-1, 0)))
		l.runPipeline("p")
	}
	table, err := l.a.lake.Table(t.Context(), "silver.customers")
	require.NoError(t, err)
	c, err := table.Memory(t.Context(), "p", memoryOfTombstones)
	require.NoError(t, err)
	var all tombstones
	require.NoError(t, json.Unmarshal(c.Body, &all))
	require.Len(t, all.Files, 3)
	require.EqualValues(t, maxTombstoneFiles+1, all.Files[0].Rows)
	require.Empty(t, l.rows("silver.customers", "id"))
}

// A history that others changed after it was read is read again.
func TestAHistoryThatMovedIsReadAgain(t *testing.T) {
	l := newLab(t)
	customers(l, "history: scd2")
	l.write("in/1.csv", "id,name,op,lsn\n1,a,i,10\n")
	l.runPipeline("p")
	l.write("in/2.csv", "id,name,op,lsn\n1,b,u,20\n")
	compiled, err := l.compile("p")
	require.NoError(t, err)
	_, err = l.begin(compiled, "bronze.changes").run()
	require.NoError(t, err)
	b := l.begin(compiled, "silver.customers")
	for _, step := range []func() error{b.prepare, b.stage, b.refine} {
		require.NoError(t, step())
	}
	table, err := l.a.lake.Table(t.Context(), "silver.customers")
	require.NoError(t, err)
	_, err = table.Replace(t.Context(), tables.CommitOptions{ID: commit.ID{Writer: "someone", Token: "emptied"}})
	require.NoError(t, err)
	_, err = b.commit()
	requireClass(t, err, wire.ErrSuperseded)
	require.ErrorContains(t, err, "changed since its history was read")

	b.build.FirstRun = "again"
	_, err = b.run()
	require.NoError(t, err)
	require.Equal(t, []string{"1 20 (null) b"}, l.rows("silver.customers", "id", "valid_from", "valid_to", "name"))
}

// A run whose history moves under it begins anew by itself.
func TestARunBeginsAnewWhenItsHistoryMoved(t *testing.T) {
	l := newLab(t)
	customers(l, "history: scd2")
	l.write("in/1.csv", "id,name,op,lsn\n1,a,i,10\n2,x,i,10\n")
	_, err := l.workflow(workflows.RunInput{Pipeline: "p"})
	require.NoError(t, err)
	l.write("in/2.csv", "id,name,op,lsn\n1,b,u,20\n2,y,u,20\n")
	l.after = map[string]func(){wire.ActivityRefine: func() {
		table, err := l.a.lake.Table(t.Context(), "silver.customers")
		require.NoError(t, err)
		meant, err := rowsWhere("id == 2", table)
		require.NoError(t, err)
		_, err = table.Delete(t.Context(), tables.CommitOptions{ID: commit.ID{Writer: "someone", Token: "erased"}}, meant)
		require.NoError(t, err)
	}}
	result, err := l.workflow(workflows.RunInput{Pipeline: "p"})
	require.NoError(t, err)
	require.Contains(t, result.Tables[1].Warnings[0], "began anew: ")
	require.Equal(t, []string{"1 10 20 a", "1 20 (null) b", "2 20 (null) y"}, l.rows("silver.customers", "id", "valid_from", "valid_to", "name"))
	require.Empty(t, l.staged())
}

// Activities that run twice, and a commit whose answer was lost, leave the rows and the tombstones once.
func TestChangesTwice(t *testing.T) {
	for _, settings := range []string{"history: scd1", "history: scd2"} {
		l := newLab(t)
		customers(l, settings)
		l.write("in/1.csv", "id,name,op,lsn\n1,a,i,10\n2,x,i,10\n1,,d,20\n")
		compiled, err := l.compile("p")
		require.NoError(t, err)
		_, err = l.begin(compiled, "bronze.changes").run()
		require.NoError(t, err)
		b := l.begin(compiled, "silver.customers")
		require.NoError(t, b.prepare())
		require.NoError(t, b.stage())
		staged := b.parts
		require.NoError(t, b.refine())
		b.parts = staged
		require.NoError(t, b.refine())
		first, err := b.commit()
		require.NoError(t, err)
		again, err := b.commit()
		require.NoError(t, err)
		require.True(t, again.Already)
		require.Equal(t, first.Snapshot, again.Snapshot)
		require.Equal(t, 1, l.snapshots("silver.customers"))
		require.Contains(t, l.rows("silver.customers", "id", "name"), "2 x")
	}
}

// A build that never came to commit leaves no tombstones, and takes none away.
func TestTombstonesOfAGivenUpBuild(t *testing.T) {
	l := newLab(t)
	customers(l, "")
	files := func() []string {
		found, err := filepath.Glob(filepath.Join(l.dir, "lake", "warehouse", "silver.db", "customers", "_varve", "*"))
		require.NoError(t, err)
		return found
	}
	l.write("in/1.csv", "id,name,op,lsn\n1,,d,10\n")
	l.runPipeline("p")
	require.Len(t, files(), 1)
	l.write("in/2.csv", "id,name,op,lsn\n2,,d,10\n")
	compiled, err := l.compile("p")
	require.NoError(t, err)
	_, err = l.begin(compiled, "bronze.changes").run()
	require.NoError(t, err)
	b := l.begin(compiled, "silver.customers")
	for _, step := range []func() error{b.prepare, b.stage, b.refine} {
		require.NoError(t, step())
	}
	require.Len(t, files(), 2)
	request := wire.CleanupRequest{Build: b.build, Table: b.table.Name, Job: b.prepared.Job, Discard: b.parts}
	_, err = l.env.ExecuteActivity(wire.ActivityCleanup, request)
	require.NoError(t, err)
	require.Len(t, files(), 1)
	l.write("in/3.csv", "id,name,op,lsn\n1,late,u,9\n2,b,u,9\n")
	l.runPipeline("p")
	require.Empty(t, l.rows("silver.customers", "id"))
}

// Columns that files bring reach the table, and of the required ones a delete needs none but its key.
func TestChangesOfAnEvolvingTable(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  silver.customers:
    source: {files: "in/*.csv", malformed: quarantine}
    columns: {id: {type: long, required: true}, name: {type: string, required: true}}
    steps: [{drop: [_source_file, _source_row, _loaded_at]}]
    write: {cdc: {keys: [id], sequence_by: [lsn], delete_when: op == "d", except: [op]}}
    identifier: [id]
`)
	l.write("in/1.csv", "id,name,op,lsn\n1,ann,i,10\n2,bob,i,11\n2,,d,12\n,nobody,i,13\n")
	r := l.runPipeline("p")["silver.customers"]
	require.Equal(t, []int64{1, 0, 1}, []int64{r.Inserted, r.Deleted, r.Quarantined})
	l.write("in/2.csv", "id,name,op,lsn,city\n1,ann,u,20,Rome\n")
	r = l.runPipeline("p")["silver.customers"]
	require.Equal(t, []string{"columns added: city"}, r.Changes)
	require.Equal(t, []string{"1 ann 20 Rome"}, l.rows("silver.customers", "id", "name", "lsn", "city"))
	l.write("in/3.csv", "id,name,op,lsn\n1,,u,30\n")
	compiled, err := l.compile("p")
	require.NoError(t, err)
	_, err = l.begin(compiled, "silver.customers").run()
	requireClass(t, err, wire.ErrData)
	require.ErrorContains(t, err, "column name is required")
}

// The MERGE that change data expands to is divided among workers as any other, and its tombstones come with its commit.
func TestChangesInGroups(t *testing.T) {
	for _, history := range []string{"scd1", "scd2"} {
		l := newLab(t, func(c *Config) { c.FanOut = 1 })
		l.write("pipelines/p.yaml", `
pipeline: p
tables:
  silver.stock:
    source: {files: "in/*.csv"}
    columns: {id: int, shop: string, n: int, lsn: long, op: string}
    steps: [{drop: [_source_file, _source_row, _loaded_at]}]
    partition_by: [shop]
    write: {cdc: {keys: [id], sequence_by: [lsn], delete_when: op == "d", except: [op], history: `+history+`}}
`)
		var events [3]strings.Builder
		want := []string{}
		for f := range events {
			events[f].WriteString("id,shop,n,lsn,op\n")
		}
		for i := range 36 {
			fmt.Fprintf(&events[0], "%d,s-%d,1,10,c\n", i, i%12)
			switch i % 3 {
			case 0:
				fmt.Fprintf(&events[1], "%d,s-%d,2,20,u\n", i, i%12)
				want = append(want, fmt.Sprintf("%d 2", i))
			case 1:
				fmt.Fprintf(&events[1], "%d,s-%d,,20,d\n", i, i%12)
				fmt.Fprintf(&events[2], "%d,s-%d,3,15,u\n", i, i%12) // late
			default:
				want = append(want, fmt.Sprintf("%d 1", i))
			}
		}
		slices.Sort(want)
		l.write("in/1.csv", events[0].String())
		l.runPipeline("p")
		l.write("in/2.csv", events[1].String())
		b := l.staged2(t)
		require.NoError(t, b.refine())
		done, err := b.commitInGroups(nil)
		require.NoError(t, err)
		require.NotNil(t, done.Divided)
		require.Greater(t, done.Divided.Groups, 1)
		done, err = b.commitInGroups([]wire.MergeRound{b.mergeAll(done.Divided, 1)})
		require.NoError(t, err)
		require.Nil(t, done.Divided)
		l.write("in/3.csv", events[2].String())
		l.runPipeline("p")
		if history == "scd1" {
			require.Equal(t, want, l.rows("silver.stock", "id", "n"))
			continue
		}
		require.Len(t, l.rows("silver.stock", "id"), 36+12+12)
		var current []string
		for _, row := range l.rows("silver.stock", "is_current", "id", "n") {
			if rest, ok := strings.CutPrefix(row, "true "); ok {
				current = append(current, rest)
			}
		}
		slices.Sort(current)
		require.Equal(t, want, current)
	}
}

// A sequence that becomes wider keeps its order, in the table and in what is remembered.
func TestSequencesBecomeWider(t *testing.T) {
	for _, history := range []string{"scd1", "scd2"} {
		l := newLab(t)
		define := func(lsn string) {
			l.write("pipelines/p.yaml", `
pipeline: p
tables:
  silver.a:
    source: {files: "in/*.csv"}
    columns: {id: int, lsn: `+lsn+`}
    steps: [{drop: [_source_file, _source_row, _loaded_at]}]
    write: {cdc: {keys: [id], sequence_by: [lsn], delete_when: op == "d", except: [op, lsn], history: `+history+`}}
`)
		}
		define("int")
		l.write("in/1.csv", "id,name,op,lsn\n1,a,c,10\n2,b,c,10\n2,,d,20\n3,,d,30\n")
		l.runPipeline("p")
		define("long")
		l.write("in/2.csv", "id,name,op,lsn\n1,z,u,9000000000\n1,y,u,5\n2,late,u,15\n3,late,u,29\n1,a,c,10\n")
		l.runPipeline("p")
		if history == "scd1" {
			require.Equal(t, []string{"1 9000000000 z"}, l.rows("silver.a", "id", "_sequence_lsn", "name"))
			continue
		}
		require.Equal(t, []string{
			"1 10 9000000000 a", "1 5 10 y", "1 9000000000 (null) z", "2 10 15 b", "2 15 20 late", "3 29 30 late",
		}, l.rows("silver.a", "id", "valid_from", "valid_to", "name"))
	}
}

// A history shows where a state ended by a deletion, also when the delete itself is forgotten.
func TestForgottenDeletesEndTheirStates(t *testing.T) {
	for _, sequence := range []string{"[lsn]", "[lsn, part]"} {
		l := newLab(t)
		l.write("pipelines/p.yaml", `
pipeline: p
tables:
  silver.a:
    source: {files: "in/*.csv"}
    columns: {id: int, lsn: int, part: int}
    steps: [{drop: [_source_file, _source_row, _loaded_at]}]
    write: {cdc: {keys: [id], sequence_by: `+sequence+`, delete_when: op == "d", except: [op, lsn], history: scd2, tombstones: 1h}}
`)
		l.write("in/1.csv", "id,name,op,lsn,part\n1,a,c,10,1\n1,,d,20,1\n1,c,u,30,1\n1,,d,40,1\n2,,d,20,1\n")
		l.runPipeline("p") // each run is an hour after the one before
		l.write("in/2.csv", "id,name,op,lsn,part\n1,b,u,15,1\n1,d,u,35,1\n2,back,u,10,1\n")
		l.runPipeline("p")
		require.Equal(t, []string{
			"1 10 15 false a", "1 15 20 false b", "1 30 35 false c", "1 35 40 false d",
			"2 10 (null) true back", // the delete ended nothing, and is forgotten
		}, l.rows("silver.a", "id", "valid_from", "valid_to", "is_current", "name"), sequence)
	}
}
