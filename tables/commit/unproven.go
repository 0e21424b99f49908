package commit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/fault"
)

// unproven are the changes that were sent and not confirmed: the answer was lost, or it was a conflict, which may have been
// with a first copy of the same request, or another refusal, which says nothing of a first copy that is still under way. Until a head that is newer than the one they were pinned to has shown that the
// token is not in the table, they may be in it or still come to be, and nothing that they name is removed: neither their
// manifests, nor the data files that a planner throws away.
type unproven struct {
	mu   sync.Mutex
	sent []*sentChange
}

type sentChange struct {
	*staged
	turnedAway bool // by an answer that says that nothing was changed
	files      map[string]bool
	// thrown are those of the files that their planner has removed meanwhile, and that are there still.
	thrown []string
}

func (u *unproven) add(s *staged, c *Change) {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := &sentChange{staged: s, files: map[string]bool{}}
	for _, files := range [][]iceberg.DataFile{c.AddData, c.AddDeletes} {
		for _, f := range files {
			out.files[f.FilePath()] = true
		}
	}
	for _, path := range c.Manifests.paths() {
		out.files[path] = true
	}
	u.sent = append(u.sent, out)
}

// addTurnedAway adds a change that was not let in, as far as the answer tells.
func (u *unproven) addTurnedAway(s *staged, c *Change) {
	u.add(s, c)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sent[len(u.sent)-1].turnedAway = true
}

func (u *unproven) any() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.sent) > 0
}

// anyLost tells whether there are others than such as were turned away.
func (u *unproven) anyLost() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.ContainsFunc(u.sent, func(s *sentChange) bool { return !s.turnedAway })
}

// keeps tells whether a file that is to go has to stay for now, and remembers that it is to go.
func (u *unproven) keeps(path string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := slices.IndexFunc(u.sent, func(s *sentChange) bool { return s.files[path] })
	if at >= 0 {
		u.sent[at].thrown = append(u.sent[at].thrown, path)
	}
	return at >= 0
}

// disproved takes out the changes that certainly are not in the table and never will be, since it does not have their
// token and rows were committed after the head that they were pinned to. An equal head is no proof, and neither is another
// one that a stale read may show; sequence numbers only grow, and a snapshot whose number is taken is refused by itself.
func (u *unproven) disproved(head *table.Table, writer string) (out []*sentChange) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sent = slices.DeleteFunc(u.sent, func(s *sentChange) bool {
		key := PropertyPrefix + writer
		taken := slices.ContainsFunc(head.Metadata().Snapshots(), func(o table.Snapshot) bool {
			return o.SequenceNumber == s.base.LastSequenceNumber()+1
		})
		if head.Metadata().LastSequenceNumber() > s.base.LastSequenceNumber() && (taken || head.Properties()[key] == s.base.Properties()[key]) {
			out = append(out, s)
			return true
		}
		return false
	})
	return out
}

// tidy removes the metadata files of attempts that are certainly not in the table, and what their planner has thrown away.
func (p *protocol) tidy(ctx context.Context, head *table.Table) {
	for _, s := range p.unproven.disproved(head, p.id.Writer) {
		s.remove(ctx)
		for _, path := range s.thrown {
			if ctx.Err() == nil && !p.unproven.keeps(path) {
				_ = s.written.Remove(path)
			}
		}
	}
}

// settle is what is left to do when Commit gives up with err: to look once more, since the last conflict may have been with a first copy
// of the same request, and so that the caller knows whether its files may be removed. Without proof the outcome is unknown.
func (p *protocol) settle(ctx context.Context, err error) error {
	if err == nil || p.out.Attempts == 0 || fault.Cancelled(err) {
		return err
	}
	if head, loadErr := p.cat.LoadTable(ctx, p.ident); loadErr == nil {
		if p.foundAt(head) {
			return nil
		}
		p.tidy(ctx, head)
	}
	switch {
	case !p.unproven.any() || !Safe(err):
		return err
	case !p.unproven.anyLost():
		return &keptError{err}
	}
	return &fault.Error{Class: ErrUnknownOutcome, Op: "commit " + p.name(), Err: fmt.Errorf("an attempt of it may have taken effect, and the last one ended in: %w", err)}
}

// keptError is one of a commit that was turned away, with the class of the answer; but a first copy of the request may be under way
// still, which names the files.
type keptError struct{ error }

func (e *keptError) Error() string {
	return e.error.Error() + "; its files are kept, since a copy of the request may be under way"
}

func (e *keptError) Unwrap() error { return e.error }

// idle is an attempt that has nothing to commit. If an earlier one was sent and is not disproved, then a stale read may be
// why, and some more looks are worth it. After them the files stay, and there is nothing to commit all the same.
func (p *protocol) idle() (done bool, err error) {
	if p.unproven.any() && p.doubts < 3 {
		p.doubts++
		return false, &fault.Error{Class: ErrUnknownOutcome, Op: "plan", Err: errors.New("there is nothing to change at this head, and an earlier attempt may have changed it")}
	}
	p.out.Sent = p.unproven.any()
	return true, nil
}

// guarded is the head as planners see it.
func (p *protocol) guarded(head *table.Table) *table.Table {
	return table.New(head.Identifier(), head.Metadata(), head.MetadataLocation(), func(ctx context.Context) (iceio.IO, error) {
		fs, err := head.FS(ctx)
		if w, ok := fs.(iceio.WriteFileIO); ok && err == nil {
			return &guardedStore{WriteFileIO: w, unproven: &p.unproven}, nil
		}
		return fs, err
	}, nil)
}

// guardedStore keeps the files of unproven changes, whatever makes a planner throw its work away, until they are disproved.
type guardedStore struct {
	iceio.WriteFileIO
	unproven *unproven
}

// Remove implements iceio.IO.
func (g *guardedStore) Remove(name string) error {
	if g.unproven.keeps(name) {
		return nil
	}
	return g.WriteFileIO.Remove(name)
}
