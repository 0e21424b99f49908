package datafile

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/varve-lake/varve/tables/cache"
)

// tailBytes is what is read of a file's end first: most footers and page indexes.
const tailBytes = 64 << 10

// maxIndexBytes bounds a single range that is kept in a cache: a page index, or a Bloom filter.
const maxIndexBytes = 4 << 20

// Remote tells whether a file lies elsewhere than in the local file system, so that each read of it takes a request.
func Remote(uri string) bool {
	scheme, _, found := strings.Cut(uri, "://")
	return found && !strings.EqualFold(scheme, "file")
}

// sizedOpener is a store that can open a file whose size is known without asking for it.
type sizedOpener interface {
	OpenSized(uri string, size int64) (iceio.File, error)
}

// source is a data file as its readers see it. It is opened when something is read that is not in the cache. Of remote files,
// the parts that hold no rows (footer, page indexes, Bloom filters) come from the cache, and ranges that are about to be read
// are fetched together; see prefetch.
type source struct {
	ctx    context.Context
	fs     iceio.IO
	uri    string
	size   int64 // by the manifest; -1 where not known
	cache  *cache.Cache
	counts *Counters
	remote bool

	mu   sync.Mutex
	file iceio.File
	// data are the bytes that hold rows, ascending; nil until the footer is known.
	data     []span
	segments []segment
	at       int64 // of Seek and Read
}

// segment is a range that was fetched ahead.
type segment struct {
	span
	bytes []byte
}

// Counters add up what readers did. They are safe for concurrent use; nil counts nothing.
type Counters struct {
	Files, FilesPruned               atomic.Int64 // opened; left after a look at statistics and Bloom filters
	RowGroups, RowGroupsPruned       atomic.Int64 // of opened files; left out by statistics, Bloom filters or page indexes
	BloomNegatives                   atomic.Int64 // Bloom filters that excluded a value
	Pages, PagesPruned               atomic.Int64 // of the columns of filters, where page indexes were asked
	Bytes, Requests, IndexesFromDisk atomic.Int64 // read from the files; reads that took a request or a system call
}

func newSource(ctx context.Context, fs iceio.IO, df iceberg.DataFile, opts ReadOptions) *source {
	return &source{ctx: ctx, fs: fs, uri: df.FilePath(), size: df.FileSizeBytes(), cache: opts.Cache, counts: opts.Counters, remote: Remote(df.FilePath())}
}

func (s *source) open() (iceio.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		return s.file, nil
	}
	var err error
	if sized, ok := s.fs.(sizedOpener); ok && s.size >= 0 && s.remote {
		s.file, err = sized.OpenSized(s.uri, s.size)
	} else {
		s.file, err = s.fs.Open(s.uri)
	}
	return s.file, err
}

func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// count adds to the counters, if there are any.
func (s *source) count(add func(*Counters)) {
	if s.counts != nil {
		add(s.counts)
	}
}

// ReadAt implements io.ReaderAt.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if n, ok := s.fetched(p, off); ok {
		return n, nil
	}
	if s.remote && s.cache != nil && s.isIndex(off, int64(len(p))) {
		kept, err := s.index(off, int64(len(p)))
		if err != nil {
			return 0, err
		}
		return copy(p, kept), nil
	}
	return s.readAt(p, off)
}

func (s *source) readAt(p []byte, off int64) (int, error) {
	f, err := s.open()
	if err != nil {
		return 0, err
	}
	n, err := f.ReadAt(p, off)
	s.count(func(c *Counters) {
		c.Bytes.Add(int64(n))
		c.Requests.Add(1)
	})
	return n, err
}

// isIndex tells ranges that hold no rows. Before the footer is known, nothing else is read.
func (s *source) isIndex(off, n int64) bool {
	if n > maxIndexBytes {
		return false
	}
	i, inside := slices.BinarySearchFunc(s.data, off, func(d span, off int64) int {
		switch {
		case d.to <= off:
			return -1
		case d.from > off:
			return 1
		}
		return 0
	})
	return !inside && (i == len(s.data) || off+n <= s.data[i].from)
}

// index reads a range by way of the cache. What lies in the file's tail is cut from that.
func (s *source) index(off, n int64) ([]byte, error) {
	if from := max(s.size-tailBytes, 0); s.size > 0 && off >= from && off+n <= s.size {
		tail, err := s.kept(from, s.size-from)
		if err != nil {
			return nil, err
		}
		return tail[off-from : off-from+n], nil
	}
	return s.kept(off, n)
}

func (s *source) kept(off, n int64) ([]byte, error) {
	part := fmt.Sprintf("%d %d+%d", s.size, off, n)
	key := "range " + s.uri + " " + part
	return cache.Value(s.ctx, s.cache, key, func(context.Context) ([]byte, int64, error) {
		fromDisk := true
		out, err := s.cache.Bytes(cache.Key{File: s.uri, Part: part}, func() ([]byte, error) {
			fromDisk = false
			p := make([]byte, n)
			_, err := s.readAt(p, off)
			return p, err
		})
		if err == nil && int64(len(out)) != n {
			err = io.ErrUnexpectedEOF
		}
		if err == nil && fromDisk {
			s.count(func(c *Counters) { c.IndexesFromDisk.Add(1) })
		}
		return out, n, err
	})
}

// Seek implements io.Seeker, for finding out the size.
func (s *source) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		size, err := s.length()
		if err != nil {
			return s.at, err
		}
		offset += size
	}
	if offset < 0 {
		return s.at, fmt.Errorf("seek to %d", offset)
	}
	s.at = offset
	return s.at, nil
}

func (s *source) length() (int64, error) {
	if s.remote && s.size >= 0 {
		return s.size, nil
	}
	f, err := s.open()
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.ReadAt(p, s.at)
	s.at += int64(n)
	return n, err
}
