package activities

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/sources"
)

// longListing is a store of many files that are not there: it makes up their names while it lists them, and says how much
// is in memory meanwhile.
type longListing struct {
	sources.Store
	count    int
	listings int
	most     int64 // bytes in memory, more than at a listing's beginning
}

func (s *longListing) file(i int) sources.File {
	return sources.File{
		URI:  fmt.Sprintf("s3://lake/landing/carrier=%03d/delivery-of-a-carrier-of-the-north-and-of-the-south-%09d.csv", i*1000/s.count, i),
		Size: 100, ModTime: time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC), ETag: fmt.Sprintf("%032d", i),
	}
}

func (s *longListing) List(context.Context, string) iter.Seq2[sources.File, error] {
	return func(yield func(sources.File, error) bool) {
		began := inUse()
		s.listings++
		for i := range s.count {
			if !yield(s.file(i), nil) {
				return
			}
			if i%(s.count/8) == 0 || i == s.count-1 {
				s.most = max(s.most, inUse()-began)
			}
		}
	}
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestNamesOfAListingAreNotKept compiles and prepares a table of a hundred thousand new files: their names, which would take
// some thirty megabytes, are not in memory at once, and yet all lie in the job, each once and in order.
func TestNamesOfAListingAreNotKept(t *testing.T) {
	const count, bound = 100_000, 8 << 20 // digests, and the names that inference may choose from, take less than half
	t.Run("names that are kept are seen", func(t *testing.T) {
		store := &longListing{count: count}
		var kept []sources.File
		for f := range store.List(t.Context(), "") {
			kept = append(kept, f)
		}
		require.Greater(t, store.most, int64(bound))
		runtime.KeepAlive(kept)
	})
	for _, mode := range []string{"append", "replace"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, func(c *Config) { c.GroupFiles = 100 })
			store := &longListing{Store: l.a.store, count: count}
			l.a.store = store
			l.write("pipelines/p.yaml", fmt.Sprintf("pipeline: p\ntables:\n  bronze.t:\n    source: {files: \"s3://lake/landing/**\", format: text}\n    write: %s\n", mode))
			compiled, err := l.compile("p")
			require.NoError(t, err)
			t.Logf("compiling: %d KiB", store.most>>10)
			require.Less(t, store.most, int64(bound), "compiling")
			r := &resolver{a: l.a, writer: "p"}
			all, fresh, err := r.list(t.Context(), "bronze.t", "")
			require.NoError(t, err)
			require.Equal(t, []int{count, 0}, []int{all.count, fresh.count}, "of a table that is not there none is told to be fresh")

			store.most, store.listings = 0, 0
			b := l.begin(compiled, "bronze.t")
			require.NoError(t, b.prepare())
			t.Logf("preparing: %d KiB", store.most>>10)
			require.Less(t, store.most, int64(bound), "preparing")
			require.Equal(t, 1, store.listings)
			require.Equal(t, wire.Prepared{Job: b.prepared.Job, Groups: count / 100, Files: count, Bytes: 100 * count}, wire.Prepared{
				Job: b.prepared.Job, Groups: b.prepared.Groups, Files: b.prepared.Files, Bytes: b.prepared.Bytes,
			})
			j, err := l.a.loadJob(t.Context(), b.prepared.Job)
			require.NoError(t, err)
			require.Greater(t, len(j.Chunks), 10)
			n := 0
			for _, c := range j.Chunks {
				var groups []group
				require.NoError(t, l.a.load(t.Context(), c.URI, &groups))
				require.Equal(t, n/100, c.First)
				for _, g := range groups {
					require.Len(t, g.Files, 100)
					for _, f := range g.Files {
						if f != store.file(n) {
							t.Fatalf("%v, not %v", f, store.file(n))
						}
						n++
					}
				}
			}
			require.Equal(t, count, n)
			all, fresh, err = r.list(t.Context(), "bronze.t", "")
			require.NoError(t, err)
			require.Equal(t, []int{count, count}, []int{all.count, fresh.count})
		})
	}
}

// TestEndsOfAListing compares what is kept of listings of many lengths with what is cut out of the whole.
func TestEndsOfAListing(t *testing.T) {
	for _, count := range []int{0, 1, sampled/2 - 1, sampled / 2, sampled/2 + 1, sampled - 1, sampled, sampled + 1, sampled + sampled/2, 2*sampled + 7} {
		var e ends
		var whole []sources.File
		for i := range count {
			f := sources.File{URI: fmt.Sprint(i)}
			e.add(f)
			whole = append(whole, f)
		}
		if count > sampled {
			whole = append(whole[:sampled/2:sampled/2], whole[count-sampled/2:]...)
		}
		require.Equal(t, count, e.count)
		require.Equal(t, whole, e.files(), "%d files", count)
	}
}

// TestAFilesetIsListedAgainOnlyWhenItChanged looks twice at a table that holds what its files hold: a run without changes
// lists once and stages nothing, one with changes stages the files of its last listing, which its checkpoint names.
func TestAFilesetIsListedAgainOnlyWhenItChanged(t *testing.T) {
	l := newLab(t)
	store := &longListing{Store: l.a.store, count: 8}
	l.a.store = store
	j := &job{Table: plan.Table{Name: "bronze.t", Files: &plan.Files{Glob: "*"}}}
	handed := 0
	look := func() *found {
		store.listings, handed = 0, 0
		p := &pulse{}
		out, err := l.a.newFileset(t.Context(), p, j, func(sources.File) error { handed++; return nil })
		require.NoError(t, err)
		require.EqualValues(t, out.files, p.files.Load())
		require.EqualValues(t, 100*out.files, out.bytes)
		return out
	}
	first := look()
	require.Equal(t, []any{"8 files, never loaded", false, 1, 8}, []any{first.reason, first.unchanged, store.listings, handed})
	j.Base = first.next
	again := look()
	require.Equal(t, []any{"none of 8 files has changed", true, 1, 0}, []any{again.reason, again.unchanged, store.listings, handed})
	require.Equal(t, first.next, again.next)
	store.count = 16
	more := look()
	require.Equal(t, []any{"files have changed: all 16 are loaded again", false, 2, 16}, []any{more.reason, more.unchanged, store.listings, handed})
	store.count, j.Table.Files.Format = 8, "text"
	defined := look()
	require.Equal(t, []any{"its definition has changed: all 8 files are loaded again", false, 1, 8}, []any{defined.reason, defined.unchanged, store.listings, handed})
}
