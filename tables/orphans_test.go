package tables_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
)

const longAgo = 30 * 24 * time.Hour

// folder is a table's folder on this machine.
type folder struct {
	t    *testing.T
	path string
}

func folderOf(t *testing.T, tbl *tables.Table) *folder {
	return &folder{t, localPath(t, tbl.Location())}
}

// plant puts a file there that was written long ago.
func (f *folder) plant(names ...string) {
	f.t.Helper()
	for _, name := range names {
		path := filepath.Join(f.path, name)
		require.NoError(f.t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(f.t, os.WriteFile(path, []byte(name), 0o644))
		f.age(path)
	}
}

func (f *folder) age(path string) {
	f.t.Helper()
	then := time.Now().Add(-longAgo)
	require.NoError(f.t, os.Chtimes(path, then, then))
}

// ageAll makes all files old, so that nothing but being named keeps them.
func (f *folder) ageAll() {
	f.t.Helper()
	require.NoError(f.t, filepath.WalkDir(f.path, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			f.age(path)
		}
		return err
	}))
}

func (f *folder) has(name string) bool {
	_, err := os.Lstat(filepath.Join(f.path, name))
	return err == nil
}

// orphans plans, and gives the files found by their kind and name.
func orphans(t *testing.T, tbl *tables.Table) (*maintain.Orphans, []string) {
	t.Helper()
	plan, err := tbl.PlanOrphans(ctx, maintain.OrphanOptions{})
	require.NoError(t, err)
	root, err := filepath.EvalSymlinks(localPath(t, tbl.Location()))
	require.NoError(t, err)
	names := []string{}
	for _, o := range plan.Files {
		name, err := filepath.Rel(root, localPath(t, o.URI))
		require.NoError(t, err)
		names = append(names, o.Kind+" "+name)
	}
	slices.Sort(names)
	return plan, names
}

// sweep removes the orphans, and sees to it that the table has lost nothing: no row, and no file that it names.
func sweep(t *testing.T, tbl *tables.Table, plan *maintain.Orphans) maintain.RemovedOrphans {
	t.Helper()
	before := contents(t, tbl, tables.Version{})
	removed, err := tbl.RemoveOrphans(ctx, plan, nil)
	require.NoError(t, err)
	require.Empty(t, removed.Left)
	tbl, err = tbl.Refresh(ctx)
	require.NoError(t, err)
	require.Equal(t, before, contents(t, tbl, tables.Version{}))
	for uri := range namedFiles(t, tbl.Iceberg()) {
		_, err := os.Stat(localPath(t, uri))
		require.NoError(t, err)
	}
	return removed
}

func TestOrphansAreFilesThatNothingNames(t *testing.T) {
	lake := newLake(t)
	def := pairs(t)
	def.PartitionBy = []string{"id"}
	tbl := ensure(t, lake, def)
	opts := token("w", 1)
	opts.Checkpoint = &tables.Checkpoint{Kind: "files", Body: []byte(`"` + strings.Repeat("x", 5000) + `"`)}
	put(t, tbl, opts, "a 1")
	put(t, tbl, token("w", 2), "_b 2")
	f := folderOf(t, tbl)
	f.ageAll()
	f.plant("data/id=a/orphan.parquet", "data/orphan.puffin", "metadata/orphan.avro", "metadata/99999-old.metadata.json",
		"_staging/dead-1/ns.t/job.json", "_staging/dead-1/ns.t/00000.json", "_varve/checkpoint-0123.json", "data/.f.parquet.123.tmp",
		// None of the table's business:
		"_SUCCESS", "data/_temporary/0/x.parquet", "_hudi/x.parquet", "data/.hidden/x.parquet", "metadata/version-hint.text", "data/.x.parquet.crc")
	require.NoError(t, os.WriteFile(filepath.Join(f.path, "data/young.parquet"), nil, 0o644))

	plan, names := orphans(t, tbl)
	require.Equal(t, []string{
		"data data/id=a/orphan.parquet", "data data/orphan.puffin", "metadata metadata/99999-old.metadata.json", "metadata metadata/orphan.avro",
		"staging _staging/dead-1/ns.t/00000.json", "staging _staging/dead-1/ns.t/job.json", "state _varve/checkpoint-0123.json", "temporary data/.f.parquet.123.tmp",
	}, names)
	require.Equal(t, int64(1), plan.Young)
	require.True(t, f.has("data/orphan.puffin"), "a plan removes nothing")
	require.False(t, slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, "clock") }))

	require.Equal(t, 8, sweep(t, tbl, plan).Files)
	require.False(t, f.has("data/orphan.puffin"))
	require.False(t, f.has("_staging/dead-1"), "an empty staging area goes too")
	require.True(t, f.has("data/young.parquet"))
	require.True(t, f.has("data/_temporary/0/x.parquet"))
	_, names = orphans(t, tbl)
	require.Empty(t, names)
	tbl, err := tbl.Refresh(ctx)
	require.NoError(t, err)
	_, err = tbl.Checkpoint(ctx, "w")
	require.NoError(t, err, "its state file is named by a property")
}

func TestFilesOfBranchesAndTagsAreNoOrphans(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1")
	tagged, _ := tbl.Head()
	for name, kind := range map[string]table.RefType{"kept": table.TagRef, "side": table.BranchRef} {
		_, err := commit.Commit(ctx, lake.Catalog(), tbl.Iceberg().Identifier(), token("admin", name).ID, func(context.Context, *table.Table, int) (*commit.Change, error) {
			return &commit.Change{Updates: []table.Update{table.NewSetSnapshotRefUpdate(name, tagged.ID, kind, 0, 0, 0)}}, nil
		}, commit.Options{})
		require.NoError(t, err)
	}
	s, err := stage(t, tbl, []string{"b 2"})
	require.NoError(t, err)
	_, err = tbl.Replace(ctx, token("w", 2), s)
	require.NoError(t, err)
	folderOf(t, tbl).ageAll()
	plan, names := orphans(t, tbl)
	require.Empty(t, names)
	sweep(t, tbl, plan)
	tbl, err = tbl.Refresh(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"a 1"}, contents(t, tbl, tables.Version{Ref: "kept"}))
	require.Equal(t, []string{"a 1"}, contents(t, tbl, tables.Version{Ref: "side"}))
}

// inside creates a table at a folder of one's choice.
func inside(t *testing.T, lake *tables.Lake, name, location string) *tables.Table {
	t.Helper()
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.String}, iceberg.NestedField{ID: 2, Name: "v", Type: iceberg.PrimitiveTypes.Int64})
	_, err := lake.Catalog().CreateTable(ctx, strings.Split(name, "."), schema, icebergcatalog.WithLocation(location))
	require.NoError(t, err)
	tbl, err := lake.Table(ctx, name)
	require.NoError(t, err)
	return tbl
}

func TestFilesOfAnotherTableUnderTheSamePrefixStay(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1")
	inner := inside(t, lake, "ns.inner", tbl.Location()+"/data/inner")
	put(t, inner, token("w", 1), "b 2")
	unknown := inside(t, lake, "ns.unknown", tbl.Location()+"/archive/unknown") // which the catalog forgets
	put(t, unknown, token("w", 1), "c 3")
	require.NoError(t, lake.Drop(ctx, "ns.unknown", false))
	neighbour := inside(t, lake, "ns.t2", tbl.Location()+"2") // whose name begins alike
	put(t, neighbour, token("w", 1), "d 4")
	f := folderOf(t, tbl)
	f.plant("data/inner/data/orphan-of-inner.parquet", "archive/unknown/data/orphan-of-unknown.parquet", "data/innermost.parquet",
		"lake/delta/_delta_log/00000.json", "lake/delta/part-0.parquet")
	folderOf(t, neighbour).plant("data/orphan-of-t2.parquet")
	for _, other := range []*tables.Table{tbl, inner, unknown, neighbour} {
		folderOf(t, other).ageAll()
	}
	plan, names := orphans(t, tbl)
	require.Equal(t, []string{"data data/innermost.parquet"}, names)
	require.Len(t, plan.Foreign, 3)
	sweep(t, tbl, plan)
	require.Equal(t, []string{"b 2"}, contents(t, inner, tables.Version{}))
	// In the inner table's folder may lie files that the outer one names.
	_, err := inner.PlanOrphans(ctx, maintain.OrphanOptions{})
	require.ErrorIs(t, err, maintain.ErrShared)
	require.True(t, folderOf(t, neighbour).has("data/orphan-of-t2.parquet"))
}

func TestAFolderOfTwoTablesIsDeclined(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1")
	own := metadataOf(t, tbl)
	for _, location := range []string{tbl.Location(), strings.Replace(localPath(t, tbl.Location()), "/ns.db", "//ns.db", 1)} {
		inside(t, lake, "ns.twin", location)
		_, err := tbl.PlanOrphans(ctx, maintain.OrphanOptions{})
		require.ErrorIs(t, err, maintain.ErrShared, location)
		require.NoError(t, lake.Drop(ctx, "ns.twin", false))
	}
	alias := filepath.Join(t.TempDir(), "alias")
	require.NoError(t, os.Symlink(localPath(t, tbl.Location()), alias))
	inside(t, lake, "ns.twin", alias)
	_, err := tbl.PlanOrphans(ctx, maintain.OrphanOptions{})
	require.ErrorIs(t, err, maintain.ErrShared, "the same folder by a link")
	require.NoError(t, lake.Drop(ctx, "ns.twin", false))
	written := pairs(t)
	written.Name, written.Properties = "ns.writer", map[string]string{"write.data.path": filepath.Dir(tbl.Location())}
	ensure(t, lake, written)
	_, err = tbl.PlanOrphans(ctx, maintain.OrphanOptions{})
	require.ErrorIs(t, err, maintain.ErrShared)
	require.ErrorContains(t, err, "another table writes to "+filepath.Dir(tbl.Location()), "another table's data lie around it")
	require.NoError(t, lake.Drop(ctx, "ns.writer", false))
	_, err = tbl.PlanOrphans(ctx, maintain.OrphanOptions{})
	require.ErrorIs(t, err, maintain.ErrShared, "what was dropped may be another catalog's table")
	require.ErrorContains(t, err, "metadata.json is of another table, which has the folder too")
	for _, path := range metadataOf(t, tbl) {
		if !slices.Contains(own, path) {
			require.NoError(t, os.Remove(path))
		}
	}
	_, err = tbl.PlanOrphans(ctx, maintain.OrphanOptions{})
	require.NoError(t, err)
	folderOf(t, tbl).plant("_delta_log/00000.json")
	_, err = tbl.PlanOrphans(ctx, maintain.OrphanOptions{})
	require.ErrorIs(t, err, maintain.ErrShared, "a Delta table with Iceberg's metadata beside it")
}

// metadataOf are the metadata files in a table's folder.
func metadataOf(t *testing.T, tbl *tables.Table) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(localPath(t, tbl.Location()), "metadata", "*.metadata.json"))
	require.NoError(t, err)
	return paths
}

// renamed commits a file under another way to write its name.
func renamed(t *testing.T, tbl *tables.Table, n int, row string, name func(uri string) string) {
	t.Helper()
	s, err := stage(t, tbl, []string{row})
	require.NoError(t, err)
	f := s.Files[0]
	b, err := iceberg.NewDataFileBuilder(tbl.Iceberg().Spec(), f.ContentType(), name(f.FilePath()), f.FileFormat(), nil, nil, nil, f.Count(), f.FileSizeBytes())
	require.NoError(t, err)
	s.Files[0] = b.Build()
	_, err = tbl.Append(ctx, token("w", n), s)
	require.NoError(t, err)
}

func TestFilesThatAreNamedInOtherWaysAreNoOrphans(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	require.NoError(t, os.Mkdir(real, 0o755))
	require.NoError(t, os.Symlink(real, link))
	lake, err := tables.OpenLake(ctx, tables.Local(link)) // the warehouse lies behind a link
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lake.Close()) })
	tbl := ensure(t, lake, pairs(t))
	renamed(t, tbl, 1, "a 1", func(uri string) string { return strings.Replace(uri, "file:///", "file:/", 1) })
	renamed(t, tbl, 2, "b 2", func(uri string) string { return strings.TrimPrefix(uri, "file://") })
	renamed(t, tbl, 3, "c 3", func(uri string) string { return strings.Replace(uri, link, real, 1) })
	renamed(t, tbl, 4, "d 4", func(uri string) string { return strings.Replace(uri, "/data/", "//data/./", 1) })
	renamed(t, tbl, 5, "e 5", func(uri string) string { return strings.Replace(uri, "/data/", "/%64ata/", 1) })
	renamed(t, tbl, 6, "f 6", func(uri string) string { return strings.Replace(uri, "file:///", "FILE://localhost/", 1) })
	f := folderOf(t, tbl)
	f.ageAll()
	f.plant("data/orphan.parquet")
	plan, names := orphans(t, tbl)
	require.Equal(t, []string{"data data/orphan.parquet"}, names)
	sweep(t, tbl, plan)
}

func TestLinksAreNeitherFollowedNorRemoved(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1")
	f := folderOf(t, tbl)
	elsewhere := t.TempDir()
	outside := &folder{t, elsewhere}
	outside.plant("precious.parquet")
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(f.path, "data", "elsewhere")))
	require.NoError(t, os.Symlink(filepath.Join(elsewhere, "precious.parquet"), filepath.Join(f.path, "data", "link.parquet")))
	require.NoError(t, os.Symlink(f.path, filepath.Join(f.path, "data", "round")))
	f.ageAll()
	plan, names := orphans(t, tbl)
	require.Empty(t, names)
	require.Zero(t, plan.Young, "a link, which has an age of its own, is not waited for")
	sweep(t, tbl, plan)
	require.True(t, outside.has("precious.parquet"))
	require.True(t, f.has("data/link.parquet"))
}

func TestWhatABuildUnderWayMayHaveWrittenStays(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1")
	for _, o := range []maintain.OrphanOptions{{OlderThan: time.Minute}, {OlderThan: 2 * time.Hour, LongestBuild: 3 * time.Hour}, {LongestBuild: 100 * time.Hour}} {
		_, err := tbl.PlanOrphans(ctx, o)
		require.ErrorIs(t, err, maintain.ErrTooYoung)
	}
	_, err := tbl.PlanOrphans(ctx, maintain.OrphanOptions{OlderThan: 2 * time.Hour, LongestBuild: 3 * time.Hour})
	require.ErrorContains(t, err, "at least that")
	require.ErrorContains(t, err, "3h0m0s")

	// A staging area in which something was written lately is in use, with all that is in it.
	f := folderOf(t, tbl)
	f.plant("_staging/busy/ns.t/job.json", "_staging/idle/ns.t/job.json")
	_, err = tbl.WriteStaged(ctx, "busy", "00007.json", []byte("{}"))
	require.NoError(t, err)
	plan, names := orphans(t, tbl)
	require.Equal(t, []string{"staging _staging/idle/ns.t/job.json"}, names)
	sweep(t, tbl, plan)
	require.True(t, f.has("_staging/busy/ns.t/job.json"))
}

func TestAFileThatIsCommittedAfterThePlanStays(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1")
	s, err := stage(t, tbl, []string{"b 2"})
	require.NoError(t, err)
	f := folderOf(t, tbl)
	f.ageAll()
	f.plant("data/orphan.parquet")
	plan, names := orphans(t, tbl)
	require.Len(t, names, 2)
	text, err := json.Marshal(plan)
	require.NoError(t, err)
	stored := &maintain.Orphans{}
	require.NoError(t, json.Unmarshal(text, stored))
	_, err = tbl.Append(ctx, token("w", 2), s)
	require.NoError(t, err)
	require.Equal(t, 1, sweep(t, tbl, stored).Files, "also of a plan that was stored")
	tbl, err = tbl.Refresh(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"a 1", "b 2"}, contents(t, tbl, tables.Version{}))
}

func TestOrphansOfSharedFilesAreDeclined(t *testing.T) {
	lake := newLake(t)
	def := pairs(t)
	def.Properties = map[string]string{table.GCEnabledKey: "false"}
	tbl := ensure(t, lake, def)
	_, err := tbl.PlanOrphans(ctx, maintain.OrphanOptions{})
	require.True(t, errors.Is(err, maintain.ErrShared), "%v", err)
}

// A table of another catalog in the same folder, of which the lake knows nothing, is told by its metadata.
func TestAFolderThatATableOfAnotherCatalogHasTooIsDeclined(t *testing.T) {
	lake, another := newLake(t), newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1")
	ensure(t, another, pairs(t))
	theirs := inside(t, another, "ns.theirs", tbl.Location())
	put(t, theirs, token("w", 1), "b 2")
	folderOf(t, tbl).ageAll()
	_, err := tbl.PlanOrphans(ctx, maintain.OrphanOptions{})
	require.ErrorIs(t, err, maintain.ErrShared)
	require.ErrorContains(t, err, "is of another table")
	require.Equal(t, []string{"b 2"}, contents(t, theirs, tables.Version{}))

	for _, name := range []string{".gz.metadata.json", ".metadata.json.gz"} { // as engines write it that are told to compress
		compressed(t, theirs, name)
		_, err = tbl.PlanOrphans(ctx, maintain.OrphanOptions{})
		require.ErrorIs(t, err, maintain.ErrShared, name)
	}
}

// compressed writes the metadata files of a table anew, with names that end so.
func compressed(t *testing.T, tbl *tables.Table, ending string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(localPath(t, tbl.Location()), "metadata", "*.metadata.json*"))
	require.NoError(t, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		if zip, err := gzip.NewReader(bytes.NewReader(text)); err == nil {
			text, err = io.ReadAll(zip)
			require.NoError(t, err)
		}
		if !strings.Contains(string(text), tbl.Iceberg().Metadata().TableUUID().String()) {
			continue
		}
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, err = w.Write(text)
		require.NoError(t, errors.Join(err, w.Close(), os.Remove(path)))
		base, _, _ := strings.Cut(filepath.Base(path), ".")
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), base+ending), packed.Bytes(), 0o600))
	}
}
