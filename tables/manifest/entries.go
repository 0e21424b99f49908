package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/apache/iceberg-go"
)

// Options say how a manifest is read.
type Options struct {
	// Bare leaves statistics out of the files that are decoded, as who reads a table needs none. Such files cannot be written.
	Bare bool
	// Dead keeps entries of files that the manifest says are deleted; they are left out otherwise.
	Dead bool
}

// Entries are those of a manifest, or of some of its blocks, in their order. What is not decoded does not change; see Entry.
type Entries struct {
	*reading
	data    []byte
	records []record
}

// reading is a manifest that is being read.
type reading struct {
	of      iceberg.ManifestFile
	opts    Options
	file    *container
	layout  *layout
	inherit bool  // row ids
	next    int64 // row id of the next file without one
	decoder *decoder
}

// Read reads a manifest that a manifest list describes.
func Read(of iceberg.ManifestFile, raw []byte, opts Options) (*Entries, error) {
	r, err := begin(of, raw, opts)
	if err != nil {
		return nil, err
	}
	out, err := r.some(math.MaxInt)
	if errors.Is(err, io.EOF) {
		out, err = &Entries{reading: r}, nil
	}
	r.file = nil // which holds all of raw
	return out, err
}

// Pieces reads a manifest some blocks at a time, so many entries at the least but for the last time, and calls do with each piece
// that has entries.
func Pieces(ctx context.Context, of iceberg.ManifestFile, raw []byte, opts Options, least int, do func(*Entries) error) error {
	r, err := begin(of, raw, opts)
	if err != nil {
		return err
	}
	for {
		some, err := r.some(least)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && len(some.records) > 0 { // what do says is its own: a store's io.EOF is not the end of the manifest
			err = errors.Join(ctx.Err(), do(some))
		}
		if err != nil {
			return err
		}
	}
}

func begin(of iceberg.ManifestFile, raw []byte, opts Options) (*reading, error) {
	file, err := openContainer(raw)
	if err != nil {
		return nil, err
	}
	r := &reading{of: of, opts: opts, file: file}
	if r.layout, err = layoutFor(string(file.property("avro.schema"))); err != nil {
		return nil, err
	}
	if id := of.FirstRowID(); id != nil && of.ManifestContent() == iceberg.ManifestContentData {
		r.inherit, r.next = true, *id
	}
	r.decoder, err = r.newDecoder()
	return r, err
}

// some reads blocks until there are so many entries; io.EOF if there is no block left.
func (r *reading) some(least int) (*Entries, error) {
	out := &Entries{reading: r}
	if listed := int(r.of.AddedDataFiles()) + int(r.of.ExistingDataFiles()); least == math.MaxInt && listed > 0 {
		out.records = make([]record, 0, min(listed, len(r.file.blocks))) // what the list says is not taken for more than there may be
	}
	for blocks := 0; len(out.records) < least; blocks++ {
		start := len(out.data)
		data, n, err := r.file.block(out.data)
		if errors.Is(err, io.EOF) && blocks > 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		out.data = data
		if len(out.data) >= math.MaxUint32 {
			return nil, fmt.Errorf("%d bytes of entries", len(out.data))
		}
		if err := out.index(start, n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// index notes where the entries of a block stand.
func (e *Entries) index(start int, n int64) error {
	in := cursor{e.data, start}
	for range n {
		r := record{start: uint32(in.at), firstRowID: -1}
		for f := range r.at {
			r.at[f] = absent
		}
		if err := e.layout.root.skip(&in, &r); err != nil {
			return fmt.Errorf("entry %d: %w", len(e.records), err)
		}
		r.end = uint32(in.at)
		if err := e.check(&r); err != nil {
			return err
		}
		if e.opts.Dead || r.status != int8(iceberg.EntryStatusDELETED) {
			e.records = append(e.records, r)
		}
	}
	if in.at != len(e.data) {
		return fmt.Errorf("%d bytes behind a block's last entry", len(e.data)-in.at)
	}
	return nil
}

// check reads what every entry has to have: a status, a content that goes with the manifest's, and a row id, which one without
// inherits from the files before it (specification, First Row ID Inheritance).
func (e *Entries) check(r *record) error {
	state, known := e.long(r, status)
	if !known || state < 0 || state > int64(iceberg.EntryStatusDELETED) {
		return fmt.Errorf("manifest entry has invalid status: %d", state)
	}
	r.status, r.count = int8(state), -1
	kind, _ := e.long(r, content) // none is 0, data
	if isData := e.of.ManifestContent() == iceberg.ManifestContentData; kind < 0 || kind > 2 || isData != (kind == int64(iceberg.EntryContentData)) {
		return fmt.Errorf("a manifest of %s lists a file of content %d, %s", e.of.ManifestContent(), kind, e.path(r))
	}
	if count, known := e.long(r, recordCount); known {
		r.count = count
	}
	if id, known := e.long(r, firstRowID); known {
		r.firstRowID = id
	} else if e.inherit && r.status != int8(iceberg.EntryStatusDELETED) {
		if r.count < 0 || r.count > math.MaxInt64-e.next {
			return fmt.Errorf("%s: %d rows from row id %d on", e.path(r), r.count, e.next)
		}
		r.firstRowID = e.next
		e.next += r.count
	}
	return nil
}

// long reads a number of an entry, which may be null or of another type: then it is not known.
func (e *Entries) long(r *record, f field) (int64, bool) {
	branch, of := e.layout.noted[f].nullable()
	if r.at[f] == absent || of == nil || !of.number() {
		return 0, false
	}
	in := cursor{e.data, int(r.at[f])}
	if branch >= 0 {
		if at, _ := in.long(); at != int64(branch) {
			return 0, false
		}
	}
	n, err := in.long()
	return n, err == nil
}

// path is a file's, as part of the manifest's bytes; nil if it is null.
func (e *Entries) path(r *record) []byte {
	in := cursor{e.data, int(r.at[filePath])}
	if branch, _ := e.layout.noted[filePath].nullable(); branch >= 0 {
		if at, _ := in.long(); at != int64(branch) {
			return nil
		}
	}
	out, _ := in.bytes()
	return out
}

// Len is the number of entries.
func (e *Entries) Len() int { return len(e.records) }

// Size is how many bytes they take.
func (e *Entries) Size() int64 { return int64(cap(e.data)) + int64(cap(e.records))*recordSize }

// Path is the path of an entry's file. It is not to be changed.
func (e *Entries) Path(i int) []byte { return e.path(&e.records[i]) }

// Rows is how many rows an entry's file has, -1 where that is not known.
func (e *Entries) Rows(i int) int64 { return e.records[i].count }

// Partition is what an entry says of its partition, as bytes: two files of a manifest with the same ones lie in the same partition.
func (e *Entries) Partition(i int) []byte {
	r := &e.records[i]
	if r.at[partition] == absent {
		return nil
	}
	in, none := cursor{e.data, int(r.at[partition])}, record{}
	if err := e.layout.noted[partition].skip(&in, &none); err != nil {
		return nil // it was passed over before
	}
	return e.data[r.at[partition]:in.at]
}
