package manifest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/apache/iceberg-go"
	"github.com/twmb/avro"
	"github.com/twmb/avro/atype"
)

// decoder is the library's reader of a manifest, to which the entries that are wanted are handed one by one, each as a block of a
// manifest with the same header.
type decoder struct {
	mu     sync.Mutex
	reader *iceberg.ManifestReader
	fed    feed
	begin  func() (*iceberg.ManifestReader, error)
	sync   []byte
	// rowID is the branch of the union that a row id is written as; appended says that the manifest has no such field, and that one
	// was given to its header, behind all others of a file.
	rowID    int
	appended bool
}

// feed is what the library has not yet read. It reads no further than to the end of what it needs.
type feed struct{ left []byte }

func (f *feed) Read(p []byte) (int, error) {
	if len(f.left) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, f.left)
	f.left = f.left[n:]
	return n, nil
}

func (r *reading) newDecoder() (*decoder, error) {
	d := &decoder{sync: slices.Clone(r.file.sync), rowID: -1}
	text := ""
	if r.inherit {
		switch branch, of := r.layout.noted[firstRowID].nullable(); {
		case r.layout.noted[firstRowID] == nil:
			d.appended, d.rowID = true, 1
			var err error
			if text, err = withRowID(string(r.file.property("avro.schema"))); err != nil {
				return nil, err
			}
		case of != nil && of.kind == atype.Long && branch < 0: // every file has its own
		case of == nil || of.kind != atype.Long:
			return nil, errors.New("first_row_id is no long that may be null")
		default:
			d.rowID = branch
		}
	}
	header := r.file.header("", text, r.file.sync)
	d.begin = func() (*iceberg.ManifestReader, error) {
		d.fed.left = header
		if r.opts.Bare {
			return iceberg.NewManifestReaderWithProjection(r.of, &d.fed, iceberg.ManifestEntryProjection{})
		}
		return iceberg.NewManifestReader(r.of, &d.fed)
	}
	var err error
	d.reader, err = protected(d.begin)
	return d, err
}

// protected makes an error of a panic, which the library may end in on a malformed manifest.
func protected[T any](do func() (T, error)) (out T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed: %v", r)
		}
	}()
	return do()
}

// withRowID gives files a row id, in a manifest that is older than these are.
func withRowID(schema string) (string, error) {
	parsed, err := avro.Parse(schema)
	if err != nil {
		return "", err
	}
	root := parsed.Root()
	for i := range root.Fields {
		if file := &root.Fields[i].Type; root.Fields[i].Name == "data_file" && file.Type == atype.Record {
			file.Fields = append(file.Fields, avro.SchemaField{Name: "first_row_id", HasDefault: true, Props: map[string]any{"field-id": 142},
				Type: avro.SchemaNode{Type: atype.Union, Branches: []avro.SchemaNode{{Type: atype.Null}, {Type: atype.Long}}}})
		}
	}
	out, err := root.Schema()
	if err != nil {
		return "", fmt.Errorf("schema with row ids: %w", err)
	}
	return out.String(), nil
}

// Entry decodes one. It may be called by several goroutines at once.
func (e *Entries) Entry(i int) (iceberg.ManifestEntry, error) {
	d := e.decoder
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reader == nil {
		var err error
		if d.reader, err = d.begin(); err != nil {
			return nil, err
		}
	}
	d.fed.left = d.block(e, &e.records[i])
	out, err := protected(d.reader.ReadEntry)
	if err != nil {
		d.reader = nil // it may stand anywhere
		return nil, fmt.Errorf("entry of %s: %w", e.Path(i), err)
	}
	return out, nil
}

// Idle lets go of what decoding holds, some ten kilobytes. It is made again when an entry is asked for.
func (e *Entries) Idle() {
	e.decoder.mu.Lock()
	defer e.decoder.mu.Unlock()
	e.decoder.reader = nil
}

// block is an entry as a block, with the row id that it has or inherits.
func (d *decoder) block(e *Entries, r *record) []byte {
	body := e.data[r.start:r.end]
	if d.rowID >= 0 {
		body = e.numbered(r, d.rowID, d.appended)
	}
	out := make([]byte, 0, len(body)+len(d.sync)+12)
	out = binary.AppendVarint(out, 1)
	return append(appendBytes(out, body), d.sync...)
}

// numbered is an entry with its row id written out.
func (e *Entries) numbered(r *record, branch int, appended bool) []byte {
	from, to := int(r.at[firstRowID]), 0
	if appended {
		from, to = int(r.at[dataFileEnd]), int(r.at[dataFileEnd])
	} else {
		in, none := cursor{e.data, from}, record{}
		_ = e.layout.noted[firstRowID].skip(&in, &none) // it was passed over before
		to = in.at
	}
	out := append(make([]byte, 0, r.end-r.start+16), e.data[r.start:from]...)
	if r.firstRowID < 0 { // a file that is deleted has none
		out = append(out, e.data[from:to]...)
		if appended {
			out = binary.AppendVarint(out, 0)
		}
	} else {
		out = binary.AppendVarint(binary.AppendVarint(out, int64(branch)), r.firstRowID)
	}
	return append(out, e.data[to:r.end]...)
}
