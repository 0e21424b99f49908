package store

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/varve-lake/varve/internal/objects"
)

// tailSize is what is read of an object's end when it is opened: most footers, and small files whole.
const tailSize = 64 << 10

// objectFile is an open object. ReadAt asks for the range alone; Read streams from where it stands on.
type objectFile struct {
	ctx       context.Context
	bucket    objects.Bucket
	uri, key  string
	described objects.Object
	tail      []byte // the last bytes

	position int64
	stream   io.ReadCloser // at position; nil before the first Read and after a Seek
	closed   bool
}

func (f *objectFile) Stat() (fs.FileInfo, error) { return objectInfo{f.described}, nil }

// ReadAt implements io.ReaderAt. It is safe for concurrent use.
func (f *objectFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s: offset %d", f.uri, off)
	}
	size := f.described.Size
	if off >= size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), size-off)]
	if n, ok := f.fromTail(want, off); ok {
		return n, short(n, len(p))
	}
	n, err := objects.ReadAt(f.ctx, f.bucket, f.key, want, off)
	if err != nil {
		return n, classifyObject("read", f.uri, err)
	}
	return n, short(n, len(p))
}

func short(n, asked int) error {
	if n < asked {
		return io.EOF
	}
	return nil
}

// fromTail copies what was read when the object was opened.
func (f *objectFile) fromTail(p []byte, off int64) (int, bool) {
	begin := f.described.Size - int64(len(f.tail))
	if off < begin {
		return 0, false
	}
	return copy(p, f.tail[off-begin:]), true
}

// Read implements io.Reader.
func (f *objectFile) Read(p []byte) (int, error) {
	if f.closed {
		return 0, fs.ErrClosed
	}
	if f.position >= f.described.Size {
		return 0, io.EOF
	}
	if n, ok := f.fromTail(p, f.position); ok {
		f.position += int64(n)
		return n, nil
	}
	if f.stream == nil {
		f.stream = objects.Stream(f.ctx, f.bucket, f.described, f.position)
	}
	n, err := f.stream.Read(p)
	f.position += int64(n)
	if err != nil && err != io.EOF {
		err = classifyObject("read", f.uri, err)
	}
	return n, err
}

// Seek implements io.Seeker.
func (f *objectFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.position
	case io.SeekEnd:
		offset += f.described.Size
	}
	if offset < 0 {
		return f.position, fmt.Errorf("seek in %s: offset %d", f.uri, offset)
	}
	if offset != f.position {
		f.drop()
	}
	f.position = offset
	return offset, nil
}

func (f *objectFile) drop() {
	if f.stream != nil {
		_ = f.stream.Close()
		f.stream = nil
	}
}

// Close implements io.Closer.
func (f *objectFile) Close() error {
	f.closed = true
	f.drop()
	return nil
}
