package sources

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// input is one file while it is read: its bytes, how many of them were read, and whether it is still the file that was
// listed.
type input struct {
	file    File
	content Content
	read    int64
	fault   error // of the store; what the formats make of it does not matter then
	closers []func()
}

// openInput takes over an open file; it refuses one that is not the file that was listed.
func openInput(file File, content Content) (*input, error) {
	in := &input{file: file, content: content}
	if err := in.verify("changed since it was listed"); err != nil {
		content.Close()
		return nil, err
	}
	return in, nil
}

// verify compares the file with the listing.
func (in *input) verify(when string) error {
	now, err := in.content.Stat()
	if err != nil {
		return fmt.Errorf("%s: look at it again: %w", in.file.URI, err)
	}
	var change string
	switch {
	case now.Size != in.file.Size:
		change = fmt.Sprintf("its size was %d bytes and is %d", in.file.Size, now.Size)
	case now.ETag != in.file.ETag:
		change = fmt.Sprintf("its ETag was %q and is %q", in.file.ETag, now.ETag)
	case now.ETag == "" && !now.ModTime.Equal(in.file.ModTime):
		change = fmt.Sprintf("its time was %s and is %s", stamp(in.file.ModTime), stamp(now.ModTime))
	default:
		return nil
	}
	return &BrokenFileError{File: in.file.URI, Reason: when + ": " + change, Err: ErrChanged}
}

func (in *input) Close() {
	for _, f := range in.closers {
		f()
	}
	in.content.Close()
}

// Read reads the stored bytes front to back.
func (in *input) Read(p []byte) (int, error) {
	n, err := in.content.Read(p)
	in.read += int64(n)
	if err != nil && err != io.EOF {
		in.fault = err
	}
	return n, err
}

// ReadAt reads the stored bytes anywhere.
func (in *input) ReadAt(p []byte, off int64) (int, error) {
	n, err := in.content.ReadAt(p, off)
	in.read += int64(n)
	if err != nil && err != io.EOF {
		in.fault = err
	}
	return n, err
}

// broken classes an error of reading or decoding the file as a whole.
func (in *input) broken(reason string, err error) error {
	if in.fault != nil {
		return fmt.Errorf("read %s: %w", in.file.URI, in.fault)
	}
	var already *BrokenFileError
	if errors.As(err, &already) {
		return err
	}
	return &BrokenFileError{File: in.file.URI, Reason: reason, Err: err}
}

// maxZstdWindow bounds the memory that a zstd file may ask for; it is that of zstd --long.
const maxZstdWindow = 128 << 20

// plain is the file's bytes as they were before compression, which the name's suffix tells.
func (in *input) plain() (io.Reader, error) {
	compression := compressionOf(in.file.URI)
	if in.file.Size == 0 || compression == "" {
		return in, nil
	}
	buffered := bufio.NewReaderSize(in, 256<<10)
	if compression == "gzip" {
		r, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, in.broken("is not gzip, as its name says", err)
		}
		return &naming{r, in, "decompress gzip"}, nil
	}
	r, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderMaxMemory(maxZstdWindow))
	if err != nil {
		return nil, in.broken("is not zstd, as its name says", err)
	}
	in.closers = append(in.closers, r.Close)
	return &naming{r, in, "decompress zstd"}, nil
}

// compressionOf tells by suffix how a file is compressed.
func compressionOf(uri string) string {
	switch lower := strings.ToLower(uri); {
	case strings.HasSuffix(lower, ".gz"), strings.HasSuffix(lower, ".gzip"):
		return "gzip"
	case strings.HasSuffix(lower, ".zst"), strings.HasSuffix(lower, ".zstd"):
		return "zstd"
	}
	return ""
}

// naming says what was attempted when the stream breaks.
type naming struct {
	r       io.Reader
	in      *input
	attempt string
}

func (n *naming) Read(p []byte) (int, error) {
	k, err := n.r.Read(p)
	if err != nil && err != io.EOF {
		err = n.in.broken(n.attempt, err)
	}
	return k, err
}

// magic are the beginnings of files that are not UTF-8 text, and what they are.
var magic = []struct{ bytes, what string }{
	{"\x1f\x8b", "is compressed by gzip: its name should end in .gz"},
	{"\x28\xb5\x2f\xfd", "is compressed by zstd: its name should end in .zst"},
	{"\xff\xfe", "is UTF-16 text: UTF-8 is expected"},
	{"\xfe\xff", "is UTF-16 text: UTF-8 is expected"},
	{"PK\x03\x04", "is a zip archive, not text"},
	{"Obj\x01", "is an Avro file, not text"},
}

// text is the file's plain bytes, without a byte order mark, if they can be text.
func (in *input) text() (io.Reader, error) {
	r, err := in.plain()
	if err != nil {
		return nil, err
	}
	start := make([]byte, 4)
	n, err := io.ReadFull(r, start)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, in.broken("read", err)
	}
	start = start[:n]
	for _, m := range magic {
		if bytes.HasPrefix(start, []byte(m.bytes)) {
			return nil, &BrokenFileError{File: in.file.URI, Reason: m.what}
		}
	}
	start = bytes.TrimPrefix(start, []byte("\xef\xbb\xbf"))
	return io.MultiReader(bytes.NewReader(start), r), nil
}
