package planning

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/varve-lake/varve/tables/cache"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/manifest"
)

// listed is what one manifest, or a piece of one, says of the files that are live in it. It is shared and does not change, but for
// what is made of it when it is first asked for.
type listed struct {
	spec    int32
	entries *manifest.Entries

	mu      sync.Mutex
	files   []*file // nil until it is asked for
	columns map[int]*manifest.Column
	known   map[knownKey]*datafile.Bounds
}

type file struct {
	data      iceberg.DataFile // without statistics, if it is a data file
	partition map[int]any
	sequence  int64 // of its data; -1 where not known
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
func (p *planner) manifest(ctx context.Context, m iceberg.ManifestFile) (*listed, error) {
	first := "-"
	if id := m.FirstRowID(); id != nil {
		first = strconv.FormatInt(*id, 10)
	}
	key := fmt.Sprintf("manifest %s %d %s", m.FilePath(), m.SequenceNum(), first)
	return cache.Value(ctx, p.opts.Cache, key, func(context.Context) (*listed, int64, error) {
		raw, err := p.read(m.FilePath())
		if err != nil {
			return nil, 0, fmt.Errorf("manifest %s: %w", m.FilePath(), err)
		}
		out, err := protected(func() (*listed, error) { return decode(m, raw, false) })
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

// decode takes a manifest as bytes, of which little is decoded before it is asked for.
func decode(m iceberg.ManifestFile, raw []byte, described bool) (*listed, error) {
	entries, err := manifest.Read(m, raw, options(m, described))
	if err != nil {
		return nil, err
	}
	out := newListed(m, entries)
	if out.len() > fewFiles {
		return out, nil
	}
	for i := range out.files {
		if _, err := out.described(i); err != nil {
			return nil, err
		}
	}
	entries.Idle()
	return out, nil
}

// fewFiles is how many files of a manifest are described at once, so that nothing has to be held to do so later: a table may have
// thousands of manifests of a few files.
const fewFiles = 32

// options say that the statistics of data files are not kept, where these are not wanted but for pruning.
func options(m iceberg.ManifestFile, described bool) manifest.Options {
	return manifest.Options{Bare: !described && m.ManifestContent() == iceberg.ManifestContentData}
}

func newListed(m iceberg.ManifestFile, entries *manifest.Entries) *listed {
	return &listed{spec: m.PartitionSpecID(), entries: entries, files: make([]*file, entries.Len()),
		columns: map[int]*manifest.Column{}, known: map[knownKey]*datafile.Bounds{}}
}

// len is the number of files.
func (m *listed) len() int { return m.entries.Len() }

// file describes one.
func (m *listed) file(i int) (*file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.described(i)
}

// described is file, for who holds the lock.
func (m *listed) described(i int) (*file, error) {
	if m.files[i] == nil {
		entry, err := m.entries.Entry(i)
		if err != nil {
			return nil, err
		}
		df := entry.DataFile()
		m.files[i] = &file{df, df.Partition(), entry.SequenceNum()}
	}
	return m.files[i], nil
}

// column is what the files' statistics say of one, for who holds the lock; nil if that is nothing.
func (m *listed) column(id int) *manifest.Column {
	c, known := m.columns[id]
	if !known {
		c = m.entries.Column(id)
		m.columns[id] = c
	}
	return c
}

// mayBeNaN says whether one of some columns may have a NaN in a file.
func (m *listed) mayBeNaN(file int, fields []int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range fields {
		if c := m.column(id); c == nil || !c.NoNaN[file] {
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

// size is roughly what a manifest takes in memory, in bytes, when all of its files have been described and some columns been
// asked for.
func (m *listed) size() int64 {
	n := int64(8000) + m.entries.Size() // with its header
	if m.len() > fewFiles {
		n += 64 << 10 // what decodes
	}
	for i := range m.len() {
		n += 900 + 2*int64(len(m.entries.Path(i)))
	}
	return n
}

// bounds gives what the files' statistics say of a column.
func (m *listed) bounds(f iceberg.NestedField) *datafile.Bounds {
	return m.remembered(knownKey{f.ID, false, f.Type.String()}, func() *datafile.Bounds {
		c := m.column(f.ID)
		if c == nil {
			return nil
		}
		return datafile.NewBounds(f.Type, c.Low, c.High, c.Nulls, c.AllNull).WithoutNaN(c.NoNaN)
	})
}

// values gives the files' values of a partition field. Of files of one partition, which are known by its bytes, one is decoded.
func (m *listed) values(f iceberg.NestedField) *datafile.Bounds {
	return m.remembered(knownKey{f.ID, true, f.Type.String()}, func() *datafile.Bounds {
		out := make([]any, m.len())
		for i, of := range m.alike() {
			one, err := m.described(of)
			if err != nil {
				return nil // whoever wants the file is told
			}
			v, known := one.partition[f.ID]
			if !known {
				return nil
			}
			out[i] = v
		}
		return datafile.NewValues(f.Type, out)
	})
}

// alike is, of each file, the first one of its partition.
func (m *listed) alike() []int {
	out, first := make([]int, m.len()), map[string]int{}
	for i := range out {
		key := m.entries.Partition(i)
		of, seen := first[string(key)]
		if !seen {
			of = i
			first[string(key)] = i
		}
		out[i] = of
	}
	return out
}

func (m *listed) remembered(key knownKey, find func() *datafile.Bounds) *datafile.Bounds {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.known[key]
	if !ok {
		b = find()
		m.known[key] = b
	}
	return b
}
