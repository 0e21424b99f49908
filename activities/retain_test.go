package activities

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
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
