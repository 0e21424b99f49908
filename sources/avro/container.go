package avro

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// The bounds of a file's parts.
const (
	maxBlock  = 256 << 20 // of a block, stored and decompressed
	maxHeader = 16 << 20  // of the schema and the other metadata
)

// Reader reads an object container file block by block.
type Reader struct {
	r      *bufio.Reader
	schema *Schema
	codec  string
	sync   [16]byte
	stored bytes.Buffer
	plain  bytes.Buffer
	zstd   *zstd.Decoder
}

// NewReader reads a file's header.
func NewReader(r io.Reader) (*Reader, error) {
	f := &Reader{r: bufio.NewReaderSize(r, 256<<10)}
	var start [4]byte
	if _, err := io.ReadFull(f.r, start[:]); err != nil {
		return nil, truncated("the header", err)
	}
	if string(start[:]) != "Obj\x01" {
		return nil, errors.New("not an Avro object container file: it does not begin with Obj and 1")
	}
	meta, err := f.metadata()
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(f.r, f.sync[:]); err != nil {
		return nil, truncated("the header", err)
	}
	if f.schema, err = ParseSchema(meta["avro.schema"]); err != nil {
		return nil, err
	}
	f.codec = string(meta["avro.codec"])
	switch f.codec {
	case "", "null", "deflate", "snappy", "bzip2":
	case "zstandard":
		f.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock))
	default:
		err = fmt.Errorf("codec %q is none of null, deflate, snappy, zstandard, bzip2", f.codec)
	}
	return f, err
}

// Schema is the schema of the file's values.
func (f *Reader) Schema() *Schema { return f.schema }

// Close frees what the codec holds.
func (f *Reader) Close() {
	if f.zstd != nil {
		f.zstd.Close()
	}
}

func truncated(what string, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("the file ends within %s", what)
	}
	return err
}

// metadata reads the header's map of bytes.
func (f *Reader) metadata() (map[string][]byte, error) {
	meta := map[string][]byte{}
	left := int64(maxHeader)
	for {
		n, err := f.long("the header")
		if err != nil || n == 0 {
			return meta, err
		}
		if n < 0 { // the size of the map's block follows
			if n = -n; n < 0 {
				return nil, errors.New("the header is damaged")
			}
			if _, err = f.long("the header"); err != nil {
				return nil, err
			}
		}
		for ; n > 0; n-- {
			key, err := f.bytes(&left)
			if err != nil {
				return nil, err
			}
			if meta[string(key)], err = f.bytes(&left); err != nil {
				return nil, err
			}
		}
	}
}

func (f *Reader) bytes(left *int64) ([]byte, error) {
	n, err := f.long("the header")
	if err != nil {
		return nil, err
	}
	if *left -= n + 1; n < 0 || *left < 0 {
		return nil, fmt.Errorf("the header is damaged, or larger than %d bytes", maxHeader)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(f.r, b)
	return b, truncated("the header", err)
}

func (f *Reader) long(within string) (int64, error) {
	n, err := binary.ReadVarint(f.r)
	return n, truncated(within, err)
}

// Block reads the next block: the number of its values and their bytes, which are valid until the next call. It
// returns io.EOF at the end of the file.
func (f *Reader) Block() (count int64, data []byte, err error) {
	if _, err := f.r.Peek(1); err != nil {
		return 0, nil, err
	}
	if count, err = f.long("a block"); err != nil {
		return 0, nil, err
	}
	size, err := f.long("a block")
	if err != nil {
		return 0, nil, err
	}
	if count < 0 || size < 0 || size > maxBlock {
		return 0, nil, fmt.Errorf("a block claims %d values and %d bytes: it is damaged, or larger than %d bytes", count, size, maxBlock)
	}
	f.stored.Reset()
	if _, err := io.CopyN(&f.stored, f.r, size); err != nil { // grows with what is there, not with what is claimed
		return 0, nil, truncated("a block", err)
	}
	var mark [16]byte
	if _, err := io.ReadFull(f.r, mark[:]); err != nil {
		return 0, nil, truncated("a block", err)
	}
	if mark != f.sync {
		return 0, nil, errors.New("a block does not end with the file's synchronisation marker: it is damaged")
	}
	data, err = f.decompress(f.stored.Bytes())
	if err != nil {
		return 0, nil, fmt.Errorf("decompress a block (%s): %w", f.codec, err)
	}
	return count, data, nil
}

func (f *Reader) decompress(stored []byte) ([]byte, error) {
	switch f.codec {
	case "deflate":
		r := flate.NewReader(bytes.NewReader(stored))
		defer r.Close()
		return f.drain(r)
	case "bzip2":
		return f.drain(bzip2.NewReader(bytes.NewReader(stored)))
	case "zstandard":
		if err := f.zstd.Reset(bytes.NewReader(stored)); err != nil {
			return nil, err
		}
		return f.drain(f.zstd)
	case "snappy":
		return f.snappy(stored)
	}
	return stored, nil
}

func (f *Reader) drain(r io.Reader) ([]byte, error) {
	f.plain.Reset()
	n, err := io.Copy(&f.plain, io.LimitReader(r, maxBlock+1))
	if err == nil && n > maxBlock {
		err = fmt.Errorf("larger than %d bytes", maxBlock)
	}
	return f.plain.Bytes(), err
}

// snappy decodes a block that a CRC-32 of the plain bytes follows.
func (f *Reader) snappy(stored []byte) ([]byte, error) {
	if len(stored) < 4 {
		return nil, errors.New("too short")
	}
	body, sum := stored[:len(stored)-4], binary.BigEndian.Uint32(stored[len(stored)-4:])
	n, err := snappy.DecodedLen(body)
	if err != nil {
		return nil, err
	}
	if n > maxBlock {
		return nil, fmt.Errorf("larger than %d bytes", maxBlock)
	}
	plain, err := snappy.Decode(nil, body)
	if err == nil && crc32.ChecksumIEEE(plain) != sum {
		err = errors.New("the checksum does not match")
	}
	return plain, err
}
