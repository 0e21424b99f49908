// Package manifest reads manifests as the bytes that they are: which entries there are and what their statistics say, of the
// columns that are asked for alone. An entry is decoded only when it is wanted, by the library, which is given the bytes of that
// one; so what comes of it is what the library makes of the manifest. And an entry that goes from one manifest into another is
// copied (Copy).
//
// Fields are found by the names that the specification gives them, in whatever order a writer has put them and with whatever it has
// put between them. What is not of the type that it should be says nothing.
package manifest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/twmb/avro/ocf"
)

// maxBlock is how many bytes a block may hold, as the library has it.
const maxBlock = 64 << 20

var magic = []byte("Obj\x01")

// container is an Avro object container file in memory (Avro 1.11, Object Container Files): a header, and blocks of records.
type container struct {
	metadata []property // in their order
	sync     []byte     // 16 bytes, behind the header and each block
	blocks   []byte     // what is left to read of them
	inflate  func(to, block []byte) ([]byte, error)
}

type property struct{ key, value []byte }

func openContainer(raw []byte) (*container, error) {
	if !bytes.HasPrefix(raw, magic) {
		return nil, errors.New("not an Avro file")
	}
	c := &container{}
	in := cursor{raw, len(magic)}
	err := in.items(func() error {
		key, err := in.bytes()
		if err != nil {
			return err
		}
		value, err := in.bytes()
		c.metadata = append(c.metadata, property{key, value})
		return err
	})
	if err == nil {
		c.sync, err = in.next(16)
	}
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	c.blocks = raw[in.at:]
	c.inflate, err = inflater(string(c.property("avro.codec")))
	return c, err
}

// property is what the header says by a name, the last time that it does.
func (c *container) property(name string) (value []byte) {
	for _, p := range c.metadata {
		if string(p.key) == name {
			value = p.value
		}
	}
	return value
}

// header is a header with the same properties but for the codec, and with another schema if one is given.
func (c *container) header(codec, schema string, sync []byte) []byte {
	of := slices.DeleteFunc(slices.Clone(c.metadata), func(p property) bool { return string(p.key) == "avro.codec" })
	if codec != "" {
		of = append(of, property{[]byte("avro.codec"), []byte(codec)})
	}
	out := append([]byte(nil), magic...)
	out = binary.AppendVarint(out, int64(len(of)))
	for _, p := range of {
		if schema != "" && string(p.key) == "avro.schema" {
			p.value = []byte(schema)
		}
		out = appendBytes(appendBytes(out, p.key), p.value)
	}
	return append(append(out, 0), sync...)
}

func appendBytes(out, value []byte) []byte {
	return append(binary.AppendVarint(out, int64(len(value))), value...)
}

// block appends the next block's records as bytes, and gives their number; io.EOF after the last one.
func (c *container) block(to []byte) (records []byte, n int64, err error) {
	for len(c.blocks) > 0 {
		in := cursor{c.blocks, 0}
		if n, err = in.long(); err != nil {
			return nil, 0, err
		}
		packed, err := in.bytes()
		if err != nil {
			return nil, 0, err
		}
		sync, err := in.next(16)
		if err != nil {
			return nil, 0, err
		}
		if !bytes.Equal(sync, c.sync) {
			return nil, 0, errors.New("a block does not end with the file's sync marker")
		}
		c.blocks = c.blocks[in.at:]
		if n < 0 {
			return nil, 0, fmt.Errorf("a block of %d records", n)
		}
		if n == 0 {
			continue
		}
		if records, err = c.inflate(to, packed); errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // which is not the end of the file
		}
		if size := len(records) - len(to); err == nil && n > int64(size) {
			err = fmt.Errorf("a block of %d bytes is said to have %d records", size, n)
		}
		return records, n, err
	}
	return nil, 0, io.EOF
}

// inflater gives what unpacks a block behind other bytes.
func inflater(codec string) (func(to, block []byte) ([]byte, error), error) {
	var of ocf.BoundedDecompressor
	switch codec {
	case "", "null":
		return func(to, block []byte) ([]byte, error) {
			if to == nil {
				return block, nil
			}
			return append(to, block...), nil
		}, nil
	case "deflate":
		return inflateDeflate, nil
	case "snappy":
		of = ocf.SnappyCodec().(ocf.BoundedDecompressor)
	case "zstandard":
		zstd, err := ocf.ZstdCodec(nil, nil)
		if err != nil {
			return nil, err
		}
		of = zstd.(ocf.BoundedDecompressor)
	default:
		return nil, fmt.Errorf("unknown codec %q", codec)
	}
	return func(to, block []byte) ([]byte, error) {
		out, err := of.DecompressBounded(block, maxBlock)
		return append(to, out...), err
	}, nil
}

// flates are readers of deflate that are used again.
var flates = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}

func inflateDeflate(to, block []byte) ([]byte, error) {
	in := flates.Get().(io.ReadCloser)
	defer flates.Put(in)
	if err := in.(flate.Resetter).Reset(bytes.NewReader(block), nil); err != nil {
		return nil, err
	}
	start := len(to)
	to = slices.Grow(to, min(8*len(block), maxBlock))
	for {
		if len(to)-start > maxBlock {
			return nil, fmt.Errorf("a block of more than %d bytes", maxBlock)
		}
		to = slices.Grow(to, 512)
		n, err := in.Read(to[len(to):cap(to)])
		to = to[:len(to)+n]
		if errors.Is(err, io.EOF) {
			return to, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
