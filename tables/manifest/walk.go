package manifest

import (
	"fmt"
	"unsafe"

	"github.com/twmb/avro/atype"
)

// record is where an entry and its fields stand.
type record struct {
	start, end uint32
	at         [fields]uint32
	status     int8
	count      int64 // of rows
	firstRowID int64 // that it has, or inherits; -1 for none
}

// recordSize is what a record takes in memory, in bytes.
const recordSize = int64(unsafe.Sizeof(record{}))

// skip passes over a value, and notes where fields stand.
func (n *node) skip(in *cursor, r *record) (err error) {
	switch n.kind {
	case atype.Null:
		return nil
	case atype.Boolean:
		_, err = in.next(1)
	case atype.Int, atype.Long:
		_, err = in.long()
	case atype.Float:
		_, err = in.next(4)
	case atype.Double:
		_, err = in.next(8)
	case atype.String, atype.Bytes:
		_, err = in.bytes()
	case atype.Fixed:
		_, err = in.next(n.size)
	case atype.Record:
		return n.skipRecord(in, r)
	case atype.Union:
		branch, err := in.long()
		if err != nil {
			return err
		}
		if branch < 0 || branch >= int64(len(n.parts)) {
			return fmt.Errorf("branch %d of a union of %d", branch, len(n.parts))
		}
		return n.parts[branch].skip(in, r)
	case atype.Array:
		return n.skipArray(in, r)
	case atype.Map:
		return in.items(func() error {
			if _, err := in.bytes(); err != nil {
				return err
			}
			return n.parts[0].skip(in, r)
		})
	}
	return err
}

func (n *node) skipRecord(in *cursor, r *record) error {
	for i, part := range n.parts {
		if f := n.note[i]; f >= 0 {
			r.at[f] = uint32(in.at)
		}
		if err := part.skip(in, r); err != nil {
			return fmt.Errorf("%s: %w", n.names[i], err)
		}
	}
	if n.noteEnd {
		r.at[dataFileEnd] = uint32(in.at)
	}
	return nil
}

func (n *node) skipArray(in *cursor, r *record) error {
	for {
		count, err := in.count()
		if err != nil || count == 0 {
			return err
		}
		item := n.parts[0]
		for range count {
			from := in.at
			switch {
			case item.twoLongs:
				if _, err = in.long(); err == nil {
					_, err = in.long()
				}
			case item.longText:
				if _, err = in.long(); err == nil {
					_, err = in.bytes()
				}
			default:
				err = item.skip(in, r)
			}
			if err != nil {
				return err
			}
			if in.at == from { // nor do the others take a byte, however many they are said to be
				break
			}
		}
	}
}

// each calls do with the keys of a map by column and a cursor at their values.
func (p *pairs) each(in *cursor, do func(key int64, value cursor)) error {
	if p.branch >= 0 {
		branch, err := in.long()
		if err != nil || branch != int64(p.branch) {
			return err
		}
	}
	var none record
	return in.items(func() error {
		var key int64
		var value cursor
		for i, part := range p.item.parts {
			var err error
			switch i {
			case p.key:
				key, err = in.long()
			case p.value:
				value = *in
				err = part.skip(in, &none)
			default:
				err = part.skip(in, &none)
			}
			if err != nil {
				return err
			}
		}
		do(key, value)
		return nil
	})
}
