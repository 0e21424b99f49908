package transforms

import (
	"bytes"
	"context"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
)

// candidate is a row that may be the one to keep for its key.
type candidate struct {
	row   int64
	hash  uint64
	key   []byte
	order []byte
}

// entry is the best candidate so far of a key; its bytes lie in the arena, the key first.
type entry struct {
	row      int64
	hash     uint64
	at       int
	keySize  int32
	ordSize  int32
	ordSpace int32 // what is reserved for the order's bytes
}

const entrySize = 40

// winners finds the row to keep of every key. It is a hash table with open addressing over an arena of bytes; when it
// outgrows its limit, its entries are spilled to shards by hash and it starts again. Candidates may come in any order,
// and one that lost may not come again: which of two wins does not depend on when they come.
type winners struct {
	latest  bool
	limit   int64
	tempDir string
	depth   int // of sharding; the table at depth d shares the hash's first 4*d bits
	spilled int64

	slots   []uint64 // 1 + index of an entry and, above it, the low half of its hash; 0 is free
	entries []entry
	arena   []byte
	shards  *shards
}

// full says whether the table has no room for so many more bytes. It counts what is in use and fills half of the limit:
// slices have up to twice the room that they use.
func (w *winners) full(more int) bool {
	used := int64(len(w.slots))*8 + int64(len(w.entries)+1)*entrySize + int64(len(w.arena)+more)
	return used > w.limit/2 && len(w.entries) > 0 && w.depth < maxDepth
}

// offer takes a candidate in; its bytes are copied.
func (w *winners) offer(c candidate) error {
	if 4*(len(w.entries)+1) > 3*len(w.slots) {
		w.grow()
	}
	slot := w.slot(c)
	if k := uint32(w.slots[slot]); k != 0 {
		if w.improve(&w.entries[k-1], c) && w.full(0) {
			return w.spill()
		}
		return nil
	}
	if w.full(len(c.key) + len(c.order)) {
		if err := w.spill(); err != nil {
			return err
		}
		return w.offer(c)
	}
	w.slots[slot] = c.hash<<32 | uint64(len(w.entries)+1)
	w.entries = append(w.entries, entry{
		row: c.row, hash: c.hash, at: len(w.arena),
		keySize: int32(len(c.key)), ordSize: int32(len(c.order)), ordSpace: int32(len(c.order)),
	})
	w.arena = append(append(w.arena, c.key...), c.order...)
	return nil
}

// slot is the place of the candidate's key, or the free one where it belongs.
func (w *winners) slot(c candidate) int {
	mask := len(w.slots) - 1
	for i := int(uint32(c.hash)) & mask; ; i = (i + 1) & mask {
		k := w.slots[i]
		if k == 0 {
			return i
		}
		if k>>32 != c.hash&(1<<32-1) {
			continue
		}
		if e := &w.entries[uint32(k)-1]; e.hash == c.hash && bytes.Equal(w.key(e), c.key) {
			return i
		}
	}
}

func (w *winners) key(e *entry) []byte { return w.arena[e.at : e.at+int(e.keySize)] }

func (w *winners) order(e *entry) []byte {
	at := e.at + int(e.keySize)
	return w.arena[at : at+int(e.ordSize)]
}

func (w *winners) grow() {
	old := w.slots
	w.slots = make([]uint64, max(64, 2*len(old)))
	mask := len(w.slots) - 1
	for _, k := range old {
		if k == 0 {
			continue
		}
		i := int(k>>32) & mask
		for w.slots[i] != 0 {
			i = (i + 1) & mask
		}
		w.slots[i] = k
	}
}

// improve replaces the entry's row by a candidate of the same key that beats it, and says whether that took memory.
func (w *winners) improve(e *entry, c candidate) (grew bool) {
	order := bytes.Compare(c.order, w.order(e))
	if order == 0 {
		order = 1
		if c.row < e.row {
			order = -1
		}
	}
	if order > 0 != w.latest {
		return false
	}
	e.row = c.row
	grew = len(c.order) > int(e.ordSpace)
	if grew { // the arena keeps what the entry leaves until the next spill
		key := w.key(e)
		e.at = len(w.arena)
		w.arena = append(append(w.arena, key...), c.order...)
		e.ordSpace = int32(len(c.order))
	} else {
		copy(w.arena[e.at+int(e.keySize):], c.order)
	}
	e.ordSize = int32(len(c.order))
	return grew
}

// spill writes the entries to their shards and empties the table.
func (w *winners) spill() error {
	if w.shards == nil {
		made, err := newShards(w.tempDir, w.depth, w.limit)
		if err != nil {
			return err
		}
		w.shards = made
	}
	for i := range w.entries {
		e := &w.entries[i]
		if err := w.shards.write(candidate{row: e.row, hash: e.hash, key: w.key(e), order: w.order(e)}); err != nil {
			return err
		}
	}
	clear(w.slots)
	w.entries, w.arena = w.entries[:0], w.arena[:0]
	return nil
}

// finish gives the rows to keep.
func (w *winners) finish(ctx context.Context) (*roaring64.Bitmap, error) {
	kept := roaring64.New()
	if err := w.collect(ctx, kept); err != nil {
		return nil, err
	}
	kept.RunOptimize()
	return kept, nil
}

// collect adds the winners of this table and of its shards, one after the other.
func (w *winners) collect(ctx context.Context, kept *roaring64.Bitmap) error {
	if w.shards == nil {
		for i := range w.entries {
			kept.Add(uint64(w.entries[i].row))
		}
		return nil
	}
	if err := w.spill(); err != nil {
		return err
	}
	w.slots, w.entries, w.arena = nil, nil, nil // the shards' tables take their memory
	if err := w.shards.flush(); err != nil {
		return err
	}
	for i := range shardCount {
		inner := &winners{latest: w.latest, limit: w.limit, tempDir: w.tempDir, depth: w.depth + 1}
		err := w.shards.read(ctx, i, inner.offer)
		if err == nil {
			err = inner.collect(ctx, kept)
		}
		w.spilled += inner.spilled
		inner.close()
		if err != nil {
			return err
		}
	}
	w.spilled += w.shards.bytes
	return nil
}

// close removes what was spilled.
func (w *winners) close() {
	if w.shards != nil {
		w.shards.remove()
		w.shards = nil
	}
}
