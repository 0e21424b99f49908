package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/reference"
	"github.com/varve-lake/varve/workflows"
)

func states(r workflows.RunResult) map[string]wire.TableResult {
	out := map[string]wire.TableResult{}
	for _, t := range r.Tables {
		out[t.Table] = t
	}
	return out
}

// TestFlights is the README's story: all deliveries, then nothing new, then one delivery more.
func TestFlights(t *testing.T) {
	l := lab.New(t, lab.Build(t))
	all := reference.Deliveries(t, l)
	last := all[len(all)-1] // actuals that update flights of a schedule that was delivered before
	reference.Deliver(t, l, "landing", all[:len(all)-1]...)
	run := func() map[string]wire.TableResult { return states(l.Run("flights", "-p", "landing=landing")) }

	first := run()
	for name, table := range first {
		if table.State != wire.StateBuilt || table.SnapshotID == 0 {
			t.Errorf("%s: %s, snapshot %d: %s", name, table.State, table.SnapshotID, table.Reason)
		}
	}
	reference.Check(t, l, "landing")
	reference.CheckNothingStaged(t, l)

	snapshots := map[string]int{}
	for _, name := range l.Tables() {
		snapshots[name] = l.Snapshots(name)
	}
	for name, table := range run() {
		if table.State != wire.StateUnchanged || table.RowsRead != 0 {
			t.Errorf("second run: %s: %s, %d rows read: %s", name, table.State, table.RowsRead, table.Reason)
		}
	}
	for _, name := range l.Tables() {
		if n := l.Snapshots(name); n != snapshots[name] {
			t.Errorf("second run: %s has %d snapshots, had %d", name, n, snapshots[name])
		}
	}

	reference.Deliver(t, l, "landing", last)
	third := run()
	reference.Check(t, l, "landing")
	bronze, silver := third["bronze.flights"], third["silver.flights"]
	if bronze.FilesRead != 1 {
		t.Errorf("third run: %d files read, expected the new one only", bronze.FilesRead)
	}
	if silver.RowsRead != bronze.Inserted {
		t.Errorf("third run: silver.flights read %d rows, bronze.flights got %d", silver.RowsRead, bronze.Inserted)
	}
	if silver.Updated == 0 || silver.Updated > silver.RowsRead || silver.Inserted > 20 {
		t.Errorf("third run: %d updated, %d inserted of %d rows", silver.Updated, silver.Inserted, silver.RowsRead)
	}
	if d := third["silver.airlines"]; d.State != wire.StateUnchanged {
		t.Errorf("third run: silver.airlines: %s: %s", d.State, d.Reason)
	}
}

// TestDayByDay delivers in four portions, the way deliveries come; the last word on a flight is the same.
func TestDayByDay(t *testing.T) {
	l := lab.New(t, lab.Build(t))
	all := reference.Deliveries(t, l)
	for i := range 4 {
		reference.Deliver(t, l, "landing", all[i*len(all)/4:(i+1)*len(all)/4]...)
		l.Must("run", "flights", "-p", "landing=landing")
	}
	reference.Check(t, l, "landing")
}

// TestTimeTravel reads silver.flights as it was before an update, by snapshot and by time, and rolls it back.
func TestTimeTravel(t *testing.T) {
	l := lab.New(t, lab.Build(t))
	files := reference.Deliveries(t, l)
	reference.Deliver(t, l, "landing", files[0])
	before := states(l.Run("flights", "-p", "landing=landing"))["silver.flights"]
	reference.Deliver(t, l, "landing", files[1])
	after := states(l.Run("flights", "-p", "landing=landing"))["silver.flights"]
	if before.SnapshotID == after.SnapshotID || after.Updated == 0 {
		t.Fatalf("the actuals changed nothing: %+v", after)
	}
	arrived := func(version string) string {
		return l.Must("query", "--format", "csv", "SELECT count(*) AS n FROM silver.flights "+version+" WHERE updated_at > TIMESTAMPTZ '2013-01-01 12:00:00Z'")
	}
	if got := arrived(""); strings.Contains(got, "\n0\n") {
		t.Errorf("head: %q", got)
	}
	if got := arrived("FOR VERSION AS OF " + fmt.Sprint(before.SnapshotID)); got != "n\n0\n" {
		t.Errorf("as of the first snapshot: %q", got)
	}
	l.Must("table", "rollback", "silver.flights", "--to", fmt.Sprint(before.SnapshotID), "--yes")
	if got := arrived(""); got != "n\n0\n" {
		t.Errorf("after rollback: %q", got)
	}
	// The checkpoint went back too: the next run reads the actuals again, and the rows are what they were.
	again := states(l.Run("flights", "-p", "landing=landing"))["silver.flights"]
	if again.RowsRead != after.RowsRead || again.Updated != after.Updated {
		t.Errorf("after rollback: read %d, updated %d; the first time %d and %d", again.RowsRead, again.Updated, after.RowsRead, after.Updated)
	}
}
