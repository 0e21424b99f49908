package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
)

const keys = 8 // overlapping on purpose

var bg = context.Background()

// programs starts what a seed chooses: some writers, and what maintains the table beside them.
func (s *sim) programs() {
	for range 2 + s.rng.IntN(5)/4 {
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.write(name, i, rng) }, 1+s.rng.IntN(3))
	}
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.compact(name, i, rng) }, s.rng.IntN(3))
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.minor(name, i, rng) }, s.rng.IntN(2))
	if s.format == 2 {
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.foreign(name, i, rng) }, s.rng.IntN(2))
	}
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.retain(name, i, rng) }, s.rng.IntN(2))
	if s.catalog.currentOnly {
		return
	}
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.expire(name, i, rng) }, s.rng.IntN(3))
	switch s.rng.IntN(4) {
	case 0:
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.rollback(name, i, rng) }, 1)
	case 1:
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.read(name, i, rng) }, 2)
	case 2:
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.evolve(name, i, rng) }, 1)
	}
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.tag(name, i, rng) }, s.rng.IntN(2))
}

func (s *sim) program(next func(i int, name string, rng *rand.Rand) *operation, n int) {
	s.actors++
	name := fmt.Sprintf("w%d", s.actors)
	rng := rand.New(rand.NewPCG(s.seed, uint64(100+s.actors)))
	s.spawn(rng, func() {
		for i := range n {
			op := next(i, name, rng)
			if op == nil {
				return
			}
			s.mutate(op)
			s.perform(op, rng)
			time.Sleep(time.Duration(rng.Int64N(int64(100 * time.Millisecond))))
		}
	})
}

func (s *sim) compact(writer string, i int, rng *rand.Rand) *operation {
	time.Sleep(time.Duration(rng.Int64N(int64(2 * olderThan))))
	op := &operation{kind: "compact", writer: writer, token: fmt.Sprintf("%s-%d", writer, i)}
	op.do = func(p *process) (bool, error) {
		t, err := p.table()
		if err != nil {
			return false, err
		}
		r, err := t.Compact(bg, p.commitOptions(), maintain.CompactOptions{MinInputFiles: 2, MaxDeleted: 0.1})
		p.met(r.Result)
		s.count("group that a compaction left to a writer", r.GroupsDropped)
		return r.Committed || r.AlreadyCommitted, err
	}
	return op
}

// olderThan is short beside how long builds take when much goes wrong, so that expiry sometimes outruns one.
const olderThan = 120 * time.Millisecond

func (s *sim) expire(writer string, i int, rng *rand.Rand) *operation {
	keep := 1 + rng.IntN(2)
	time.Sleep(time.Duration(rng.Int64N(int64(6 * olderThan))))
	return s.expiry(writer, fmt.Sprintf("%s-%d", writer, i), keep)
}

// expiry keeps the last snapshots, and those younger than olderThan.
func (s *sim) expiry(writer, token string, keep int) *operation {
	op := &operation{kind: "expire", writer: writer, token: token}
	op.do = func(p *process) (bool, error) {
		t, err := p.table()
		if err != nil {
			return false, err
		}
		r, err := t.Expire(bg, p.commitOptions(), maintain.ExpireOptions{OlderThan: olderThan, KeepLast: keep})
		p.met(r.Result)
		s.count("snapshot expired", r.Snapshots)
		return r.Committed || r.AlreadyCommitted, err
	}
	return op
}

// rollback goes to an ancestor of the head.
func (s *sim) rollback(writer string, i int, rng *rand.Rand) *operation {
	op := &operation{kind: "rollback", writer: writer, token: fmt.Sprintf("%s-%d", writer, i)}
	time.Sleep(time.Duration(rng.Int64N(int64(400 * time.Millisecond))))
	back := 1 + rng.IntN(2)
	var to int64
	op.do = func(p *process) (bool, error) {
		t, err := p.table()
		if err != nil {
			return false, err
		}
		if to == 0 {
			meta := t.Iceberg().Metadata()
			target := meta.CurrentSnapshot()
			for n := 0; target != nil && (n < back || target.Summary.Properties[commit.PartKey] != ""); n++ {
				if target.ParentSnapshotID == nil {
					return false, nil
				}
				target = meta.SnapshotByID(*target.ParentSnapshotID)
			}
			if target == nil {
				return false, nil
			}
			to = target.SnapshotID
		}
		r, err := t.Rollback(bg, p.commitOptions(), tables.Version{SnapshotID: &to})
		if errors.Is(err, tables.ErrNoSuchSnapshot) { // it has expired
			return false, nil
		}
		return r.Committed || r.AlreadyCommitted, err
	}
	return op
}

// tag keeps the head under a name, or a snapshot before it, as a tag or as a branch that nobody writes to.
func (s *sim) tag(writer string, i int, rng *rand.Rand) *operation {
	time.Sleep(time.Duration(rng.Int64N(int64(2 * olderThan))))
	op := &operation{kind: "tag", writer: writer, token: fmt.Sprintf("%s-%d", writer, i)}
	back := rng.IntN(4)
	kind := table.TagRef
	if rng.IntN(3) == 0 {
		op.kind, kind = "branch", table.BranchRef
	}
	var to int64
	op.do = func(p *process) (bool, error) {
		out, err := commit.Commit(bg, &client{p: p, c: s.catalog}, ident, p.commitID(), func(_ context.Context, head *table.Table, _ int) (*commit.Change, error) {
			if to == 0 {
				to = before(head.Metadata(), back)
			}
			if head.SnapshotByID(to) == nil { // there is none yet, or it has expired
				return nil, nil
			}
			if now := head.CurrentSnapshot(); now.SnapshotID != to {
				s.count("old snapshot named", 1)
			}
			return &commit.Change{Updates: []table.Update{table.NewSetSnapshotRefUpdate(op.token, to, kind, 0, 0, 0)}}, nil
		}, p.options())
		return out.Committed || out.AlreadyCommitted, err
	}
	return op
}

// before is a snapshot that was the head some snapshots ago, or the oldest one; 0 if there is none.
func before(meta table.Metadata, back int) (id int64) {
	all := slices.DeleteFunc(slices.Clone(meta.Snapshots()), func(s table.Snapshot) bool { return s.Summary.Properties[commit.PartKey] != "" })
	slices.SortFunc(all, func(a, b table.Snapshot) int { return cmp.Compare(b.SequenceNumber, a.SequenceNumber) })
	if len(all) > 0 {
		id = all[min(back, len(all)-1)].SnapshotID
	}
	return id
}

// evolve adds a column, or makes a table of format 2 one of format 3.
func (s *sim) evolve(writer string, i int, rng *rand.Rand) *operation {
	op := &operation{kind: "evolve", writer: writer, token: fmt.Sprintf("%s-%d", writer, i)}
	alter := func(tx *table.Transaction) error {
		return tx.UpdateSchema(true, false).AddColumn([]string{"x" + fmt.Sprint(i)}, iceberg.PrimitiveTypes.String, "", false, nil).Commit()
	}
	if s.format == 2 && rng.IntN(2) == 0 {
		op.kind = "upgrade"
		alter = func(tx *table.Transaction) error { return tx.UpgradeFormatVersion(3) }
	}
	time.Sleep(time.Duration(rng.Int64N(int64(400 * time.Millisecond))))
	op.do = func(p *process) (bool, error) {
		out, err := commit.Commit(bg, &client{p: p, c: s.catalog}, ident, p.commitID(), func(context.Context, *table.Table, int) (*commit.Change, error) {
			return &commit.Change{Alter: alter}, nil
		}, p.options())
		return out.Committed || out.AlreadyCommitted, err
	}
	return op
}

// read holds on to the head for a while and then reads it. As long as it takes no longer than expiry waits, all is there.
func (s *sim) read(writer string, i int, rng *rand.Rand) *operation {
	op := &operation{kind: "read", writer: writer, token: fmt.Sprintf("%s-%d", writer, i)}
	wait := time.Duration(rng.Int64N(int64(olderThan * 3 / 4)))
	op.do = func(p *process) (bool, error) {
		began := time.Now()
		t, err := p.table()
		if err != nil || t.Iceberg().CurrentSnapshot() == nil {
			return false, err
		}
		time.Sleep(wait)
		got, err := rowsOf(t.Iceberg(), nil)
		if err != nil {
			if errors.Is(err, tables.ErrAbsent) && !p.sawPast && time.Since(began) < olderThan {
				s.violate("%s: what was the head %v ago cannot be read: %v", p.name, time.Since(began), err)
			}
			return false, err
		}
		s.count("read", 1)
		if want := s.model.snapshots[t.Iceberg().CurrentSnapshot().SnapshotID].rows(); !slices.Equal(got, want) {
			s.violate("%s: read %v, want %v", p.name, got, want)
		}
		return false, nil
	}
	return op
}
