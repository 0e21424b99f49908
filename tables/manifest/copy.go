package manifest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/apache/iceberg-go"
	"github.com/klauspost/compress/flate"
	"github.com/twmb/avro/atype"
)

// ErrOtherFormat says that the entries of a manifest cannot be copied: it is of another format version than the one to write, or its
// writer has laid out differently what changes in them.
var ErrOtherFormat = errors.New("entries are laid out differently")

// Rest is what is left of a manifest.
type Rest struct {
	Bytes       int64 // that were written
	Files, Rows int64
	MinSequence int64                   // the least data sequence number
	Partitions  []iceberg.ManifestEntry // one entry of each partition
}

// blockBytes is how many bytes of entries a block has, about.
const blockBytes = 64 << 10

// Without writes a manifest again with the entries of live files but for those of which gone says otherwise. They are as in the one
// that they are of, Avro schema and all, but for their status, which is existing, and for the snapshot, the sequence numbers and the
// row id that they inherited, which are written out. If nothing is left, nothing is written. Nothing is written with ErrOtherFormat.
func Without(ctx context.Context, out io.Writer, of iceberg.ManifestFile, raw []byte, version int, gone func(e *Entries, i int) (bool, error)) (*Rest, error) {
	r, err := begin(of, raw, Options{})
	if err != nil {
		return nil, err
	}
	if !r.copyable(version) {
		return nil, ErrOtherFormat
	}
	w := &copying{reading: r, out: out, rest: &Rest{MinSequence: -1}, partitions: map[string]bool{}}
	for {
		some, err := r.some(1)
		if errors.Is(err, io.EOF) {
			return w.rest, w.flush()
		}
		if err == nil {
			err = errors.Join(ctx.Err(), w.entries(some, gone))
		}
		if err != nil {
			return nil, err
		}
	}
}

// copyable says whether what changes in an entry can be put in its place.
func (r *reading) copyable(version int) bool {
	if version < 2 || string(r.file.property("format-version")) != strconv.Itoa(version) ||
		string(r.file.property("partition-spec-id")) != strconv.Itoa(int(r.of.PartitionSpecID())) {
		return false
	}
	if !r.layout.noted[status].number() || !r.layout.noted[recordCount].number() {
		return false
	}
	long := []field{snapshotID, sequenceNumber, fileSequenceNumber}
	if r.inherit {
		long = append(long, firstRowID)
	}
	for _, f := range long {
		if _, of := r.layout.noted[f].nullable(); of == nil || of.kind != atype.Long {
			return false
		}
	}
	return true
}

// copying is a manifest that is written.
type copying struct {
	*reading
	out        io.Writer
	rest       *Rest
	partitions map[string]bool
	block      []byte
	inBlock    int64
	begun      bool
	sync       [16]byte
	packed     bytes.Buffer
	packer     *flate.Writer
}

func (w *copying) entries(e *Entries, gone func(*Entries, int) (bool, error)) error {
	for i := range e.records {
		drop, err := gone(e, i)
		if err == nil && !drop {
			err = w.existing(e, i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// existing writes an entry.
func (w *copying) existing(e *Entries, i int) error {
	r := &e.records[i]
	snapshot, known := e.long(r, snapshotID)
	if !known {
		snapshot = e.of.SnapshotID()
	}
	sequence, known := e.inherited(r, sequenceNumber)
	fileSequence, hasFile := e.inherited(r, fileSequenceNumber)
	if !known || sequence < 0 {
		return fmt.Errorf("%s has no sequence number", e.Path(i))
	}
	edits := []edit{{status, int64(iceberg.EntryStatusEXISTING)}, {snapshotID, snapshot}, {sequenceNumber, sequence}}
	if hasFile {
		edits = append(edits, edit{fileSequenceNumber, fileSequence})
	}
	if e.inherit {
		edits = append(edits, edit{firstRowID, r.firstRowID})
	}
	w.block = e.edited(w.block, r, edits)
	w.inBlock++
	w.rest.Files, w.rest.Rows = w.rest.Files+1, w.rest.Rows+r.count
	if w.rest.MinSequence < 0 || sequence < w.rest.MinSequence {
		w.rest.MinSequence = sequence
	}
	if key := e.Partition(i); !w.partitions[string(key)] {
		w.partitions[string(key)] = true
		entry, err := e.Entry(i)
		if err != nil {
			return err
		}
		w.rest.Partitions = append(w.rest.Partitions, entry)
	}
	if len(w.block) < blockBytes {
		return nil
	}
	return w.flush()
}

// inherited is a sequence number of an entry, which one without has from its manifest: a file that was added, or one of format 1
// (specification, Sequence Number Inheritance).
func (e *Entries) inherited(r *record, f field) (int64, bool) {
	if n, known := e.long(r, f); known {
		return n, true
	}
	of := e.of.SequenceNum()
	return of, of == 0 || of != -1 && r.status == int8(iceberg.EntryStatusADDED)
}

// edit is another value for a field that is a number.
type edit struct {
	field field
	value int64
}

// edited appends an entry with other values.
func (e *Entries) edited(out []byte, r *record, edits []edit) []byte {
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Compare(r.at[a.field], r.at[b.field]) })
	from := int(r.start)
	for _, edit := range edits {
		in, none := cursor{e.data, int(r.at[edit.field])}, record{}
		out = append(out, e.data[from:in.at]...)
		of := e.layout.noted[edit.field]
		_ = of.skip(&in, &none) // it was passed over before
		if branch, _ := of.nullable(); branch >= 0 {
			out = binary.AppendVarint(out, int64(branch))
		}
		out, from = binary.AppendVarint(out, edit.value), in.at
	}
	return append(out, e.data[from:r.end]...)
}

// flush writes the block at hand, and before the first one the header.
func (w *copying) flush() error {
	if w.inBlock == 0 {
		return nil
	}
	if !w.begun {
		w.begun = true
		_, _ = rand.Read(w.sync[:]) // which never fails
		if err := w.write(w.file.header("deflate", "", w.sync[:])); err != nil {
			return err
		}
	}
	w.packed.Reset()
	if w.packer == nil {
		var err error
		if w.packer, err = flate.NewWriter(&w.packed, flate.DefaultCompression); err != nil {
			return err
		}
	} else {
		w.packer.Reset(&w.packed)
	}
	if _, err := w.packer.Write(w.block); err != nil {
		return err
	}
	if err := w.packer.Close(); err != nil {
		return err
	}
	out := appendBytes(binary.AppendVarint(nil, w.inBlock), w.packed.Bytes())
	w.block, w.inBlock = w.block[:0], 0
	return w.write(append(out, w.sync[:]...))
}

func (w *copying) write(p []byte) error {
	n, err := w.out.Write(p)
	w.rest.Bytes += int64(n)
	return err
}
