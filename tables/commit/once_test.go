package commit_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
)

// counting is a catalog whose tables count what is written under each name.
type counting struct {
	*world
	mu      sync.Mutex
	written map[string]int
}

func (c *counting) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	t, err := c.world.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	return table.New(ident, t.Metadata(), t.MetadataLocation(), func(ctx context.Context) (iceio.IO, error) {
		fs, err := t.FS(ctx)
		if err != nil {
			return nil, err
		}
		return &countingStore{fs.(iceio.WriteFileIO), c}, nil
	}, nil), nil
}

type countingStore struct {
	iceio.WriteFileIO
	by *counting
}

func (s *countingStore) count(name string) {
	s.by.mu.Lock()
	defer s.by.mu.Unlock()
	s.by.written[name]++
}

func (s *countingStore) Create(name string) (iceio.FileWriter, error) {
	s.count(name)
	return s.WriteFileIO.Create(name)
}

func (s *countingStore) WriteFile(name string, content []byte) error {
	s.count(name)
	return s.WriteFileIO.WriteFile(name, content)
}

// No file of a commit is written twice under one name: where a store lets nothing be replaced, a copy of the first writing that comes
// late would meet the second one, and refuse it.
func TestNothingIsWrittenTwiceUnderOneName(t *testing.T) {
	for _, format := range []string{"2", "3"} {
		t.Run("v"+format, func(t *testing.T) {
			w := &counting{world: newWorld(t, format), written: map[string]int{}}
			n := 0
			do := func(plan func(*table.Table) *commit.Change) {
				n++
				_, err := commit.Commit(t.Context(), w, w.ident, commit.ID{Writer: "me", Token: fmt.Sprint(n)},
					func(_ context.Context, head *table.Table, _ int) (*commit.Change, error) { return plan(head), nil }, commit.Options{})
				require.NoError(t, err)
			}
			do(func(*table.Table) *commit.Change {
				return &commit.Change{Properties: map[string]string{table.ManifestMinMergeCountKey: "3"}}
			})
			for i := range 8 { // manifests are merged, and written anew
				do(func(head *table.Table) *commit.Change {
					return &commit.Change{Operation: commit.Append, AddData: files(head, fmt.Sprint("a", i))}
				})
			}
			do(func(head *table.Table) *commit.Change {
				return &commit.Change{Operation: commit.Overwrite, AddData: files(head, "b"), RemoveData: files(head, "a1", "a7")}
			})
			do(func(head *table.Table) *commit.Change {
				c := &commit.Change{Operation: commit.RowDelta, AddData: files(head, "c"), RemoveData: files(head, "a2")}
				c.AddDeletes = append(c.AddDeletes, deletes(head, "d", "a3"))
				return c
			})
			do(func(head *table.Table) *commit.Change {
				return &commit.Change{Operation: commit.Rewrite, AddData: files(head, "e"), RemoveData: files(head, "a4", "a5")}
			})
			lists := 0
			for name, times := range w.written {
				require.Equal(t, 1, times, name)
				lists++
			}
			require.Greater(t, lists, 20, "a manifest and a list for each commit")
		})
	}
}

func files(head *table.Table, names ...string) (out []iceberg.DataFile) {
	for _, name := range names {
		out = append(out, file(head, name))
	}
	return out
}
