package tables_test

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

func manifestsOf(t *testing.T, tbl *tables.Table, content iceberg.ManifestContent) []iceberg.ManifestFile {
	t.Helper()
	now := reload(t, tbl).Iceberg()
	fs, err := now.FS(ctx)
	require.NoError(t, err)
	all, err := now.CurrentSnapshot().Manifests(fs)
	require.NoError(t, err)
	return slices.DeleteFunc(all, func(m iceberg.ManifestFile) bool { return m.ManifestContent() != content })
}

// told is what a manifest says of a file, but for whether the file is new in it.
type told struct {
	snapshot, sequence, file, row int64
	bounds                        string
}

func toldOf(t *testing.T, tbl *tables.Table) map[string]told {
	t.Helper()
	out := map[string]told{}
	for _, content := range []iceberg.ManifestContent{iceberg.ManifestContentData, iceberg.ManifestContentDeletes} {
		for name, e := range entriesOf(t, tbl, content) {
			f := e.DataFile()
			one := told{e.SnapshotID(), e.SequenceNum(), -1, -1, fmt.Sprint(f.Partition(), f.LowerBoundValues(), f.UpperBoundValues(), f.NullValueCounts(), f.Count(), f.SplitOffsets())}
			if at := e.FileSequenceNum(); at != nil {
				one.file = *at
			}
			if at := f.FirstRowID(); at != nil {
				one.row = *at
			}
			out[fmt.Sprint(content, name)] = one
		}
	}
	return out
}

// scattered is a table by day with many manifests, each of which has files of many days.
func scattered(t *testing.T, lake *tables.Lake, format, commits int) *tables.Table {
	t.Helper()
	tbl := ensure(t, lake, tables.Definition{
		Name: "ns.t", Schema: schemaOf(t, []string{"id string", "day date", "text string"}), PartitionBy: []string{"day", "text"}, FormatVersion: format, Evolve: true,
		Properties: map[string]string{"commit.manifest-merge.enabled": "false"},
	})
	for n := range commits {
		var rows []string
		for day := range 6 {
			rows = append(rows, fmt.Sprintf("r%d-%d 2024-01-%02d t%d", n, day, (day*5+n)%9+1, n%2))
		}
		put(t, tbl, token("w", n), rows...)
	}
	return tbl
}

// The entries of manifests are laid by partition, and all that is said of files is said as before.
func TestManifestsAreLaidByPartition(t *testing.T) {
	for _, format := range []int{2, 3} {
		t.Run(fmt.Sprint("v", format), func(t *testing.T) {
			lake := newLake(t)
			tbl := scattered(t, lake, format, 12)
			for _, id := range []string{"r0-0", "r1-1", "r2-2"} {
				_, err := reload(t, tbl).Delete(ctx, token("d", id), meant(t, tbl, fmt.Sprintf("id == %q", id), "merge-on-read"))
				require.NoError(t, err)
			}
			rows, before := contents(t, reload(t, tbl), tables.Version{}), toldOf(t, tbl)
			point, _ := reload(t, tbl).Head()
			parent := reload(t, tbl).Iceberg().CurrentSnapshot().Summary.Properties

			o := maintain.ManifestOptions{MinInputManifests: 3, TargetBytes: 8 << 10}
			would, err := reload(t, tbl).PlanManifests(ctx, o)
			require.NoError(t, err)
			r, err := tbl.RewriteManifests(ctx, token("m", 1), o)
			require.NoError(t, err)
			require.True(t, r.Committed)
			require.Equal(t, would.Removed, r.Removed)
			require.Equal(t, would.Added, r.Added)
			require.EqualValues(t, 12*6+3, r.RewrittenManifests.Files)
			require.Equal(t, before, toldOf(t, tbl))
			require.Equal(t, rows, contents(t, reload(t, tbl), tables.Version{}))
			valid(t, tbl)

			s := reload(t, tbl).Iceberg().CurrentSnapshot()
			require.Equal(t, table.OpReplace, s.Summary.Operation)
			for _, total := range []string{"total-records", "total-data-files", "total-delete-files", "total-files-size"} {
				require.Equal(t, parent[total], s.Summary.Properties[total], total)
			}
			require.Equal(t, "m", s.Summary.Properties["varve.writer"])
			added, err := reload(t, tbl).AddedSince(ctx, point.ID)
			require.NoError(t, err)
			require.Empty(t, added.Files)

			// Each day lies in few of them, of which it did in all.
			laid := manifestsOf(t, tbl, iceberg.ManifestContentData)
			require.Greater(t, len(laid), 2)
			ends := ""
			for _, m := range slices.Backward(laid) {
				require.True(t, strings.HasPrefix(path.Base(m.FilePath()), "clustered-"))
				require.Zero(t, m.AddedDataFiles(), "they are all existing files")
				low, high := day(t, *m.Partitions()[0].LowerBound), day(t, *m.Partitions()[0].UpperBound)
				if ends != "" {
					require.LessOrEqual(t, high, ends)
				}
				ends = low
			}
			r, err = tbl.RewriteManifests(ctx, token("m", 2), o)
			require.NoError(t, err)
			require.False(t, r.Committed, "once is enough: %+v", r.RewrittenManifests)

			// What came since goes among them, and is read as it is.
			put(t, tbl, token("w", "later"), "later 2024-01-01 t0")
			require.Contains(t, contents(t, reload(t, tbl), tables.Version{}), "later 2024-01-01 t0")
			_, err = tbl.Compact(ctx, token("c", 1), everyFile())
			require.NoError(t, err)
			require.Len(t, contents(t, reload(t, tbl), tables.Version{}), len(rows)+1)
			valid(t, tbl)
		})
	}
}

func day(t *testing.T, bound []byte) string {
	t.Helper()
	lit, err := iceberg.LiteralFromBytes(iceberg.PrimitiveTypes.Date, bound)
	require.NoError(t, err)
	return lit.String()
}

// Who appends or deletes meanwhile is not waited for, and what they did stays; manifests that are written are used all the same.
func TestManifestsAndAnotherWriter(t *testing.T) {
	lake := newLake(t)
	tbl := scattered(t, lake, 3, 5)
	other, err := lake.Table(ctx, "ns.t")
	require.NoError(t, err)
	between(lake, func() {
		put(t, other, token("w", "other"), "new 2024-01-01 t0")
		_, err = reload(t, other).Delete(ctx, token("d", 1), meant(t, other, `id == "r0-0"`, "merge-on-read"))
		require.NoError(t, err)
	})
	o := maintain.ManifestOptions{MinInputManifests: 5}
	r, err := tbl.RewriteManifests(ctx, token("m", 1), o)
	require.NoError(t, err)
	require.Equal(t, []int{5, 1, 0, 1}, []int{r.Removed, r.Added, r.Redone, r.Conflicts})
	rows := contents(t, reload(t, tbl), tables.Version{})
	require.Len(t, rows, 5*6)
	require.Contains(t, rows, "new 2024-01-01 t0")
	valid(t, tbl)

	// A writer that replaces manifests has them written once more, of what is there then.
	for n := range 4 {
		put(t, tbl, token("w", 100+n), fmt.Sprintf("more%d 2024-01-0%d t0", n, n+1))
	}
	between(lake, func() {
		_, err := reload(t, other).Delete(ctx, token("d", 2), meant(t, other, `id == "more2" or id == "r1-1"`, "copy-on-write"))
		require.NoError(t, err)
	})
	r, err = tbl.RewriteManifests(ctx, token("m", 2), o)
	require.NoError(t, err)
	require.True(t, r.Committed)
	require.Equal(t, 1, r.Redone)
	require.Len(t, contents(t, reload(t, tbl), tables.Version{}), 5*6+4-2)
	valid(t, tbl)
	require.Len(t, clusteredFiles(t, tbl), 2, "those that were written in vain are gone")
}

// clusteredFiles are the manifests that rewrites have left in the table's folder.
func clusteredFiles(t *testing.T, tbl *tables.Table) (out []string) {
	t.Helper()
	for _, f := range metadataFiles(t, tbl) {
		if strings.HasPrefix(f, "clustered-") {
			out = append(out, f)
		}
	}
	return out
}

// Of a table whose format was just raised, files have no row ids yet, and get them from the first list that is written.
func TestManifestsOfAFormatThatWasRaised(t *testing.T) {
	lake := newLake(t)
	tbl := scattered(t, lake, 2, 4)
	upgrade(t, lake, tbl)
	rows := contents(t, reload(t, tbl), tables.Version{})
	other, err := lake.Table(ctx, "ns.t")
	require.NoError(t, err)
	between(lake, func() { put(t, other, token("w", "other"), "new 2024-01-01 t0") }) // which gives them, while they are written without
	r, err := tbl.RewriteManifests(ctx, token("m", 1), maintain.ManifestOptions{MinInputManifests: 2})
	require.NoError(t, err)
	require.True(t, r.Committed)
	require.Equal(t, 1, r.Redone, "what was written before the ids were given is not used")
	seen := map[int64]bool{}
	for _, e := range entriesOf(t, tbl, iceberg.ManifestContentData) {
		require.NotNil(t, e.DataFile().FirstRowID())
		require.False(t, seen[*e.DataFile().FirstRowID()])
		seen[*e.DataFile().FirstRowID()] = true
	}
	require.Len(t, contents(t, reload(t, tbl), tables.Version{}), len(rows)+1)
	valid(t, tbl)
}

// A spec that was given up has manifests of its own, also when a column that it was about has been dropped since.
func TestManifestsOfAnOldSpec(t *testing.T) {
	lake := newLake(t)
	tbl := scattered(t, lake, 2, 3)
	_, _, err := lake.Ensure(ctx, tables.Definition{
		Name: "ns.t", Schema: schemaOf(t, []string{"id string", "day date", "text string"}), PartitionBy: []string{"day"}, Evolve: true,
	})
	require.NoError(t, err)
	for n := range 3 {
		put(t, reload(t, tbl), token("w", 10+n), fmt.Sprintf("s%d 2024-01-0%d t", n, 3-n))
	}
	tx := reload(t, tbl).Iceberg().NewTransaction()
	require.NoError(t, tx.UpdateSchema(true, true).DeleteColumn([]string{"text"}).Commit())
	_, err = tx.Commit(ctx)
	require.NoError(t, err)
	rows, before := contents(t, reload(t, tbl), tables.Version{}), toldOf(t, tbl)
	r, err := tbl.RewriteManifests(ctx, token("m", 1), maintain.ManifestOptions{MinInputManifests: 3})
	require.NoError(t, err)
	require.Equal(t, []int{6, 2}, []int{r.Removed, r.Added}, "one for each spec: %+v", r)
	require.Equal(t, before, toldOf(t, tbl))
	require.Equal(t, rows, contents(t, reload(t, tbl), tables.Version{}))
	valid(t, tbl)
}

// A manifest that loses a file is written anew: its other files keep the partition values of a column that has been dropped since.
func TestReplacingKeepsPartitionsOfADroppedColumn(t *testing.T) {
	for _, format := range []int{2, 3} {
		lake := newLake(t)
		tbl := scattered(t, lake, format, 2)
		_, _, err := lake.Ensure(ctx, tables.Definition{
			Name: "ns.t", Schema: schemaOf(t, []string{"id string", "day date", "text string"}), PartitionBy: []string{"day"}, Evolve: true,
		})
		require.NoError(t, err)
		tx := reload(t, tbl).Iceberg().NewTransaction()
		require.NoError(t, tx.UpdateSchema(true, true).DeleteColumn([]string{"text"}).Commit())
		_, err = tx.Commit(ctx)
		require.NoError(t, err)
		before := toldOf(t, tbl)
		r, err := reload(t, tbl).Delete(ctx, token("d", 1), meant(t, reload(t, tbl), `id == "r0-0"`, merge.CopyOnWrite))
		require.NoError(t, err)
		require.EqualValues(t, 1, r.Deleted)
		after := toldOf(t, tbl)
		require.Len(t, after, len(before)-1)
		for name, one := range after {
			require.Equal(t, before[name], one, name)
		}
		valid(t, tbl)
	}
}

// metadataFiles are the names of the files in the table's folder of metadata.
func metadataFiles(t *testing.T, tbl *tables.Table) (out []string) {
	t.Helper()
	files, err := os.ReadDir(localPath(t, tbl.Location()) + "/metadata")
	require.NoError(t, err)
	for _, f := range files {
		out = append(out, f.Name())
	}
	return out
}
