package tables_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/internal/script"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/store"
)

// TestMaintenance goes through compaction and expiry beside writes, in both formats.
func TestMaintenance(t *testing.T) {
	files, err := filepath.Glob("testdata/maintenance/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			u := &upkeep{&writes{lake: newLake(t), staged: map[string]*tables.Staged{}}}
			script.Run(t, path, u.do)
		})
	}
}

// upkeep is writes with the commands that maintain a table.
type upkeep struct{ *writes }

func (u *upkeep) do(t *testing.T, c *script.Command) string {
	switch c.Name {
	case "compact":
		return u.compact(t, c)
	case "expire":
		return u.expire(t, c)
	case "tag":
		return u.tag(t, c)
	case "lineage":
		return u.lineage(t)
	case "files":
		return u.files(t)
	}
	return u.writes.do(t, c)
}

// upkeepOptions are those of another writer: a table's maintenance has a last commit of its own.
func upkeepOptions(c *script.Command) tables.CommitOptions {
	o := options(c)
	o.ID.Writer = "maintenance"
	return o
}

func (u *upkeep) compact(t *testing.T, c *script.Command) string {
	o := maintain.CompactOptions{MinInputFiles: 2}
	if s, ok := c.Args["deleted"]; ok {
		var err error
		o.MaxDeleted, err = strconv.ParseFloat(s, 64)
		require.NoError(t, err)
	}
	r, err := u.table(t).Compact(ctx, upkeepOptions(c), o)
	if err != nil {
		return hidden(errorText(err))
	}
	if !r.Committed {
		return "nothing to do"
	}
	return fmt.Sprintf("%d groups, %d rows rewritten; data files +%d -%d, delete files -%d; inserted %d, deleted %d",
		r.Groups, r.Rewritten, r.FilesAdded, r.FilesRemoved, r.DeletesGone, r.Inserted, r.Deleted)
}

// expire is as if a time later: after=10d.
func (u *upkeep) expire(t *testing.T, c *script.Command) string {
	var o maintain.ExpireOptions
	var err error
	if s, ok := c.Args["older"]; ok {
		o.OlderThan, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	later, err := time.ParseDuration(c.Args["after"])
	require.NoError(t, err)
	o.Now = func() time.Time { return time.Now().Add(later) }
	_, _ = fmt.Sscan(c.Args["keep"], &o.KeepLast)
	if at, ok := c.Args["reader"]; ok {
		n, err := strconv.Atoi(at)
		require.NoError(t, err)
		o.Keep = []int64{u.table(t).Snapshots()[n-1].ID}
	}
	r, err := u.table(t).Expire(ctx, upkeepOptions(c), o)
	if err != nil {
		return hidden(errorText(err))
	}
	if !r.Committed {
		return "nothing to do"
	}
	return fmt.Sprintf("%d snapshots, references %v; files -%d, %d left", r.Snapshots, r.Refs, r.FilesSwept, len(r.FilesLeft))
}

// tag names the head, or with at the nth snapshot; age bounds its life.
func (u *upkeep) tag(t *testing.T, c *script.Command) string {
	tbl := u.table(t)
	head, _ := tbl.Head()
	id := head.ID
	if v := u.version(t, c); v.SnapshotID != nil {
		id = *v.SnapshotID
	}
	age, _ := time.ParseDuration(c.Args["age"])
	_, err := commit.Commit(ctx, u.lake.Catalog(), tbl.Iceberg().Identifier(), upkeepOptions(c).ID, func(context.Context, *table.Table, int) (*commit.Change, error) {
		return &commit.Change{Updates: []table.Update{table.NewSetSnapshotRefUpdate(c.Words[0], id, table.TagRef, age.Milliseconds(), 0, 0)}}, nil
	}, commit.Options{})
	require.NoError(t, err)
	return ""
}

// lineage shows each row with its id and the number of the commit that changed it last.
func (u *upkeep) lineage(t *testing.T) string {
	tbl := u.table(t).Iceberg()
	columns := []string{"id", iceberg.RowIDColumnName, iceberg.LastUpdatedSequenceNumberColumnName}
	rdr, err := datafile.Scan(ctx, tbl, datafile.ScanOptions{Columns: columns})
	require.NoError(t, err)
	defer rdr.Release()
	var out []string
	for rdr.Next() {
		b := rdr.RecordBatch()
		for i := range int(b.NumRows()) {
			out = append(out, fmt.Sprintf("%s: row %d, changed by %d", b.Column(0).(*array.String).Value(i),
				b.Column(1).(*array.Int64).Value(i), b.Column(2).(*array.Int64).Value(i)))
		}
	}
	require.NoError(t, rdr.Err())
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// files counts what lies in the table's folder, and what of it no snapshot names.
func (u *upkeep) files(t *testing.T) string {
	named := namedFiles(t, u.table(t).Iceberg())
	root, err := store.Path(u.table(t).Location())
	require.NoError(t, err)
	counts := map[string]int{}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".metadata.json") {
			return err
		}
		uri, err := store.URI(path)
		require.NoError(t, err)
		if counts[filepath.Ext(path)]++; !named[uri] {
			counts["unnamed "+filepath.Ext(path)]++
		}
		delete(named, uri)
		return nil
	}))
	require.Empty(t, named, "named and not there")
	var out []string
	for kind, n := range counts {
		out = append(out, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func namedFiles(t *testing.T, tbl *table.Table) map[string]bool {
	t.Helper()
	named := map[string]bool{}
	store, err := tbl.FS(ctx)
	require.NoError(t, err)
	for _, s := range tbl.Metadata().Snapshots() {
		named[s.ManifestList] = true
		manifests, err := s.Manifests(store)
		require.NoError(t, err)
		for _, m := range manifests {
			named[m.FilePath()] = true
			for e, err := range m.Entries(store, true) {
				require.NoError(t, err)
				named[e.DataFile().FilePath()] = true
			}
		}
	}
	return named
}

func TestFilesThatAreSharedAreNotExpired(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1")
	put(t, tbl, token("w", 2), "b 2")
	_, err := commit.Commit(ctx, lake.Catalog(), tbl.Iceberg().Identifier(), token("admin", 1).ID, func(context.Context, *table.Table, int) (*commit.Change, error) {
		return &commit.Change{Properties: map[string]string{table.GCEnabledKey: "false"}}, nil
	}, commit.Options{})
	require.NoError(t, err)
	_, err = tbl.Expire(ctx, token("m", 1), maintain.ExpireOptions{Now: func() time.Time { return time.Now().Add(1000 * time.Hour) }})
	require.True(t, errors.Is(err, maintain.ErrShared), "%v", err)
	tbl, err = tbl.Refresh(ctx)
	require.NoError(t, err)
	require.Len(t, tbl.Snapshots(), 2)
}
