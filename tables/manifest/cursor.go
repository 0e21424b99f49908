package manifest

import (
	"errors"
	"fmt"
)

var errShort = errors.New("ends within a value")

// cursor reads Avro's binary encoding. What it gives are parts of its bytes.
type cursor struct {
	data []byte
	at   int
}

// long reads an int or a long: zigzag, seven bits a byte.
func (c *cursor) long() (int64, error) {
	if c.at < len(c.data) { // most are of one byte
		if b := c.data[c.at]; b < 0x80 {
			c.at++
			return int64(b>>1) ^ -int64(b&1), nil
		}
	}
	var n uint64
	for shift := 0; shift < 64; shift += 7 {
		if c.at >= len(c.data) {
			return 0, errShort
		}
		b := c.data[c.at]
		c.at++
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(n>>1) ^ -int64(n&1), nil
		}
	}
	return 0, errors.New("a number of more than 64 bits")
}

// bytes reads bytes or a string.
func (c *cursor) bytes() ([]byte, error) {
	n, err := c.long()
	if err != nil {
		return nil, err
	}
	if n < 0 || n > int64(len(c.data)-c.at) {
		return nil, errShort
	}
	return c.next(int(n))
}

func (c *cursor) next(n int) ([]byte, error) {
	if n > len(c.data)-c.at {
		return nil, errShort
	}
	out := c.data[c.at : c.at+n : c.at+n]
	c.at += n
	return out, nil
}

// items calls do for each item of an array or a map, which come in blocks.
func (c *cursor) items(do func() error) error {
	for {
		n, err := c.count()
		if err != nil || n == 0 {
			return err
		}
		for range n {
			if err := do(); err != nil {
				return err
			}
		}
	}
}

// count reads how many items the next block has; the size that may stand behind it is passed over.
func (c *cursor) count() (int64, error) {
	n, err := c.long()
	if err == nil && n < 0 {
		n = -n
		_, err = c.long()
	}
	if err == nil && (n < 0 || n > int64(len(c.data)-c.at)) { // every item that a manifest has takes a byte
		err = fmt.Errorf("%d items in %d bytes", n, len(c.data)-c.at)
	}
	return n, err
}
