package keys

import (
	"bytes"
	"errors"
	"math"
)

// ErrFull says that a table cannot hold more keys: it is time for another shard.
var ErrFull = errors.New("more keys than one hash table holds")

// Pair says that probe row I has the key of table row Row.
type Pair struct {
	I   uint32
	Row uint32
}

// Table finds the rows that have a given key. Rows are numbered in the order in
// which they were added, those whose key is not valid included. After Build it
// does not change, and any number of goroutines may probe it.
type Table struct {
	shape  shape
	rows   uint32
	filter *Filter

	// slots is an open-addressing table with linear probing, at most half full.
	// A slot is the upper half of the key's hash and, in the lower half, the row + 1.
	slots []uint64
	mask  uint64

	words []uint64
	// shapeBytes: row i's key is data[ends[i-1]:ends[i]].
	ends []uint32
	data []byte

	valid  []uint64 // a bit a row; nil when all are valid
	hashes []uint64 // until Build
	// next links rows of equal keys, by row + 1; nil if there are none.
	next []uint32
	// distinct is the number of different keys.
	distinct int
}

// NewTable returns an empty table for keys of l.
func NewTable(l *Layout) *Table { return &Table{shape: l.shape} }

// Rows is the number of rows added.
func (t *Table) Rows() int { return int(t.rows) }

// Distinct is the number of different valid keys, known after Build.
func (t *Table) Distinct() int { return t.distinct }

// Size is about the memory that the table holds, or will after Build.
func (t *Table) Size() int64 {
	n := int64(t.rows)
	return int64(len(t.words))*8 + int64(len(t.data)) + int64(len(t.ends))*4 + 8*n + 8*slotsFor(n) + 2*n
}

func slotsFor(n int64) int64 {
	s := int64(16)
	for s < 2*n {
		s *= 2
	}
	return s
}

// Add appends the keys of v.
func (t *Table) Add(v *Vector) error {
	if uint64(t.rows)+uint64(v.n) >= math.MaxUint32 {
		return ErrFull
	}
	if v.n == 0 {
		return nil
	}
	switch t.shape {
	case shapeWord:
		t.words = append(t.words, v.words[:v.n]...)
	case shapeWide:
		t.words = append(t.words, v.words[:2*v.n]...)
	default:
		from, to := v.offsets[0], v.offsets[v.n]
		if uint64(len(t.data))+uint64(to-from) >= math.MaxUint32 {
			return ErrFull
		}
		shift := uint32(len(t.data)) - uint32(from)
		for _, end := range v.offsets[1 : v.n+1] {
			t.ends = append(t.ends, uint32(end)+shift)
		}
		t.data = append(t.data, v.data[from:to]...)
	}
	t.addValidity(v)
	t.hashes = append(t.hashes, v.hashes...)
	t.rows += uint32(v.n)
	return nil
}

func (t *Table) addValidity(v *Vector) {
	if v.valid == nil && t.valid == nil {
		return
	}
	for len(t.valid)*64 < int(t.rows)+v.n {
		t.valid = append(t.valid, math.MaxUint64)
	}
	for i := range v.n {
		r := t.rows + uint32(i)
		if t.valid[r/64] |= 1 << (r % 64); !v.Valid(i) {
			t.valid[r/64] &^= 1 << (r % 64)
		}
	}
}

// Valid tells whether row r's key can match.
func (t *Table) Valid(r uint32) bool {
	return int(r/64) >= len(t.valid) || t.valid[r/64]&(1<<(r%64)) != 0
}

// Build makes the table ready for probing. A filter of all keys is made too,
// unless the caller has one.
func (t *Table) Build(filter *Filter) {
	own := filter == nil
	if own {
		filter = NewFilter(int(t.rows))
	}
	t.filter = filter
	t.slots = make([]uint64, slotsFor(int64(t.rows)))
	t.mask = uint64(len(t.slots) - 1)
	for r, h := range t.hashes {
		if !t.Valid(uint32(r)) {
			continue
		}
		if own {
			filter.Add(h)
		}
		t.insert(uint32(r), h)
	}
	t.hashes = nil
}

func (t *Table) insert(r uint32, h uint64) {
	tag := h &^ math.MaxUint32
	for at := h & t.mask; ; at = (at + 1) & t.mask {
		s := t.slots[at]
		if s == 0 {
			t.slots[at] = tag | uint64(r+1)
			t.distinct++
			return
		}
		if s&^math.MaxUint32 == tag && t.sameRows(uint32(s)-1, r) {
			if t.next == nil {
				t.next = make([]uint32, t.rows)
			}
			// The first row stays in the slot; the others follow it, latest first.
			first := uint32(s) - 1
			t.next[r] = t.next[first]
			t.next[first] = r + 1
			return
		}
	}
}

func (t *Table) bytesOf(r uint32) []byte {
	from := uint32(0)
	if r > 0 {
		from = t.ends[r-1]
	}
	return t.data[from:t.ends[r]]
}

func (t *Table) sameRows(a, b uint32) bool {
	switch t.shape {
	case shapeWord:
		return t.words[a] == t.words[b]
	case shapeWide:
		return t.words[2*a] == t.words[2*b] && t.words[2*a+1] == t.words[2*b+1]
	}
	return bytes.Equal(t.bytesOf(a), t.bytesOf(b))
}

// Prober holds the working memory of one goroutine's probes.
type Prober struct {
	selected []uint32
	pairs    []Pair
}

// Probe finds the rows of each of v's keys, in the order of v. The result is
// valid until the next call.
func (t *Table) Probe(v *Vector, p *Prober) []Pair {
	p.pairs = p.pairs[:0]
	if v.n == 0 || t.rows == 0 {
		return p.pairs
	}
	p.selected = t.filter.Pass(v.hashes, p.selected)
	switch t.shape {
	case shapeWord:
		t.probeWords(v, p)
	case shapeWide:
		t.probeWide(v, p)
	default:
		t.probeBytes(v, p)
	}
	return p.pairs
}

func (t *Table) probeWords(v *Vector, p *Prober) {
	for _, i := range p.selected {
		h, key := v.hashes[i], v.words[i]
		for at := h & t.mask; t.slots[at] != 0; at = (at + 1) & t.mask {
			s := t.slots[at]
			if r := uint32(s) - 1; (s^h)>>32 == 0 && t.words[r] == key {
				t.emit(v, i, r, p)
				break
			}
		}
	}
}

func (t *Table) probeWide(v *Vector, p *Prober) {
	for _, i := range p.selected {
		h, lo, hi := v.hashes[i], v.words[2*i], v.words[2*i+1]
		for at := h & t.mask; t.slots[at] != 0; at = (at + 1) & t.mask {
			s := t.slots[at]
			if r := uint32(s) - 1; (s^h)>>32 == 0 && t.words[2*r] == lo && t.words[2*r+1] == hi {
				t.emit(v, i, r, p)
				break
			}
		}
	}
}

func (t *Table) probeBytes(v *Vector, p *Prober) {
	for _, i := range p.selected {
		h := v.hashes[i]
		for at := h & t.mask; t.slots[at] != 0; at = (at + 1) & t.mask {
			s := t.slots[at]
			if r := uint32(s) - 1; (s^h)>>32 == 0 && bytes.Equal(t.bytesOf(r), v.data[v.offsets[i]:v.offsets[i+1]]) {
				t.emit(v, i, r, p)
				break
			}
		}
	}
}

func (t *Table) emit(v *Vector, i, r uint32, p *Prober) {
	if v.valid != nil && !v.Valid(int(i)) {
		return
	}
	p.pairs = append(p.pairs, Pair{I: i, Row: r})
	if t.next == nil {
		return
	}
	for n := t.next[r]; n != 0; n = t.next[n-1] {
		p.pairs = append(p.pairs, Pair{I: i, Row: n - 1})
	}
}
