package datafile

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/zeebo/xxh3"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// maxDictionary is how many values a dictionary of ours may have: beyond that finding them costs what arrow-go's takes.
const maxDictionary = 1 << 12

// withDictionaries turns the columns of texts that get a dictionary into arrays of its indices: arrow-go, which looks up each
// value in a general table, takes several times as long. It returns the columns and the schema to encode, and the paths of
// the columns concerned.
//
// arrow-go notes the bounds of such an array once, for the page that comes next; so it is done only where the indices fit into
// one page, and the page index stays right.
func (l *layout) withDictionaries(columns [][]arrow.Array, total int64) ([][]arrow.Array, *arrow.Schema, []string) {
	if l.storeSchema || total == 0 {
		return columns, l.arrow, nil
	}
	out, fields := append([][]arrow.Array{}, columns...), l.arrow.Fields()
	var paths []string
	for i, f := range fields {
		indices, given := columns[i][0].(*array.Dictionary)
		if !given {
			// Packed texts are those that get none. Asked again, the answer may be another: they are hashed by other bytes.
			if isPacked(columns[i][0]) || f.Type.ID() != arrow.STRING && f.Type.ID() != arrow.BINARY || !l.wantsDictionary(f.Name, columns[i]) {
				continue
			}
			if indices = indexed(columns[i], int(total), l.maxIndexed(total)); indices == nil {
				continue
			}
		}
		out[i], fields[i].Type = []arrow.Array{indices}, indices.DataType()
		paths = append(paths, f.Name)
	}
	if paths == nil {
		return columns, l.arrow, nil
	}
	meta := l.arrow.Metadata()
	return out, arrow.NewSchema(fields, &meta), paths
}

// wantsDictionary says whether a column's texts are to have a dictionary: by the user's choice, or as they repeat.
func (l *layout) wantsDictionary(name string, chunks []arrow.Array) bool {
	if wanted, chosen := l.dictionary[name]; chosen {
		return wanted
	}
	if l.dictionaryDefault != nil {
		return *l.dictionaryDefault
	}
	return repeats(chunks)
}

// maxIndexed is how many values a dictionary may have for the indices of so many rows to fit into a page.
func (l *layout) maxIndexed(rows int64) int { return 1 << min(l.pageBytes*8/2/rows, 12) }

// indexed is texts as indices into a dictionary of them, in order of first appearance; nil if there are more than most different
// ones.
func indexed(chunks []arrow.Array, total, most int) *array.Dictionary {
	d := newTextDictionary(chunks[0].DataType())
	indices := memory.NewResizableBuffer(allocator)
	defer indices.Release()
	indices.Resize(4 * total)
	out := arrow.Int32Traits.CastFromBytes(indices.Bytes())
	nulls, at := 0, 0
	var valid *memory.Buffer
	for _, c := range chunks {
		if c.NullN() > 0 && valid == nil {
			valid = memory.NewResizableBuffer(allocator)
			defer valid.Release()
			valid.Resize(int(bitutil.BytesForBits(int64(total))))
			bitutil.SetBitsTo(valid.Bytes(), 0, int64(total), true)
		}
		offsets, data := rows.TextOf(c)
		for i := range c.Len() {
			if c.NullN() > 0 && c.IsNull(i) {
				bitutil.ClearBit(valid.Bytes(), at)
				out[at] = 0
				nulls, at = nulls+1, at+1
				continue
			}
			index := d.index(data[offsets[i]:offsets[i+1]])
			if int(index) >= most {
				return nil
			}
			out[at] = index
			at++
		}
	}
	if len(d.ends) == 1 { // only nulls
		return nil
	}
	return d.over(indices, valid, total, nulls)
}

// textDictionary numbers different texts.
type textDictionary struct {
	kind  arrow.DataType
	slots []textSlot // open addressing, at most half full; they grow
	ends  []int32
	data  []byte
}

// textSlot holds texts of up to eight bytes by value: word and length say all. Of longer ones, word is a hash.
type textSlot struct {
	word  uint64
	size  int32
	index int32 // plus one
}

func newTextDictionary(kind arrow.DataType) *textDictionary {
	return &textDictionary{kind: kind, slots: make([]textSlot, 64), ends: []int32{0}}
}

// index is the number of a text, which is new if it was not there yet. There is room for maxDictionary.
func (d *textDictionary) index(text []byte) int32 {
	word, size := shortWord(text), int32(len(text))
	if size > 8 {
		word = xxh3.Hash(text)
	}
	hi, lo := spreadWord(word, size)
	mask := uint64(len(d.slots) - 1)
	for at := (hi ^ lo) & mask; ; at = (at + 1) & mask {
		s := &d.slots[at]
		if s.index == 0 {
			if len(d.ends) > maxDictionary {
				return maxDictionary
			}
			d.add(text)
			*s = textSlot{word, size, int32(len(d.ends) - 1)}
			if 2*len(d.ends) > len(d.slots) {
				d.grow()
			}
			return int32(len(d.ends) - 2)
		}
		if s.word == word && s.size == size && (size <= 8 || string(d.data[d.ends[s.index-1]:d.ends[s.index]]) == string(text)) {
			return s.index - 1
		}
	}
}

// spreadWord is bits by which a text's slot is looked for.
func spreadWord(word uint64, size int32) (hi, lo uint64) {
	return bits.Mul64(word^uint64(size)<<56, 0x9e3779b97f4a7c15)
}

// add appends a text, without making it known to index.
func (d *textDictionary) add(text []byte) {
	d.data = append(d.data, text...)
	d.ends = append(d.ends, int32(len(d.data)))
}

func (d *textDictionary) grow() {
	slots := make([]textSlot, 2*len(d.slots))
	mask := uint64(len(slots) - 1)
	for _, s := range d.slots {
		if s.index == 0 {
			continue
		}
		hi, lo := spreadWord(s.word, s.size)
		at := (hi ^ lo) & mask
		for slots[at].index != 0 {
			at = (at + 1) & mask
		}
		slots[at] = s
	}
	d.slots = slots
}

// bytes is what the dictionary takes.
func (d *textDictionary) bytes() int64 {
	return int64(16*len(d.slots) + 4*cap(d.ends) + cap(d.data))
}

// over is an array of indices into the dictionary.
func (d *textDictionary) over(indices, valid *memory.Buffer, n, nulls int) *array.Dictionary {
	values := d.array()
	defer values.Release()
	t := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: d.kind}
	made := array.NewDataWithDictionary(t, n, []*memory.Buffer{valid, indices}, nulls, 0, values.Data().(*array.Data))
	defer made.Release()
	return array.NewDictionaryData(made)
}

// shortWord is different for different texts of one length up to eight.
func shortWord(b []byte) uint64 {
	n := len(b)
	switch {
	case n >= 4 && n <= 8:
		return uint64(binary.LittleEndian.Uint32(b))<<32 | uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0 && n < 4:
		return uint64(b[0])<<16 | uint64(b[n>>1])<<8 | uint64(b[n-1])
	}
	return 0
}

func (d *textDictionary) array() arrow.Array {
	starts := memory.NewResizableBuffer(allocator)
	defer starts.Release()
	starts.Resize(4 * len(d.ends))
	copy(arrow.Int32Traits.CastFromBytes(starts.Bytes()), d.ends)
	made := array.NewData(d.kind, len(d.ends)-1, []*memory.Buffer{nil, starts, memory.NewBufferBytes(d.data)}, nil, 0, 0)
	defer made.Release()
	return array.MakeFromData(made)
}
