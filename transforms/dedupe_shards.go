package transforms

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	shardBits  = 4
	shardCount = 1 << shardBits
	// maxDepth is where a 64-bit hash has no more bits to shard by: what is left has one hash.
	maxDepth = 64 / shardBits
)

// shards are the files over which the keys of one depth are spread. They have no names, so that the file system takes its space back
// whatever becomes of the process.
type shards struct {
	depth int
	files [shardCount]*os.File
	out   [shardCount]*bufio.Writer
	bytes int64
}

func newShards(tempDir string, depth int, limit int64) (*shards, error) {
	s := &shards{depth: depth}
	size := int(min(max(limit/(4*shardCount), 4<<10), 256<<10))
	for i := range s.files {
		f, err := os.CreateTemp(tempDir, "varve-dedupe-*")
		if err == nil {
			s.files[i], err = f, os.Remove(f.Name())
		}
		if err != nil {
			s.remove()
			return nil, fmt.Errorf("spill keys: %w", err)
		}
		s.out[i] = bufio.NewWriterSize(f, size)
	}
	return s, nil
}

// header is row, hash, and the sizes of key and order.
const headerSize = 8 + 8 + 4 + 4

func (s *shards) write(c candidate) error {
	shard := c.hash >> (64 - shardBits*(s.depth+1)) & (shardCount - 1)
	var header [headerSize]byte
	binary.LittleEndian.PutUint64(header[0:], uint64(c.row))
	binary.LittleEndian.PutUint64(header[8:], c.hash)
	binary.LittleEndian.PutUint32(header[16:], uint32(len(c.key)))
	binary.LittleEndian.PutUint32(header[20:], uint32(len(c.order)))
	out := s.out[shard]
	for _, part := range [][]byte{header[:], c.key, c.order} {
		if _, err := out.Write(part); err != nil {
			return fmt.Errorf("spill keys: %w", err)
		}
	}
	s.bytes += int64(headerSize + len(c.key) + len(c.order))
	return nil
}

// flush writes what is buffered and frees the buffers; nothing is written after it.
func (s *shards) flush() error {
	for i, out := range s.out {
		if err := out.Flush(); err != nil {
			return fmt.Errorf("spill keys: %w", err)
		}
		s.out[i] = nil
	}
	return nil
}

// read hands the candidates of a shard to f and gives up its file.
func (s *shards) read(ctx context.Context, shard int, f func(candidate) error) error {
	file := s.files[shard]
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read spilled keys: %w", err)
	}
	in := bufio.NewReaderSize(file, 64<<10)
	var header [headerSize]byte
	var body []byte
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := io.ReadFull(in, header[:]); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("read spilled keys: %w", err)
		}
		keySize, orderSize := int(binary.LittleEndian.Uint32(header[16:])), int(binary.LittleEndian.Uint32(header[20:]))
		if cap(body) < keySize+orderSize {
			body = make([]byte, keySize+orderSize)
		}
		body = body[:keySize+orderSize]
		if _, err := io.ReadFull(in, body); err != nil {
			return fmt.Errorf("read spilled keys: %w", err)
		}
		err := f(candidate{
			row: int64(binary.LittleEndian.Uint64(header[0:])), hash: binary.LittleEndian.Uint64(header[8:]),
			key: body[:keySize], order: body[keySize:],
		})
		if err != nil {
			return err
		}
	}
	s.files[shard] = nil
	return file.Close()
}

func (s *shards) remove() {
	for _, f := range s.files {
		if f != nil {
			f.Close()
		}
	}
}
