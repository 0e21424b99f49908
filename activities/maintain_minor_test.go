package activities

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/workflows"
)

const mergedPipeline = `
pipeline: merged
defaults: {format_version: %d}
tables:
  silver.events:
    source: {files: "in/*.csv"}
    columns: {id: int, v: long}
    write: {merge: {on: [id], strategy: merge-on-read, when_matched: [{update: "*"}], when_not_matched: [{insert: "*"}]}}
    properties: {commit.manifest-merge.enabled: "false"}
    maintenance:
      merge_deletes: {min_input_files: 2}
      remove_dangling_deletes: {}
      rewrite_manifests: {min_input_manifests: 3}
  gold.events: {from: {table: silver.events, read: full}, columns: {id: int, v: long}, strict: true, write: replace}
`

// worn is a lab with a table of one large file, some rows of which four MERGEs have replaced.
func worn(t *testing.T, format int) *lab {
	l := newLab(t)
	l.write("pipelines/merged.yaml", fmt.Sprintf(mergedPipeline, format))
	rows := "id,v\n"
	for i := range 20 {
		rows += fmt.Sprintf("%d,0\n", i)
	}
	l.write("in/0.csv", rows)
	l.runPipeline("merged")
	for i := range 4 {
		l.write(fmt.Sprintf("in/%d.csv", i+1), fmt.Sprintf("id,v\n%d,%d\n", i, i+1))
		l.runPipeline("merged")
	}
	return l
}

func TestMinorMaintenance(t *testing.T) {
	for _, format := range []int{2, 3} {
		t.Run(fmt.Sprint("v", format), func(t *testing.T) {
			l := worn(t, format)
			before := l.rows("silver.events", "id", "v")
			files := func() (data, deletes int) {
				info, err := l.tableOf("silver.events").Info(t.Context())
				require.NoError(t, err)
				return info.DataFiles, info.DeleteFiles
			}
			merged, deletes := "merged 4 delete files of 1 data files into 1", 4
			if format == 3 {
				merged, deletes = "no deletes to merge", 1
			}
			_, n := files()
			require.Equal(t, deletes, n)
			preview, err := l.maintain(0, workflows.MaintainInput{Table: "silver.events", Preview: true})
			require.NoError(t, err)
			require.Equal(t, format == 2, steps(preview)["merge-deletes"].Done)
			require.Equal(t, "no dangling deletes", steps(preview)["dangling-deletes"].What)
			require.Contains(t, steps(preview)["manifests"].What, "rewrite ")
			_, n = files()
			require.Equal(t, deletes, n, "a preview changes nothing")

			r, err := l.maintain(0, workflows.MaintainInput{Table: "silver.events"})
			require.NoError(t, err)
			require.Equal(t, merged, steps(r)["merge-deletes"].What)
			require.Regexp(t, `^rewrote \d+ manifests into \d, by partition$`, steps(r)["manifests"].What)
			require.Equal(t, before, l.rows("silver.events", "id", "v"))
			data, n := files()
			require.Equal(t, []int{5, 1}, []int{data, n})
			r, err = l.maintain(0, workflows.MaintainInput{Table: "silver.events"})
			require.NoError(t, err)
			require.Equal(t, "silver.events: nothing to do", r.Summary())
			for name, r := range l.runPipeline("merged") {
				require.Equal(t, wire.StateUnchanged, r.State, "%s: %s", name, r.Reason)
			}
			l.write("in/9.csv", "id,v\n5,9\n")
			l.runPipeline("merged")
			require.Contains(t, l.rows("gold.events", "id", "v"), "5 9")
		})
	}
}

// Each activity may be run twice, as when its worker was killed before it could say that it was done.
func TestMinorMaintenanceTwice(t *testing.T) {
	l := worn(t, 2)
	before := l.rows("silver.events", "id", "v")
	u := wire.Upkeep{Table: "silver.events", Workflow: "w", FirstRun: "f", Began: time.Now()}
	for _, step := range []struct {
		activity string
		request  any
		done     bool
	}{
		{wire.ActivityMergeDeletes, wire.MergeDeletesRequest{Upkeep: u, Policy: plan.MergeDeletes{MinInputFiles: 2}}, true},
		{wire.ActivityDanglingDeletes, wire.DanglingRequest{Upkeep: u, Policy: plan.Dangling{MinFiles: 1}}, false},
		{wire.ActivityManifests, wire.ManifestsRequest{Upkeep: u, Policy: plan.Manifests{MinInputManifests: 2, TargetSize: 1 << 20}}, true},
	} {
		for n := range 2 {
			done, err := call[wire.UpkeepStep](l, step.activity, step.request)
			require.NoError(t, err)
			require.Equal(t, step.done, done.Done, "%s: %+v", step.activity, done)
			require.Equal(t, step.done && n == 1, done.What == earlier, done.What)
		}
		require.Equal(t, before, l.rows("silver.events", "id", "v"))
	}
	require.Equal(t, 7, l.snapshots("silver.events"), "two of them, once each")
}
