package tables_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// update commits updates of metadata by themselves.
func update(t *testing.T, lake *tables.Lake, tbl *tables.Table, name string, updates ...table.Update) {
	t.Helper()
	_, err := commit.Commit(ctx, lake.Catalog(), tbl.Iceberg().Identifier(), token("admin", name).ID, func(context.Context, *table.Table, int) (*commit.Change, error) {
		return &commit.Change{Updates: updates}, nil
	}, commit.Options{})
	require.NoError(t, err)
}

// Delete files, deletion vectors and statistics are named as data files are; and partition fields may have names that begin as those
// of hidden folders do.
func TestDeletesAndStatisticsAreNoOrphans(t *testing.T) {
	for version := 2; version <= 3; version++ {
		lake := newLake(t)
		def := pairs(t)
		def.FormatVersion = version
		tbl := ensure(t, lake, def)
		put(t, tbl, token("w", 1), "a 1", "b 2")
		_, err := reload(t, tbl).Delete(ctx, token("d", 1), meant(t, tbl, `id == "a"`, merge.MergeOnRead))
		require.NoError(t, err)
		f, head := folderOf(t, tbl), reload(t, tbl).Iceberg().CurrentSnapshot().SnapshotID
		f.plant("metadata/1.stats", "metadata/2.stats", "metadata/3.stats")
		update(t, lake, tbl, "statistics",
			table.NewSetStatisticsUpdate(table.StatisticsFile{SnapshotID: head, StatisticsPath: tbl.Location() + "/metadata/1.stats", BlobMetadata: []table.BlobMetadata{}}),
			table.NewSetPartitionStatisticsUpdate(table.PartitionStatisticsFile{SnapshotID: head, StatisticsPath: tbl.Location() + "/metadata/2.stats"}))
		f.ageAll()
		plan, names := orphans(t, reload(t, tbl))
		require.Equal(t, []string{"metadata metadata/3.stats"}, names)
		sweep(t, reload(t, tbl), plan)
	}
}

func TestOrphansInAPartitionWithAHiddenNameAreFound(t *testing.T) {
	lake := newLake(t)
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "_v", Type: iceberg.PrimitiveTypes.Int64})
	spec, err := iceberg.NewPartitionSpecOpts(iceberg.AddPartitionFieldByName("_v", "_v", iceberg.IdentityTransform{}, schema, nil))
	require.NoError(t, err)
	ensure(t, lake, pairs(t)) // makes the namespace
	_, err = lake.Catalog().CreateTable(ctx, []string{"ns", "hidden"}, schema, icebergcatalog.WithPartitionSpec(&spec))
	require.NoError(t, err)
	tbl, err := lake.Table(ctx, "ns.hidden")
	require.NoError(t, err)
	folderOf(t, tbl).plant("data/_v=1/orphan.parquet", "data/_w=1/theirs.parquet")
	_, names := orphans(t, tbl)
	require.Equal(t, []string{"data data/_v=1/orphan.parquet"}, names)
}

// A state file stays while anything tells of it: the summary of a snapshot, to which the table may be rolled back; another state file.
func TestStateFilesThatAreToldOfAreNoOrphans(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	at := func(n int, body string) {
		opts := token("w", n)
		opts.Checkpoint = &tables.Checkpoint{Kind: "files", Body: json.RawMessage(body)}
		put(t, reload(t, tbl), opts, fmt.Sprintf("r%d 1", n))
	}
	long := strings.Repeat("x", 5000)
	at(1, fmt.Sprintf(`{"earlier": "%s/_varve/earlier.json", "rest": %q}`, tbl.Location(), long))
	at(2, fmt.Sprintf(`{"rest": %q}`, long))
	f := folderOf(t, tbl)
	f.plant("_varve/earlier.json", "_varve/nobodys.json")
	f.ageAll()
	plan, names := orphans(t, reload(t, tbl))
	require.Equal(t, []string{"state _varve/nobodys.json"}, names)

	// A plan that was made by another, or long ago, is held against what is told of by now.
	states, err := filepath.Glob(filepath.Join(f.path, "_varve", "*"))
	require.NoError(t, err)
	require.Len(t, states, 4)
	stored := &maintain.Orphans{}
	for _, path := range states {
		stored.Files = append(stored.Files, maintain.Orphan{URI: "file://" + path, Kind: maintain.KindState})
	}
	require.Equal(t, 1, sweep(t, reload(t, tbl), stored).Files)
	require.False(t, f.has("_varve/nobodys.json"))
	require.Len(t, plan.Files, 1)
}

// What is committed while the files are listed, rows and a checkpoint, is in no plan.
func TestWhatIsCommittedWhileFilesAreListedIsNoOrphan(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	opts := token("w", 1)
	opts.Checkpoint = &tables.Checkpoint{Kind: "files", Body: json.RawMessage(`"` + strings.Repeat("x", 5000) + `"`)}
	put(t, tbl, opts, "a 1")
	key, told := "varve.checkpoint.w", reload(t, tbl).Properties()["varve.checkpoint.w"]
	require.Contains(t, told, "/_varve/")
	s, err := stage(t, tbl, []string{"b 2"})
	require.NoError(t, err)
	for i := range 1000 {
		require.NoError(t, os.WriteFile(filepath.Join(folderOf(t, tbl).path, "data", fmt.Sprint("orphan", i)), nil, 0o600))
	}
	// The state file is told of by nothing, until the listing is under way.
	state := filepath.Join(folderOf(t, tbl).path, "_varve", told[strings.Index(told, "/_varve/")+len("/_varve/"):strings.Index(told, ".json")]+".json")
	text, err := os.ReadFile(state)
	require.NoError(t, err)
	update(t, lake, tbl, "forget", table.NewRemovePropertiesUpdate([]string{key}))
	put(t, reload(t, tbl), token("w", 2), "c 3")
	_, err = reload(t, tbl).Expire(ctx, token("m", 1), maintain.ExpireOptions{OlderThan: 1, KeepLast: 1, Now: func() time.Time { return time.Now().Add(time.Hour) }})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(state, text, 0o600))
	folderOf(t, tbl).ageAll()
	during := 0
	plan, err := reload(t, tbl).PlanOrphans(ctx, maintain.OrphanOptions{Progress: func(int64) {
		if during++; during > 1 {
			return
		}
		_, err := reload(t, tbl).Append(ctx, token("w", 3), s)
		require.NoError(t, err)
		update(t, lake, tbl, "remember", table.NewSetPropertiesUpdate(iceberg.Properties{key: told}))
	}})
	require.NoError(t, err)
	require.Equal(t, 1, during)
	for _, f := range plan.Files {
		require.Contains(t, f.URI, "/data/orphan", "what is listed after a thousand files is as yet told of by nothing")
	}
	require.Len(t, plan.Files, 1000)
}

// A table that cannot be loaded may lie anywhere, also here.
func TestOrphansBesideATableThatCannotBeLoadedAreDeclined(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	other := pairs(t)
	other.Name = "ns.other"
	for _, path := range metadataOf(t, ensure(t, lake, other)) {
		require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	}
	_, err := tbl.PlanOrphans(ctx, maintain.OrphanOptions{})
	require.ErrorContains(t, err, "where ns.other lies")
}

// forgetful is a catalog whose list of tables lacks one that it loads all the same, as one that lists by another index than it loads
// by, or lists only what its user may see.
type forgetful struct {
	icebergcatalog.Catalog
	lacks string
}

func (f forgetful) ListTables(ctx context.Context, namespace table.Identifier) iter.Seq2[table.Identifier, error] {
	return func(yield func(table.Identifier, error) bool) {
		for ident, err := range f.Catalog.ListTables(ctx, namespace) {
			if strings.Join(ident, ".") != f.lacks && !yield(ident, err) {
				return
			}
		}
	}
}

// A list of tables that lacks the table itself may lack one that lies in its folder: nothing is taken for an orphan by it.
func TestOrphansByAListThatLacksTheTableAreDeclined(t *testing.T) {
	whole := newLake(t)
	for _, lacks := range []string{"ns.t", "ns.none"} {
		lake := tables.LakeOn(catalog.Wrap(forgetful{whole.Catalog(), lacks}, whole.Catalog().Warehouse()), whole.Config())
		tbl := ensure(t, lake, pairs(t))
		put(t, tbl, token(lacks, 1), lacks+" 1")
		folderOf(t, tbl).plant("data/orphan.parquet")
		plan, err := reload(t, tbl).PlanOrphans(ctx, maintain.OrphanOptions{})
		if lacks == "ns.none" {
			require.NoError(t, err)
			require.Len(t, plan.Files, 1)
			continue
		}
		require.ErrorIs(t, err, maintain.ErrShared)
		require.ErrorContains(t, err, "the catalog's list of tables lacks it")
	}
}
