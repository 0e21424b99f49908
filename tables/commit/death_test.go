package commit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
)

var errDead = errors.New("the process is dead")

// mortal is a catalog and store under a process that dies at a given I/O: that one happens or does not, and none after.
type mortal struct {
	*world
	steps   int // I/Os so far
	dieAt   int
	happens bool // whether the last one has its effect
}

// step tells whether an I/O happens, and whether the process lives to hear of it.
func (m *mortal) step() (happens, lives bool) {
	m.steps++
	switch {
	case m.steps < m.dieAt:
		return true, true
	case m.steps == m.dieAt:
		return m.happens, false
	}
	return false, false
}

func (m *mortal) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	if _, lives := m.step(); !lives {
		return nil, errDead
	}
	t, err := m.cat.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	fs, err := t.FS(ctx)
	if err != nil {
		return nil, err
	}
	io := &mortalIO{WriteFileIO: fs.(iceio.WriteFileIO), m: m}
	return table.New(ident, t.Metadata(), t.MetadataLocation(), func(context.Context) (iceio.IO, error) { return io, nil }, nil), nil
}

func (m *mortal) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	happens, lives := m.step()
	if !happens {
		return nil, "", errDead
	}
	meta, location, err := m.cat.CommitTable(ctx, ident, reqs, updates)
	if !lives {
		return nil, "", errDead
	}
	return meta, location, err
}

type mortalIO struct {
	iceio.WriteFileIO
	m *mortal
}

func (f *mortalIO) Open(name string) (iceio.File, error) {
	if _, lives := f.m.step(); !lives {
		return nil, errDead
	}
	return f.WriteFileIO.Open(name)
}

func (f *mortalIO) Create(name string) (iceio.FileWriter, error) {
	happens, lives := f.m.step()
	if !happens {
		return nil, errDead
	}
	w, err := f.WriteFileIO.Create(name)
	if !lives {
		return nil, errDead // and its temporary file stays
	}
	return w, err
}

func (f *mortalIO) Remove(name string) error {
	happens, lives := f.m.step()
	if !happens {
		return errDead
	}
	err := f.WriteFileIO.Remove(name)
	if !lives {
		return errDead
	}
	return err
}

// TestDeathAtEveryStep: a process that dies at any I/O of a commit, before or after its effect, and another that does
// the same work again, leave it done once.
func TestDeathAtEveryStep(t *testing.T) {
	for _, format := range []string{"2", "3"} {
		t.Run("format "+format, func(t *testing.T) {
			died := 0
			for at := 1; ; at++ {
				for _, happens := range []bool{false, true} {
					w := newWorld(t, format)
					w.interlope()
					m := &mortal{world: w, dieAt: at, happens: happens}
					_, err := commit.Commit(context.Background(), m, w.ident, commit.ID{Writer: "me", Token: "1"}, rewriting, commit.Options{MaxAttempts: 2})
					if err == nil {
						require.GreaterOrEqual(t, died, 10, "a commit has that many steps")
						return
					}
					died++
					out, err := commit.Commit(context.Background(), w.cat, w.ident, commit.ID{Writer: "me", Token: "1"}, rewriting, commit.Options{})
					require.NoError(t, err, "at %d", at)
					require.True(t, out.Committed != out.AlreadyCommitted)
					require.Equal(t, []string{"added"}, w.live(), "at %d, happens %v", at, happens)
				}
			}
		})
	}
}

// rewriting replaces all files by one; done twice it would find its own file and replace it by itself, which the library
// refuses.
func rewriting(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
	diff, err := commit.BetweenSnapshots(ctx, head, nil, head.CurrentSnapshot())
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	return &commit.Change{Operation: commit.Overwrite, RemoveData: diff.AddedData, AddData: []iceberg.DataFile{file(head, "added")}}, nil
}
