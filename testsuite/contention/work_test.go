package contention

import (
	"fmt"
	"math/rand/v2"
)

const (
	writers    = 16
	partitions = 16
	// table is the one that everybody writes to.
	table = "contention.rows"
	// private is how many keys apart the writers' own keys begin.
	private = 1_000_000
)

// row is a row of the table: v tells, of two rows of one key, which changes they went through in which order, and n how
// many. The partition is p, and k modulo the partitions.
type row struct {
	K, V, N int64
}

func (r row) String() string { return fmt.Sprintf("%d %d %d", r.K, r.V, r.N) }

// changed is a row of a change's rows: what a MERGE says of a key, or what is appended.
type changed struct {
	K   int64 `json:"k"`
	P   int64 `json:"p"`
	V   int64 `json:"v"`
	Del bool  `json:"del"`
}

// The kinds of changes.
const (
	appends = "append"
	merges  = "merge"
	deletes = "delete"
)

// change is one commit. It always changes some row, in whatever order the commits come: it has a key that is its writer's
// alone.
//
// A MERGE deletes the matched rows whose source row says so, gives the others v = (31 * t.v + s.v) % modulus and
// n = t.n + 1, and inserts what is not matched, unless it is to be deleted, with n = 0.
type change struct {
	ID   string    `json:"id"`
	Kind string    `json:"kind"`
	Rows []changed `json:"rows"` // of a delete: the keys
	// Partition is the only one that it touches; -1 says that there are more.
	Partition int64 `json:"partition"`
}

// modulus keeps v small for every engine.
const modulus = 1_000_003

func rowOf(key, v int64) changed { return changed{K: key, P: key % partitions, V: v} }

func own(writer int, j int64) int64 { return int64(writer+1)*private + j }

// script makes one writer's changes. Appends come first, so that there is something of its own to delete.
type script struct {
	writer int
	dice   *rand.Rand
	next   int64 // of its own keys
	fresh  []int64
	alone  bool // keeps to the partition of its number
	hot    int64
}

// key is one of its own, that nobody else has.
func (s *script) key() int64 {
	s.next++
	if s.alone { // in its own partition
		return own(s.writer, s.next*partitions+int64(s.writer))
	}
	return own(s.writer, s.next)
}

// shared is a key that others have too; when alone, others of its own partition.
func (s *script) shared() int64 {
	if s.alone {
		return int64(s.writer) + partitions*s.dice.Int64N(s.hot)
	}
	return s.dice.Int64N(s.hot)
}

func (s *script) value() int64 { return 1 + s.dice.Int64N(modulus-1) }

func (s *script) changes(n int) []change {
	var out []change
	for i := range n {
		c := change{ID: fmt.Sprintf("w%02d-%04d", s.writer, i), Partition: -1}
		if s.alone {
			c.Partition = int64(s.writer)
		}
		switch i % 4 {
		case 0:
			c.Kind, c.Rows = appends, s.appended()
		case 1, 3:
			c.Kind, c.Rows = merges, s.merged(8)
		case 2:
			c.Kind, c.Rows = deletes, s.deleted()
		}
		out = append(out, c)
	}
	return out
}

// appended are rows of keys of its own, one of which it will delete, and of one key that others have too: a key may then
// have several rows, and what changes the key changes them all.
func (s *script) appended() []changed {
	key := s.key()
	s.fresh = append(s.fresh, key)
	return []changed{rowOf(key, s.value()), rowOf(s.key(), s.value()), rowOf(s.shared(), s.value())}
}

// merged are n rows of different keys: some to be deleted, and one of its own.
func (s *script) merged(n int) []changed {
	out := []changed{rowOf(s.key(), s.value())}
	seen := map[int64]bool{}
	for len(out) < n {
		key := s.shared()
		if seen[key] {
			continue
		}
		seen[key] = true
		r := rowOf(key, s.value())
		r.Del = s.dice.IntN(4) == 0
		out = append(out, r)
	}
	return out
}

func (s *script) deleted() []changed {
	key := s.fresh[0]
	s.fresh = s.fresh[1:]
	return []changed{rowOf(key, 0), rowOf(s.shared(), 0), rowOf(s.shared(), 0)}
}

// work is what the writers do, each in the order given.
type work struct {
	Initial int64      `json:"initial"` // the table begins with the keys below it, n = 0, and v = 0 or initialValue
	Writers [][]change `json:"writers"`
	// Files, if not 0, lays the first rows into so many files of an unpartitioned table, each of some Target bytes, which are
	// the table's target too.
	Files, Target int64 `json:"-"`
}

// initialValue is what a key begins with, of a work in files: values that do not compress to nothing.
func (w work) initialValue(key int64) int64 {
	if w.Files == 0 {
		return 0
	}
	x := uint64(key+1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>29) * 0xbf58476d1ce4e5b9
	return int64(x>>32) % modulus
}

// disjointWork keeps every writer to a partition of its own; the other kind lets them all change the same few keys.
func disjointWork(seed uint64, n int) work { return workOf(seed, n, true, 64) }

func overlappingWork(seed uint64, n int) work { return workOf(seed, n, false, 96) }

func workOf(seed uint64, n int, alone bool, hot int64) work {
	w := work{Initial: 100 * partitions}
	for i := range writers {
		s := &script{writer: i, dice: rand.New(rand.NewPCG(seed, uint64(i))), alone: alone, hot: hot}
		w.Writers = append(w.Writers, s.changes(n))
	}
	return w
}

// all are the changes by their ids.
func (w work) all() map[string]change {
	out := map[string]change{}
	for _, changes := range w.Writers {
		for _, c := range changes {
			out[c.ID] = c
		}
	}
	return out
}
