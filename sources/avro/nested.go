package avro

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"
)

// items reads the blocks of an array or map, an item at a time.
func items(c *cursor, item func(c *cursor) error) error {
	for {
		n, err := c.long()
		if err != nil || n == 0 {
			return err
		}
		if n < 0 { // the block's size in bytes follows
			if n = -n; n < 0 {
				return errShort
			}
			if _, err = c.long(); err != nil {
				return err
			}
		}
		for ; n > 0; n-- {
			from := c.pos
			if err = item(c); err != nil {
				return err
			}
			if err = c.counted(from); err != nil {
				return err
			}
		}
	}
}

func compileArray(s *Schema, b array.Builder) decode {
	list, ok := b.(*array.ListBuilder)
	if !ok {
		item := compile(s.Items, nil)
		return func(c *cursor) error { return items(c, item) }
	}
	item := compile(s.Items, list.ValueBuilder())
	return func(c *cursor) error {
		list.Append(true)
		return items(c, item)
	}
}

func compileMap(s *Schema, b array.Builder) decode {
	out, ok := b.(*array.MapBuilder)
	var key *array.StringBuilder
	var value decode
	if ok {
		key = out.KeyBuilder().(*array.StringBuilder)
		value = compile(s.Items, out.ItemBuilder())
	} else {
		value = compile(s.Items, nil)
	}
	entry := func(c *cursor) error {
		k, err := c.bytes()
		if err != nil {
			return err
		}
		if key != nil {
			key.BinaryBuilder.Append(k)
		}
		return value(c)
	}
	return func(c *cursor) error {
		if out != nil {
			out.Append(true)
		}
		return items(c, entry)
	}
}

func compileRecord(s *Schema, b array.Builder) decode {
	out, ok := b.(*array.StructBuilder)
	fields := make([]decode, len(s.Fields))
	for i, f := range s.Fields {
		if ok {
			fields[i] = compile(f.Type, out.FieldBuilder(i))
		} else {
			fields[i] = compile(f.Type, nil)
		}
	}
	return func(c *cursor) error {
		if out != nil {
			out.Append(true)
		}
		for _, field := range fields {
			if err := field(c); err != nil {
				return err
			}
		}
		return nil
	}
}

func compileUnion(s *Schema, b array.Builder) decode {
	members := s.members()
	branches := make([]decode, len(s.Branches))
	out, asStruct := b.(*array.StructBuilder)
	asStruct = asStruct && len(members) > 1
	member := 0
	for i, branch := range s.Branches {
		switch {
		case branch.Kind == Null:
			branches[i] = func(*cursor) error { null(b); return nil }
		case asStruct:
			branches[i] = compileMember(branch, out, member)
			member++
		default:
			branches[i] = compile(branch, b)
		}
	}
	return func(c *cursor) error {
		i, err := c.long()
		if err != nil {
			return err
		}
		if i < 0 || i >= int64(len(branches)) {
			return fmt.Errorf("a union has no branch %d", i)
		}
		return branches[i](c)
	}
}

// compileMember decodes a branch of a union into its field of a struct; the other fields are null.
func compileMember(s *Schema, out *array.StructBuilder, member int) decode {
	value := compile(s, out.FieldBuilder(member))
	return func(c *cursor) error {
		out.Append(true)
		for i := range out.NumField() {
			if i != member {
				out.FieldBuilder(i).AppendNull()
			}
		}
		return value(c)
	}
}
