package planning

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/varve-lake/varve/tables/cache"
	"github.com/varve-lake/varve/tables/datafile"
)

// manifest is what one manifest says of the files that are live in it. It is shared and does not change, but for what is
// made of it when it is first asked for.
type manifest struct {
	spec    int32
	files   []file
	columns map[int]*column // statistics, by field id

	mu    sync.Mutex
	known map[knownKey]*datafile.Bounds
}

type file struct {
	data      iceberg.DataFile // without statistics, if it is a data file
	partition map[int]any
	sequence  int64 // of its data; -1 where not known
}

// column is a column's statistics in all files of a manifest.
type column struct {
	low, high [][]byte
	nulls     []int64
	allNull   []bool
	noNaN     []bool // it is known that there is none
}

type knownKey struct {
	field     int
	partition bool
	as        string // the type that bounds are read as
}

// manifests reads the snapshot's manifest list.
func (p *planner) manifests(ctx context.Context) ([]iceberg.ManifestFile, error) {
	s := p.opts.Snapshot
	if s.ManifestList == "" { // version 1 may name the manifests themselves
		return s.Manifests(p.fs)
	}
	return cache.Value(ctx, p.opts.Cache, "manifest list "+s.ManifestList, func(context.Context) ([]iceberg.ManifestFile, int64, error) {
		raw, err := p.read(s.ManifestList)
		if err != nil {
			return nil, 0, fmt.Errorf("manifest list %s: %w", s.ManifestList, err)
		}
		list, err := protected(func() ([]iceberg.ManifestFile, error) { return iceberg.ReadManifestList(bytes.NewReader(raw)) })
		if err != nil {
			return nil, 0, fmt.Errorf("manifest list %s: %w", s.ManifestList, err)
		}
		return list, int64(len(list)) * 600, nil
	})
}

// manifest reads one. Sequence numbers and row ids follow from the manifest list, where a change of the table's format may have
// given them anew.
func (p *planner) manifest(ctx context.Context, m iceberg.ManifestFile) (*manifest, error) {
	first := "-"
	if id := m.FirstRowID(); id != nil {
		first = strconv.FormatInt(*id, 10)
	}
	key := fmt.Sprintf("manifest %s %d %s", m.FilePath(), m.SequenceNum(), first)
	return cache.Value(ctx, p.opts.Cache, key, func(context.Context) (*manifest, int64, error) {
		raw, err := p.read(m.FilePath())
		if err != nil {
			return nil, 0, fmt.Errorf("manifest %s: %w", m.FilePath(), err)
		}
		out, err := protected(func() (*manifest, error) { return decode(m, raw) })
		if err != nil {
			return nil, 0, fmt.Errorf("manifest %s: %w", m.FilePath(), err)
		}
		return out, out.size(), nil
	})
}

// protected turns a panic over a hostile file into an error.
func protected[T any](f func() (T, error)) (out T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed file: %v", r)
		}
	}()
	return f()
}

// read reads a whole metadata file; those that lie elsewhere are kept in the cache's folder.
func (p *planner) read(uri string) ([]byte, error) {
	read := func() ([]byte, error) {
		if whole, ok := p.fs.(iceio.ReadFileIO); ok {
			return whole.ReadFile(uri)
		}
		f, err := p.fs.Open(uri)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(f)
	}
	raw, err := []byte(nil), error(nil)
	if datafile.Remote(uri) {
		raw, err = p.opts.Cache.Bytes(cache.Key{File: uri}, read)
	} else {
		raw, err = read()
	}
	p.reads.Add(1)
	p.bytes.Add(int64(len(raw)))
	return raw, err
}

func decode(m iceberg.ManifestFile, raw []byte) (*manifest, error) {
	isData := m.ManifestContent() == iceberg.ManifestContentData
	open := iceberg.NewManifestReader
	if isData {
		open = func(m iceberg.ManifestFile, in io.Reader) (*iceberg.ManifestReader, error) {
			return iceberg.NewManifestReaderWithProjection(m, in, iceberg.ManifestEntryProjection{IncludePruningStats: true})
		}
	}
	r, err := open(m, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	out := &manifest{spec: m.PartitionSpecID(), columns: map[int]*column{}, known: map[knownKey]*datafile.Bounds{}}
	for {
		entry, err := r.ReadEntry()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		if entry.Status() == iceberg.EntryStatusDELETED {
			continue
		}
		df := entry.DataFile()
		if isData != (df.ContentType() == iceberg.EntryContentData) {
			return nil, errors.Join(fmt.Errorf("a manifest of %s lists %s %s", m.ManifestContent(), df.ContentType(), df.FilePath()), r.Close())
		}
		if isData {
			out.note(df)
			df = iceberg.DataFileWithoutColumnStats(df)
		}
		out.files = append(out.files, file{df, df.Partition(), entry.SequenceNum()})
	}
	for _, c := range out.columns {
		c.extend(len(out.files))
	}
	return out, r.Close()
}

// note takes over a file's statistics.
func (m *manifest) note(df iceberg.DataFile) {
	at := len(m.files)
	of := func(id int) *column {
		c := m.columns[id]
		if c == nil {
			c = &column{}
			m.columns[id] = c
		}
		c.extend(at + 1)
		return c
	}
	for id, v := range df.LowerBoundValues() {
		of(id).low[at] = orEmpty(v)
	}
	for id, v := range df.UpperBoundValues() {
		of(id).high[at] = orEmpty(v)
	}
	values := df.ValueCounts()
	for id, n := range df.NullValueCounts() {
		c := of(id)
		c.nulls[at] = n
		total, known := values[id]
		c.allNull[at] = known && total == n && n > 0
	}
	for id, n := range df.NaNValueCounts() {
		of(id).noNaN[at] = n == 0
	}
}

// mayBeNaN says whether one of some columns may have a NaN in a file.
func (m *manifest) mayBeNaN(file int, fields []int) bool {
	for _, id := range fields {
		if c := m.columns[id]; c == nil || !c.noNaN[file] {
			return true
		}
	}
	return false
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (c *column) extend(n int) {
	for len(c.nulls) < n {
		c.low, c.high = append(c.low, nil), append(c.high, nil)
		c.nulls, c.allNull, c.noNaN = append(c.nulls, -1), append(c.allNull, false), append(c.noNaN, false)
	}
}

// size is roughly what a manifest takes in memory, in bytes.
func (m *manifest) size() int64 {
	n := int64(1000)
	for i := range m.files {
		n += 900 + int64(len(m.files[i].data.FilePath())) + int64(len(m.files[i].partition))*100
	}
	for _, c := range m.columns {
		n += int64(len(c.nulls)) * 80
		for i := range c.low {
			n += 2 * int64(len(c.low[i])+len(c.high[i])) // read too, in the columns that are asked for
		}
	}
	return n
}

// bounds gives what the files' statistics say of a column.
func (m *manifest) bounds(f iceberg.NestedField) *datafile.Bounds {
	c := m.columns[f.ID]
	if c == nil {
		return nil
	}
	return m.remembered(knownKey{f.ID, false, f.Type.String()}, func() *datafile.Bounds {
		return datafile.NewBounds(f.Type, c.low, c.high, c.nulls, c.allNull)
	})
}

// values gives the files' values of a partition field.
func (m *manifest) values(f iceberg.NestedField) *datafile.Bounds {
	return m.remembered(knownKey{f.ID, true, f.Type.String()}, func() *datafile.Bounds {
		out := make([]any, len(m.files))
		for i := range m.files {
			v, known := m.files[i].partition[f.ID]
			if !known {
				return nil
			}
			out[i] = v
		}
		return datafile.NewValues(f.Type, out)
	})
}

func (m *manifest) remembered(key knownKey, find func() *datafile.Bounds) *datafile.Bounds {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.known[key]
	if !ok {
		b = find()
		m.known[key] = b
	}
	return b
}
