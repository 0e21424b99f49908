package datafile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// sortEntry is a row with the beginning of its key, which decides nearly all comparisons.
type sortEntry struct {
	prefix uint64
	at     rows.Ref
}

// entryBytes is what sorting takes for each row: its entry, and another that it is moved to.
const entryBytes = 2 * 16

// ordering is rows of some batches in sorted order, equal ones as they came.
type ordering struct {
	entries []sortEntry
	// exact: equal prefixes are equal keys. flagged: prefixes begin with the byte that says null or not; where nothing is null they
	// begin behind it, so that whole numbers are told apart by them alone.
	exact, flagged bool
}

func (s *sorter) order(batches []arrow.RecordBatch) ordering {
	n := int64(0)
	for _, b := range batches {
		n += b.NumRows()
	}
	entries := make([]sortEntry, 0, n)
	if s.byWord(batches) {
		for i, b := range batches {
			entries = s.appendWords(entries, i, b)
		}
		return ordering{entries: byPrefix(entries), exact: true}
	}
	keys := make([]sortKeys, len(batches))
	out := ordering{exact: true}
	for i, b := range batches {
		keys[i] = s.keys(b)
		out.flagged = out.flagged || keys[i].flagged()
	}
	skip := 1
	if out.flagged {
		skip = 0
	}
	for i, k := range keys {
		for row := range len(k.offsets) - 1 {
			key := k.at(row)[skip:]
			out.exact = out.exact && len(key) <= 8
			entries = append(entries, sortEntry{eight(key), rows.At(i, row)})
		}
	}
	out.entries = byPrefix(entries)
	if !out.exact {
		breakTies(out.entries, func(at rows.Ref) []byte { return keys[at.Chunk()].at(at.Row()) })
	}
	return out
}

// flagged says that not all keys begin with what stands for no null.
func (k sortKeys) flagged() bool {
	for row := range len(k.offsets) - 1 {
		if k.data[k.offsets[row]] != 1 {
			return true
		}
	}
	return false
}

// byWord says that the rows' keys are a word each, and none is null.
func (s *sorter) byWord(batches []arrow.RecordBatch) bool {
	if s.curve != nil {
		return true
	}
	if len(s.fields) != 1 {
		return false
	}
	for _, b := range batches {
		c := s.fields[0].over(b)
		if c.word == nil {
			return false
		}
		for row := range int(b.NumRows()) {
			if c.null(row) {
				return false
			}
		}
	}
	return true
}

func (s *sorter) appendWords(entries []sortEntry, number int, b arrow.RecordBatch) []sortEntry {
	if s.curve != nil {
		for row, place := range s.curve.places(b) {
			entries = append(entries, sortEntry{place, rows.At(number, row)})
		}
		return entries
	}
	turn := uint64(0)
	if s.desc[0] {
		turn = ^turn
	}
	word := s.fields[0].over(b).word
	for row := range int(b.NumRows()) {
		entries = append(entries, sortEntry{word(row) ^ turn, rows.At(number, row)})
	}
	return entries
}

// byPrefix sorts entries by prefix, equal ones as they came: by radix, a byte at a time from the last, without those that are
// the same in all.
func byPrefix(entries []sortEntry) []sortEntry {
	var differ uint64
	sorted := true
	for i, e := range entries {
		differ |= e.prefix ^ entries[0].prefix
		sorted = sorted && (i == 0 || entries[i-1].prefix <= e.prefix)
	}
	if sorted {
		return entries
	}
	other := make([]sortEntry, len(entries))
	for shift := 0; shift < 64; shift += 8 {
		if differ>>shift&0xff == 0 {
			continue
		}
		var ends [256]int
		for _, e := range entries {
			ends[e.prefix>>shift&0xff]++
		}
		at := 0
		for i, n := range ends {
			ends[i], at = at, at+n
		}
		for _, e := range entries {
			to := &ends[e.prefix>>shift&0xff]
			other[*to] = e
			*to++
		}
		entries, other = other, entries
	}
	return entries
}

// breakTies sorts entries of one prefix by their whole keys.
func breakTies(entries []sortEntry, key func(rows.Ref) []byte) {
	for from := 0; from < len(entries); {
		to := from + 1
		for to < len(entries) && entries[to].prefix == entries[from].prefix {
			to++
		}
		if to-from > 1 {
			slices.SortStableFunc(entries[from:to], func(a, b sortEntry) int { return bytes.Compare(key(a.at), key(b.at)) })
		}
		from = to
	}
}

// unmoved says that entries are in the order of their references: that no row has to be moved.
func unmoved(entries []sortEntry) bool {
	return slices.IsSortedFunc(entries, func(a, b sortEntry) int { return cmp.Compare(a.at, b.at) })
}

// eight are the first eight bytes as a number.
func eight(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var first [8]byte
	copy(first[:], b)
	return binary.BigEndian.Uint64(first[:])
}
