package commit_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/fault"
)

// world is a catalog on disk with one table, ns.t, whose data files exist in name only: the protocol never opens them.
type world struct {
	t     *testing.T
	cat   *catalog.Catalog
	ident table.Identifier

	// script is what becomes of the next commits; empty means that they go well.
	script []string
	twin   string // the token that a twin commits
	// late holds a commit whose effect comes after the next load.
	late func()
	// held is a commit that is under way until the test lets it come.
	held func()
	// interlope appends one file of another writer.
	interlopers int
	now         time.Time
	slept       []time.Duration
	events      []string
}

func newWorld(t *testing.T, format string) *world {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	cat, err := catalog.Open(ctx, catalog.Config{URI: filepath.Join(dir, "catalog.db"), Warehouse: filepath.Join(dir, "warehouse")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cat.Close()) })
	w := &world{t: t, cat: cat, ident: table.Identifier{"ns", "t"}}
	require.NoError(t, cat.CreateNamespace(ctx, table.Identifier{"ns"}, nil))
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "v", Type: iceberg.PrimitiveTypes.String})
	_, err = cat.CreateTable(ctx, w.ident, schema, icebergcatalog.WithProperties(iceberg.Properties{
		table.PropertyFormatVersion: format, table.ManifestMergeEnabledKey: "true"}))
	require.NoError(t, err)
	return w
}

func (w *world) load() *table.Table {
	w.t.Helper()
	tbl, err := w.cat.LoadTable(context.Background(), w.ident)
	require.NoError(w.t, err)
	return tbl
}

// file describes a data file of ten rows.
func file(tbl *table.Table, name string) iceberg.DataFile {
	b, err := iceberg.NewDataFileBuilder(tbl.Spec(), iceberg.EntryContentData, tbl.Location()+"/data/"+name,
		iceberg.ParquetFile, nil, nil, nil, 10, 1000)
	if err != nil {
		panic(err)
	}
	return b.ColumnSizes(map[int]int64{1: 80, 2: 40}).SplitOffsets([]int64{4}).Build()
}

// deletes describes a position delete of one row of a data file: a Parquet file, or with format 3 a deletion vector.
func deletes(tbl *table.Table, name, of string) iceberg.DataFile {
	format := iceberg.ParquetFile
	if tbl.Metadata().Version() >= 3 {
		format = iceberg.PuffinFile
	}
	b, err := iceberg.NewDataFileBuilder(tbl.Spec(), iceberg.EntryContentPosDeletes, tbl.Location()+"/data/"+name,
		format, nil, nil, nil, 1, 100)
	if err != nil {
		panic(err)
	}
	path := []byte(tbl.Location() + "/data/" + of)
	b.ReferencedDataFile(string(path)).
		LowerBoundValues(map[int][]byte{2147483546: path}).UpperBoundValues(map[int][]byte{2147483546: path})
	if format == iceberg.PuffinFile {
		b.ContentOffset(4).ContentSizeInBytes(40)
	}
	return b.Build()
}

// appending is a planner that appends files.
func appending(names ...string) commit.Planner {
	return func(_ context.Context, head *table.Table, _ int) (*commit.Change, error) {
		c := &commit.Change{Operation: commit.Append}
		for _, n := range names {
			c.AddData = append(c.AddData, file(head, n))
		}
		return c, nil
	}
}

// live lists the names of the live files at the head; delete files as name:of.
func (w *world) live() []string {
	w.t.Helper()
	tbl := w.load()
	s := tbl.CurrentSnapshot()
	if s == nil {
		return nil
	}
	fs, err := tbl.FS(context.Background())
	require.NoError(w.t, err)
	manifests, err := s.Manifests(fs)
	require.NoError(w.t, err)
	var out []string
	for _, m := range manifests {
		for e, err := range m.Entries(fs, true) {
			require.NoError(w.t, err)
			name := filepath.Base(e.DataFile().FilePath())
			if ref := commit.ReferencedFile(e.DataFile()); ref != "" {
				name += ":" + filepath.Base(ref)
			}
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// commit runs the protocol against the scripted catalog, with a clock that does not wait.
func (w *world) commit(id commit.ID, plan commit.Planner, opts commit.Options) (commit.Outcome, error) {
	w.now = time.Unix(0, 0)
	opts.Now = func() time.Time { return w.now }
	opts.Random = func() float64 { return 1 }
	opts.Sleep = func(_ context.Context, d time.Duration) error {
		w.slept = append(w.slept, d)
		w.now = w.now.Add(d)
		return nil
	}
	opts.Observe = func(e commit.Event) {
		w.events = append(w.events, fmt.Sprintf("attempt %d: %v", e.Attempt, e.Class))
	}
	return commit.Commit(context.Background(), w, w.ident, id, plan, opts)
}

// LoadTable implements commit.Catalog.
func (w *world) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	if len(w.script) > 0 && w.script[0] == "load-busy" {
		w.script = w.script[1:]
		return nil, fault.New(fault.ErrPassing, "load", errors.New("busy"))
	}
	tbl, err := w.cat.LoadTable(ctx, ident)
	if late := w.late; late != nil {
		w.late = nil
		late()
	}
	return tbl, err
}

var errLost = errors.New("the answer was lost")

// CommitTable implements commit.Catalog.
func (w *world) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	what := ""
	if len(w.script) > 0 {
		what, w.script = w.script[0], w.script[1:]
	}
	lost := func() (table.Metadata, string, error) {
		return nil, "", fault.New(fault.ErrUnknownOutcome, "commit", errLost)
	}
	if second, is := strings.CutPrefix(what, "landed-"); is { // it lands, and the answer is that to a second copy
		if _, _, err := w.cat.CommitTable(ctx, ident, reqs, updates); err != nil {
			return nil, "", err
		}
		what = second
	}
	if answer, is := strings.CutPrefix(what, "overtaken-"); is { // the answer is that to a second copy, and the first one is under way still
		w.held = func() { _, _, _ = w.cat.CommitTable(ctx, ident, reqs, updates) }
		what = answer
	}
	if answer, is := strings.CutPrefix(what, "final-"); is {
		w.script = append([]string{answer}, w.script...)
		_, _, err := w.CommitTable(ctx, ident, reqs, updates)
		return nil, "", fault.Final(err)
	}
	if answer, is := strings.CutSuffix(what, "-unseen"); is { // and the table cannot be loaded
		w.script = append([]string{answer, "load-busy"}, w.script...)
		return w.CommitTable(ctx, ident, reqs, updates)
	}
	switch what {
	case "", "ok":
		return w.cat.CommitTable(ctx, ident, reqs, updates)
	case "other-writer": // the head moves just before
		w.interlope()
		return w.cat.CommitTable(ctx, ident, reqs, updates)
	case "lost-after": // it lands, and the answer is lost
		if _, _, err := w.cat.CommitTable(ctx, ident, reqs, updates); err != nil {
			return nil, "", err
		}
		return lost()
	case "lost-after-and-buried": // it lands, others commit on top, its snapshot expires, and the answer is lost
		if _, _, err := w.cat.CommitTable(ctx, ident, reqs, updates); err != nil {
			return nil, "", err
		}
		mine := w.load().CurrentSnapshot().SnapshotID
		w.interlope()
		_, _, err := w.cat.CommitTable(ctx, ident, nil, []table.Update{table.NewRemoveSnapshotsUpdate([]int64{mine}, false)})
		require.NoError(w.t, err)
		return lost()
	case "lost-before": // it never arrives
		return lost()
	case "twice": // a proxy delivers it twice, and the answer is the second one's
		if _, _, err := w.cat.CommitTable(ctx, ident, reqs, updates); err != nil {
			return nil, "", err
		}
		return w.cat.CommitTable(ctx, ident, reqs, updates)
	case "twin": // another process with the same work is first
		id := commit.ID{Writer: "me", Token: w.twin}
		_, err := commit.Commit(ctx, w.cat, w.ident, id, appending("twin"+w.twin), commit.Options{})
		require.NoError(w.t, err)
		return w.cat.CommitTable(ctx, ident, reqs, updates)
	case "late": // it arrives after the writer has looked
		w.late = func() { _, _, _ = w.cat.CommitTable(ctx, ident, reqs, updates) }
		return lost()
	case "busy":
		return nil, "", fault.New(fault.ErrPassing, "commit", errors.New("busy"))
	case "denied":
		return nil, "", fault.New(fault.ErrDenied, "commit", errors.New("no"))
	case "broken":
		return nil, "", errors.New("nonsense")
	}
	return nil, "", fmt.Errorf("script: %s", what)
}

// blind is a catalog for a writer who knows nothing of claims.
type blind struct{ commit.Catalog }

func (b blind) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	tbl, err := b.Catalog.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	var claims []string
	for key := range tbl.Properties() {
		if strings.HasPrefix(key, commit.ClaimPrefix) {
			claims = append(claims, key)
		}
	}
	if len(claims) == 0 {
		return tbl, nil
	}
	meta, err := table.UpdateTableMetadata(tbl.Metadata(), []table.Update{table.NewRemovePropertiesUpdate(claims)}, "")
	if err != nil {
		return nil, err
	}
	return table.New(ident, meta, tbl.MetadataLocation(), tbl.FS, nil), nil
}

func (w *world) interlope() {
	w.interlopers++
	id := commit.ID{Writer: "other", Token: fmt.Sprint(w.interlopers)}
	_, err := commit.Commit(context.Background(), blind{w.cat}, w.ident, id, appending(fmt.Sprintf("other%d", w.interlopers)), commit.Options{})
	require.NoError(w.t, err)
}

// manifestFiles counts the Avro files in the table's metadata folder that the head does not name.
func (w *world) orphans() []string {
	w.t.Helper()
	tbl := w.load()
	fs, err := tbl.FS(context.Background())
	require.NoError(w.t, err)
	named := map[string]bool{}
	for _, s := range tbl.Metadata().Snapshots() {
		named[filepath.Base(s.ManifestList)] = true
		manifests, err := s.Manifests(fs)
		require.NoError(w.t, err)
		for _, m := range manifests {
			named[filepath.Base(m.FilePath())] = true
		}
	}
	all, err := filepath.Glob(filepath.Join(strings.TrimPrefix(tbl.Location(), "file://"), "metadata", "*.avro"))
	require.NoError(w.t, err)
	var out []string
	for _, f := range all {
		if !named[filepath.Base(f)] {
			out = append(out, filepath.Base(f))
		}
	}
	return out
}
