package kill

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/reference"
)

// redoPoints are where a small MERGE is killed that has met another writer: before it knows, and on the way to the activity that
// does again what that concerns.
func redoPoints() []string {
	if os.Getenv("VARVE_KILL") == "few" {
		return []string{fault.MergeKeptStored}
	}
	return []string{
		fault.MergePlanned, fault.MergeKept, fault.MergeKeptStored, fault.MergeGroupsStored, fault.MergeDivided, fault.MergeBefore,
		fault.MergeFilesWritten, fault.MergeResultStored, fault.MergeResultsRead, fault.MergePlanned + ":2", fault.CommitDone,
	}
}

// TestKillInARedo kills the worker while what is in conflict of a small MERGE is redone, and what it had done else is handed on.
func TestKillInARedo(t *testing.T) {
	if os.Getenv("VARVE_KILL") == "" {
		t.Skip("make test-kill sets VARVE_KILL: this takes minutes")
	}
	bin := lab.Build(t, "faults")
	for _, point := range redoPoints() {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			l := stock(t, bin)
			first := l.StartWorker()
			l.Run("stock")
			first.Terminate()
			deliver(l)
			before := dataFiles(t, l)

			// The MERGE is held with all that it has written, in front of the catalog, until another writer has been there.
			l.Env = []string{"VARVE_FAULT=" + point, "VARVE_HOLD=" + fault.MergePlanned + "=" + l.Path("overtaken")}
			victim := l.StartWorker()
			l.Env = nil
			l.Must("run", "stock", "--detach", "--id", "killed")
			for began := time.Now(); dataFiles(t, l) == before; time.Sleep(20 * time.Millisecond) {
				require.Less(t, time.Since(began), patience, victim.Log())
			}
			overtake(t, l)
			l.Write("overtaken", nil)
			awaitDeath(t, victim, point)

			l.StartWorker()
			l.Await("killed", patience)
			checkStock(t, l, 1)
			require.Equal(t, "unchanged", l.Run("stock").Tables[0].State)
			reference.CheckNothingStaged(t, l)
		})
	}
}

// dataFiles counts the data files that lie in the table's folder.
func dataFiles(t *testing.T, l *lab.Lab) (n int) {
	t.Helper()
	err := filepath.WalkDir(l.Path(".varve", "warehouse"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "/stock/data/") {
			n++
		}
		return nil
	})
	require.NoError(t, err)
	return n
}

// overtake adds 1 to n of a row that the delivery does not change, in a file that it does, as another writer.
func overtake(t *testing.T, l *lab.Lab) {
	t.Helper()
	const id = 2 * shops
	lake, err := tables.OpenLake(context.Background(), tables.Local(l.Path(".varve")))
	require.NoError(t, err)
	defer lake.Close()
	table, err := lake.Table(context.Background(), "silver.stock")
	require.NoError(t, err)
	schema, err := table.Schema()
	require.NoError(t, err)
	build := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
		schema.Field(schema.FieldIndices("id")[0]), schema.Field(schema.FieldIndices("n")[0]),
	}, nil))
	require.NoError(t, build.Field(0).AppendValueFromString(fmt.Sprint(id)))
	require.NoError(t, build.Field(1).AppendValueFromString(fmt.Sprint(id*7919%1000003+1)))
	out, err := table.Merge(context.Background(), tables.CommitOptions{ID: commit.ID{Writer: "another", Token: "1"}}, merge.Options{
		On: []string{"id"}, Matched: []merge.Clause{{Action: merge.Update, All: true}},
	}, oneRow{build.NewRecordBatch()})
	require.NoError(t, err)
	require.EqualValues(t, 1, out.Updated)
}

// oneRow merges a batch.
type oneRow struct{ batch arrow.RecordBatch }

func (s oneRow) Schema() *arrow.Schema { return s.batch.Schema() }

func (s oneRow) Open(_ context.Context, columns []string) (array.RecordReader, error) {
	var fields []arrow.Field
	var values []arrow.Array
	for _, name := range columns {
		at := s.batch.Schema().FieldIndices(name)[0]
		fields, values = append(fields, s.batch.Schema().Field(at)), append(values, s.batch.Column(at))
	}
	schema := arrow.NewSchema(fields, nil)
	return array.NewRecordReader(schema, []arrow.RecordBatch{array.NewRecordBatch(schema, values, s.batch.NumRows())})
}
