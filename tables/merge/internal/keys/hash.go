package keys

import (
	"math/bits"

	"github.com/zeebo/xxh3"
)

// Two odd constants of wyhash, for mixing words by multiplication.
const (
	mix1 = 0xa0761d6478bd642f
	mix2 = 0xe7037ed1a0b428db
)

func hashWord(w uint64) uint64 {
	hi, lo := bits.Mul64(w^mix1, mix2)
	h := hi ^ lo
	// A second round: sequential keys must not give sequential blocks.
	hi, lo = bits.Mul64(h^mix2, mix1)
	return hi ^ lo
}

func hashWide(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^mix1, b^mix2)
	h := hi ^ lo ^ a
	hi, lo = bits.Mul64(h^mix2, mix1^b)
	return hi ^ lo
}

func (v *Vector) hash() {
	v.hashes = grow(v.hashes, v.n)
	switch v.shape {
	case shapeWord:
		for i, w := range v.words[:v.n] {
			v.hashes[i] = hashWord(w)
		}
	case shapeWide:
		for i := range v.hashes {
			v.hashes[i] = hashWide(v.words[2*i], v.words[2*i+1])
		}
	default:
		from := v.offsets[0]
		for i := range v.hashes {
			to := v.offsets[i+1]
			v.hashes[i] = xxh3.Hash(v.data[from:to])
			from = to
		}
	}
}

// Filter is a Bloom filter of hashes in blocks of one word: a probe costs one
// cache line. It sits in front of the tables, and stays in memory when they are
// spilled. At 12 bits a key some 2 % of absent keys pass.
type Filter struct {
	blocks []uint64
}

// NewFilter returns a filter with room for n hashes.
func NewFilter(n int) *Filter { return &Filter{blocks: make([]uint64, max(1, n*12/64+1))} }

// NewFilterBytes returns a filter of a fixed size.
func NewFilterBytes(size int64) *Filter { return &Filter{blocks: make([]uint64, max(1, size/8))} }

func blockBits(h uint64) uint64 {
	return 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63)
}

func (f *Filter) block(h uint64) uint64 {
	hi, _ := bits.Mul64(h, uint64(len(f.blocks)))
	return hi
}

// Add puts a hash in.
func (f *Filter) Add(h uint64) { f.blocks[f.block(h)] |= blockBits(h) }

// Has is false only if h was not put in.
func (f *Filter) Has(h uint64) bool {
	b := blockBits(h)
	return f.blocks[f.block(h)]&b == b
}

// Pass appends to selected the indexes of those hashes that may have been put in.
func (f *Filter) Pass(hashes []uint64, selected []uint32) []uint32 {
	selected = grow(selected[:0], len(hashes))
	n := 0
	for i, h := range hashes {
		b := blockBits(h)
		hi, _ := bits.Mul64(h, uint64(len(f.blocks)))
		selected[n] = uint32(i)
		if f.blocks[hi]&b == b {
			n++
		}
	}
	return selected[:n]
}

// Size is the memory held.
func (f *Filter) Size() int64 { return int64(len(f.blocks)) * 8 }
