package datafile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
)

var errNoFieldIDs = errors.New("the file has no field ids, and the table no schema.name-mapping.default to go by")

// projected is one top-level column of the schema read: where it lies in the file, and how it is brought from there to the
// type wanted.
type projected struct {
	field    iceberg.NestedField
	arrow    arrow.DataType
	source   int          // index of the file's field; -1 for a column that is not in the file
	leaves   map[int]bool // Parquet columns to read
	repeated bool         // some of them are in lists or maps
	// build makes the column from the file's array, or, where there is none, from nothing but a number of rows.
	build func(ctx context.Context, a arrow.Array, rows int) (arrow.Array, error)
}

// projector matches a schema to a file by field id.
type projector struct {
	manifest *pqarrow.SchemaManifest
	ids      map[*pqarrow.SchemaField]int
	// constants are values for columns that are not in the file: identity partition values, by source field id.
	constants map[int]any
}

func newProjector(manifest *pqarrow.SchemaManifest, mapping iceberg.NameMapping, constants map[int]any) (*projector, error) {
	p := &projector{manifest: manifest, ids: map[*pqarrow.SchemaField]int{}, constants: constants}
	found := false
	for i := range manifest.Fields {
		found = p.ownIDs(&manifest.Fields[i]) || found
	}
	switch {
	case found || len(manifest.Fields) == 0:
	case mapping == nil:
		return nil, errNoFieldIDs
	default:
		for i := range manifest.Fields {
			p.mapIDs(&manifest.Fields[i], mapping)
		}
	}
	return p, nil
}

// ownIDs notes the ids that the file itself gives, and says whether there are any.
func (p *projector) ownIDs(f *pqarrow.SchemaField) bool {
	id := arrowFieldID(*f.Field)
	p.ids[f] = id
	found := id >= 0
	for i := range f.Children {
		found = p.ownIDs(&f.Children[i]) || found
	}
	return found
}

func (p *projector) mapIDs(f *pqarrow.SchemaField, mapping []iceberg.MappedField) {
	switch f.Field.Type.(type) {
	case *arrow.StructType:
		m := p.mapID(f, f.Field.Name, mapping)
		for i := range f.Children {
			p.mapIDs(&f.Children[i], m)
		}
	case *arrow.MapType:
		m := p.mapID(f, f.Field.Name, mapping)
		entries := &f.Children[0]
		for i, name := range []string{"key", "value"} {
			if i < len(entries.Children) {
				p.mapNamed(&entries.Children[i], name, m)
			}
		}
	case *arrow.ListType:
		p.mapNamed(&f.Children[0], "element", p.mapID(f, f.Field.Name, mapping))
	default:
		p.mapID(f, f.Field.Name, mapping)
	}
}

// mapNamed maps a field that Parquet names as it likes but mappings name by their own convention.
func (p *projector) mapNamed(f *pqarrow.SchemaField, name string, mapping []iceberg.MappedField) {
	for _, m := range mapping {
		for _, n := range m.Names {
			if n == name {
				renamed := []iceberg.MappedField{{Names: []string{f.Field.Name}, FieldID: m.FieldID, Fields: m.Fields}}
				p.mapIDs(f, renamed)
				return
			}
		}
	}
}

func (p *projector) mapID(f *pqarrow.SchemaField, name string, mapping []iceberg.MappedField) []iceberg.MappedField {
	p.ids[f] = -1
	for _, m := range mapping {
		for _, n := range m.Names {
			if n == name {
				p.ids[f] = m.ID()
				return m.Fields
			}
		}
	}
	return nil
}

// column projects one top-level field.
func (p *projector) column(field iceberg.NestedField, to arrow.DataType) (projected, error) {
	out := projected{field: field, arrow: to, source: -1, leaves: map[int]bool{}}
	for i := range p.manifest.Fields {
		f := &p.manifest.Fields[i]
		if p.ids[f] != field.ID {
			continue
		}
		convert, err := p.convert(f, field.Type, to, out.leaves)
		if err != nil {
			return projected{}, fmt.Errorf("column %s: %w", field.Name, err)
		}
		out.source, out.repeated = i, repeated(field.Type)
		out.build = func(ctx context.Context, a arrow.Array, _ int) (arrow.Array, error) { return convert(ctx, a) }
		return out, nil
	}
	absent, err := p.absent(field, to)
	if err != nil {
		return projected{}, fmt.Errorf("column %s: %w", field.Name, err)
	}
	out.build = func(_ context.Context, _ arrow.Array, rows int) (arrow.Array, error) { return absent(rows) }
	return out, nil
}

// absent makes a field that the file does not have: from the file's partition, the initial default, or nulls, in the order
// of the specification's rules for column projection.
func (p *projector) absent(field iceberg.NestedField, to arrow.DataType) (func(rows int) (arrow.Array, error), error) {
	value, known := p.constants[field.ID]
	if !known {
		value = field.InitialDefault
	}
	if value == nil {
		if field.Required && !known {
			return nil, errors.New("it is required, has no initial default, and is not in the file")
		}
		return func(rows int) (arrow.Array, error) {
			return array.MakeArrayOfNull(allocator, to, rows), nil
		}, nil
	}
	if _, err := constantArray(value, field.Type, to, 1); err != nil {
		return nil, fmt.Errorf("default: %w", err)
	}
	return func(rows int) (arrow.Array, error) { return constantArray(value, field.Type, to, rows) }, nil
}

type converter func(context.Context, arrow.Array) (arrow.Array, error)

// convert says how to bring a field of the file to a type, and adds the Parquet columns this needs to leaves.
func (p *projector) convert(f *pqarrow.SchemaField, t iceberg.Type, to arrow.DataType, leaves map[int]bool) (converter, error) {
	switch t := t.(type) {
	case *iceberg.StructType:
		return p.convertStruct(f, t, to.(*arrow.StructType), leaves)
	case *iceberg.ListType:
		return p.convertList(f, t, to.(*arrow.ListType), leaves)
	case *iceberg.MapType:
		return p.convertMap(f, t, to.(*arrow.MapType), leaves)
	}
	if !f.IsLeaf() {
		return nil, fmt.Errorf("type %s in the file cannot be read as %s", f.Field.Type, t)
	}
	leaves[f.ColIndex] = true
	// A type that cannot be read is found out before any row is.
	empty := array.MakeArrayOfNull(allocator, f.Field.Type, 0)
	defer empty.Release()
	probe, err := promote(context.Background(), empty, to)
	if err != nil {
		return nil, err
	}
	probe.Release()
	return func(ctx context.Context, a arrow.Array) (arrow.Array, error) { return promote(ctx, a, to) }, nil
}

func (p *projector) convertStruct(f *pqarrow.SchemaField, t *iceberg.StructType, to *arrow.StructType, leaves map[int]bool) (converter, error) {
	if _, ok := f.Field.Type.(*arrow.StructType); !ok {
		return nil, fmt.Errorf("type %s in the file cannot be read as %s", f.Field.Type, t)
	}
	type child struct {
		name    string // in the file; empty when absent there
		convert converter
		absent  func(int) (arrow.Array, error)
	}
	children := make([]child, len(t.FieldList))
	inFile := false
	for i, field := range t.FieldList {
		want := to.Field(i).Type
		for j := range f.Children {
			if p.ids[&f.Children[j]] != field.ID {
				continue
			}
			convert, err := p.convert(&f.Children[j], field.Type, want, leaves)
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", field.Name, err)
			}
			children[i] = child{name: f.Children[j].Field.Name, convert: convert}
			inFile = true
		}
		if children[i].convert == nil {
			absent, err := p.absent(field, want)
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", field.Name, err)
			}
			children[i].absent = absent
		}
	}
	if !inFile { // some leaf has to be read to know which structs are null
		leaves[shallowestLeaf(f).ColIndex] = true
	}
	return func(ctx context.Context, a arrow.Array) (arrow.Array, error) {
		s := a.(*array.Struct)
		fields := make([]arrow.Array, 0, len(children))
		defer func() { releaseAll(fields) }()
		for _, c := range children {
			var out arrow.Array
			var err error
			if c.convert == nil {
				out, err = c.absent(s.Len())
			} else {
				i, _ := s.DataType().(*arrow.StructType).FieldIdx(c.name)
				out, err = c.convert(ctx, s.Field(i))
			}
			if err != nil {
				return nil, err
			}
			fields = append(fields, out)
		}
		return structOf(to, s, fields), nil
	}, nil
}

// structOf is a struct of given fields that is null where s is. The fields that arrow gives of s are cut to its offset already,
// its validity is not.
func structOf(to *arrow.StructType, s *array.Struct, fields []arrow.Array) arrow.Array {
	valid := cutValidity(s)
	defer release(valid)
	data := make([]arrow.ArrayData, len(fields))
	for i, f := range fields {
		data[i] = f.Data()
	}
	d := array.NewData(to, s.Len(), []*memory.Buffer{valid}, data, s.NullN(), 0)
	defer d.Release()
	return array.MakeFromData(d)
}

func shallowestLeaf(f *pqarrow.SchemaField) *pqarrow.SchemaField {
	for len(f.Children) > 0 {
		next := &f.Children[0]
		for i := range f.Children {
			if f.Children[i].IsLeaf() {
				next = &f.Children[i]
				break
			}
		}
		f = next
	}
	return f
}

func (p *projector) convertList(f *pqarrow.SchemaField, t *iceberg.ListType, to *arrow.ListType, leaves map[int]bool) (converter, error) {
	if _, ok := f.Field.Type.(*arrow.ListType); !ok {
		return nil, fmt.Errorf("type %s in the file cannot be read as %s", f.Field.Type, t)
	}
	element, err := p.convert(&f.Children[0], t.Element, to.Elem(), leaves)
	if err != nil {
		return nil, fmt.Errorf("element: %w", err)
	}
	return func(ctx context.Context, a arrow.Array) (arrow.Array, error) {
		l := a.(*array.List)
		values, err := element(ctx, l.ListValues())
		if err != nil {
			return nil, err
		}
		defer values.Release()
		return listOf(to, l, values.Data()), nil
	}, nil
}

// listOf is a list of given values with the offsets and validity of l.
func listOf(to arrow.DataType, l arrow.Array, values arrow.ArrayData) arrow.Array {
	d := l.Data()
	out := array.NewData(to, d.Len(), d.Buffers(), []arrow.ArrayData{values}, d.NullN(), d.Offset())
	defer out.Release()
	return array.MakeFromData(out)
}

func (p *projector) convertMap(f *pqarrow.SchemaField, t *iceberg.MapType, to *arrow.MapType, leaves map[int]bool) (converter, error) {
	if _, ok := f.Field.Type.(*arrow.MapType); !ok || len(f.Children[0].Children) != 2 {
		return nil, fmt.Errorf("type %s in the file cannot be read as %s", f.Field.Type, t)
	}
	// arrow-go reads all of a map whatever leaves are asked for; so all are asked for.
	addLeaves(f, leaves)
	key, err := p.convert(&f.Children[0].Children[0], t.KeyType, to.KeyType(), leaves)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	value, err := p.convert(&f.Children[0].Children[1], t.ValueType, to.ItemType(), leaves)
	if err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	return func(ctx context.Context, a arrow.Array) (arrow.Array, error) {
		m := a.(*array.Map)
		keys, err := key(ctx, m.Keys())
		if err != nil {
			return nil, err
		}
		defer keys.Release()
		values, err := value(ctx, m.Items())
		if err != nil {
			return nil, err
		}
		defer values.Release()
		entries := array.NewData(to.Elem(), keys.Len(), []*memory.Buffer{nil}, []arrow.ArrayData{keys.Data(), values.Data()}, 0, 0)
		defer entries.Release()
		return listOf(to, m, entries), nil
	}, nil
}

func addLeaves(f *pqarrow.SchemaField, leaves map[int]bool) {
	if f.IsLeaf() {
		leaves[f.ColIndex] = true
	}
	for i := range f.Children {
		addLeaves(&f.Children[i], leaves)
	}
}

// selectColumns is a schema of some top-level columns, in the order named.
func selectColumns(schema *iceberg.Schema, names []string) (*iceberg.Schema, error) {
	fields := make([]iceberg.NestedField, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(schema.Fields(), func(f iceberg.NestedField) bool { return f.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("column %q is not in the schema", name)
		}
		fields = append(fields, schema.Field(i))
	}
	return iceberg.NewSchema(schema.ID, fields...), nil
}

func repeated(t iceberg.Type) bool {
	switch t := t.(type) {
	case *iceberg.ListType, *iceberg.MapType:
		return true
	case *iceberg.StructType:
		return slices.ContainsFunc(t.FieldList, func(f iceberg.NestedField) bool { return repeated(f.Type) })
	}
	return false
}
