package datafile

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// conformBatch gives batch the table's own Arrow types: names of list elements and field ids are the table's, widths that
// lose nothing are widened. What would lose something, or puts a null into a required field, is an error that names the column.
func conformBatch(ctx context.Context, batch arrow.RecordBatch, schema *arrow.Schema) (arrow.RecordBatch, error) {
	return conformCoded(ctx, batch, schema, nil)
}

// conformCoded is conformBatch with codes in the place of texts where there are some.
func conformCoded(ctx context.Context, batch arrow.RecordBatch, schema *arrow.Schema, codes *textCodes) (arrow.RecordBatch, error) {
	if int(batch.NumCols()) != schema.NumFields() {
		return nil, fmt.Errorf("batch has %d columns, the table has %d", batch.NumCols(), schema.NumFields())
	}
	columns := make([]arrow.Array, 0, batch.NumCols())
	defer func() { releaseAll(columns) }()
	for i, f := range schema.Fields() {
		if got := batch.ColumnName(i); got != f.Name {
			return nil, fmt.Errorf("column %d of the batch is %q, of the table %q", i+1, got, f.Name)
		}
		c := codes.code(i, batch.Column(i))
		if c == nil {
			var err error
			if c, err = conformArray(ctx, batch.Column(i), f.Type); err != nil {
				return nil, fmt.Errorf("column %s: %w", f.Name, err)
			}
		}
		columns = append(columns, c)
		if path, ok := nullInRequired(f.Name, f, c, nil); !ok {
			return nil, fmt.Errorf("column %s is required and holds a null", path)
		}
	}
	return recordOf(schema, columns, batch.NumRows()), nil
}

// conformArray returns a as type to, as a new reference.
func conformArray(ctx context.Context, a arrow.Array, to arrow.DataType) (arrow.Array, error) {
	from := a.DataType()
	if arrow.TypeEqual(from, to, arrow.CheckMetadata()) {
		a.Retain()
		return a, nil
	}
	switch a := a.(type) {
	case *array.Null:
		return array.MakeArrayOfNull(allocator, to, a.Len()), nil
	case *array.Dictionary:
		take := func() (arrow.Array, error) { return compute.TakeArray(ctx, a.Dictionary(), a.Indices()) }
		switch a.Dictionary().(type) {
		case *array.String, *array.Binary: // of which arrow's Take (v18.8.0) lets offsets overflow
			take = func() (arrow.Array, error) { return textsOf(a) }
		}
		values, err := take()
		if err != nil {
			return nil, err
		}
		defer values.Release()
		return conformArray(ctx, values, to)
	}
	switch to := to.(type) {
	case arrow.ExtensionType:
		return conformExtension(ctx, a, to)
	case *arrow.StructType:
		if s, ok := a.(*array.Struct); ok {
			return conformStruct(ctx, s, to)
		}
	case *arrow.MapType:
		if m, ok := a.(*array.Map); ok {
			return conformMap(ctx, m, to)
		}
	case *arrow.ListType:
		switch a := a.(type) {
		case *array.List:
			return conformList(ctx, a, to)
		case *array.LargeList, *array.FixedSizeList:
			plain, err := castArray(ctx, a, arrow.ListOfField(a.DataType().(arrow.ListLikeType).ElemField()))
			if err != nil {
				return nil, err
			}
			defer plain.Release()
			return conformList(ctx, plain.(*array.List), to)
		}
	case *arrow.TimestampType:
		if f, ok := from.(*arrow.TimestampType); ok && f.Unit == to.Unit && (f.TimeZone == "") == (to.TimeZone == "") {
			return retype(a, to), nil // any zone names the same instants
		}
	}
	if ext, ok := a.(array.ExtensionArray); ok && arrow.TypeEqual(ext.Storage().DataType(), to) {
		ext.Storage().Retain()
		return ext.Storage(), nil
	}
	if arrow.TypeEqual(from, to) {
		return retype(a, to), nil
	}
	if !widens(from, to) {
		return nil, fmt.Errorf("type %s cannot be written as %s", from, to)
	}
	return castArray(ctx, a, to)
}

func castArray(ctx context.Context, a arrow.Array, to arrow.DataType) (arrow.Array, error) {
	return compute.CastArray(ctx, a, compute.SafeCastOptions(to))
}

// widens says whether every value of from is one of to.
func widens(from, to arrow.DataType) bool {
	switch to.ID() {
	case arrow.INT32:
		switch from.ID() {
		case arrow.INT8, arrow.INT16, arrow.UINT8, arrow.UINT16:
			return true
		}
	case arrow.INT64:
		switch from.ID() {
		case arrow.INT8, arrow.INT16, arrow.INT32, arrow.UINT8, arrow.UINT16, arrow.UINT32:
			return true
		}
	case arrow.FLOAT32:
		return from.ID() == arrow.FLOAT16
	case arrow.FLOAT64:
		return from.ID() == arrow.FLOAT32 || from.ID() == arrow.FLOAT16
	case arrow.STRING:
		return from.ID() == arrow.LARGE_STRING || from.ID() == arrow.STRING_VIEW
	case arrow.BINARY:
		switch from.ID() {
		case arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.FIXED_SIZE_BINARY, arrow.STRING:
			return true
		}
	case arrow.DATE32:
		return from.ID() == arrow.DATE64
	case arrow.TIME64:
		return from.ID() == arrow.TIME32
	case arrow.DECIMAL128:
		f, isDecimal := from.(arrow.DecimalType)
		t := to.(arrow.DecimalType)
		return isDecimal && f.GetScale() <= t.GetScale() && f.GetPrecision()-f.GetScale() <= t.GetPrecision()-t.GetScale()
	case arrow.TIMESTAMP:
		// The units are in order of size; a cast to a finer one that overflows is the cast's error.
		f, isTimestamp := from.(*arrow.TimestampType)
		t := to.(*arrow.TimestampType)
		return isTimestamp && f.Unit <= t.Unit && (f.TimeZone == "") == (t.TimeZone == "")
	}
	return false
}

// retype gives the same values another type of the same layout.
func retype(a arrow.Array, to arrow.DataType) arrow.Array {
	d := a.Data()
	out := array.NewData(to, d.Len(), d.Buffers(), d.Children(), d.NullN(), d.Offset())
	defer out.Release()
	return array.MakeFromData(out)
}

func conformExtension(ctx context.Context, a arrow.Array, to arrow.ExtensionType) (arrow.Array, error) {
	if ext, ok := a.(array.ExtensionArray); ok {
		if !to.ExtensionEquals(ext.ExtensionType()) {
			return nil, fmt.Errorf("type %s cannot be written as %s", a.DataType(), to)
		}
		a = ext.Storage()
	}
	storage, err := conformArray(ctx, a, to.StorageType())
	if err != nil {
		return nil, err
	}
	defer storage.Release()
	return array.NewExtensionArrayWithStorage(to, storage), nil
}

// conformStruct matches fields by name, since a source may order them otherwise.
func conformStruct(ctx context.Context, s *array.Struct, to *arrow.StructType) (arrow.Array, error) {
	from := s.DataType().(*arrow.StructType)
	fields := make([]arrow.Array, 0, to.NumFields())
	defer func() { releaseAll(fields) }()
	for _, f := range to.Fields() {
		i, ok := from.FieldIdx(f.Name)
		if !ok {
			if !f.Nullable {
				return nil, fmt.Errorf("required field %s is absent", f.Name)
			}
			fields = append(fields, array.MakeArrayOfNull(allocator, f.Type, s.Len()))
			continue
		}
		c, err := conformArray(ctx, s.Field(i), f.Type)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		fields = append(fields, c)
	}
	for _, f := range from.Fields() {
		if _, ok := to.FieldIdx(f.Name); !ok {
			return nil, fmt.Errorf("field %s is not in the table", f.Name)
		}
	}
	return structOf(to, s, fields), nil
}

// cutValidity is an array's validity bitmap from its own first value on; nil when no value is null.
func cutValidity(a arrow.Array) *memory.Buffer {
	if a.NullN() == 0 {
		return nil
	}
	buf := memory.NewResizableBuffer(allocator)
	buf.Resize((a.Len() + 7) / 8)
	bits := buf.Bytes()
	clear(bits)
	for i := range a.Len() {
		if a.IsValid(i) {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return buf
}

func conformList(ctx context.Context, l *array.List, to *arrow.ListType) (arrow.Array, error) {
	values, err := conformArray(ctx, l.ListValues(), to.Elem())
	if err != nil {
		return nil, fmt.Errorf("element: %w", err)
	}
	defer values.Release()
	return listOf(to, l, values.Data()), nil
}

func conformMap(ctx context.Context, m *array.Map, to *arrow.MapType) (arrow.Array, error) {
	keys, err := conformArray(ctx, m.Keys(), to.KeyType())
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	defer keys.Release()
	items, err := conformArray(ctx, m.Items(), to.ItemType())
	if err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	defer items.Release()
	entries := array.NewData(to.Elem(), keys.Len(), []*memory.Buffer{nil}, []arrow.ArrayData{keys.Data(), items.Data()}, 0, 0)
	defer entries.Release()
	return listOf(to, m, entries), nil
}

// nullInRequired finds a null in a required field. Below a null value nothing is required: live says which values of a count.
func nullInRequired(path string, f arrow.Field, a arrow.Array, live func(int) bool) (string, bool) {
	if !f.Nullable && a.NullN() > 0 {
		for i := range a.Len() {
			if a.IsNull(i) && (live == nil || live(i)) {
				return path, false
			}
		}
	}
	alive := func(i int) bool { return a.IsValid(i) && (live == nil || live(i)) }
	switch t := f.Type.(type) {
	case *arrow.StructType:
		for i, child := range t.Fields() {
			if p, ok := nullInRequired(path+"."+child.Name, child, a.(*array.Struct).Field(i), alive); !ok {
				return p, false
			}
		}
	case *arrow.MapType:
		m := a.(*array.Map)
		reached := reachable(m.Keys().Len(), m.Len(), m.Offsets(), m.Data().Offset(), alive)
		if p, ok := nullInRequired(path+".key", t.KeyField(), m.Keys(), reached); !ok {
			return p, false
		}
		return nullInRequired(path+".value", t.ItemField(), m.Items(), reached)
	case *arrow.ListType:
		l := a.(*array.List)
		return nullInRequired(path+".element", t.ElemField(), l.ListValues(), reachable(l.ListValues().Len(), l.Len(), l.Offsets(), l.Data().Offset(), alive))
	}
	return "", true
}

// reachable says which child values of a list lie in a list that is alive. It is worked out only when asked.
func reachable(children, lists int, offsets []int32, first int, alive func(int) bool) func(int) bool {
	var marks []bool
	return func(child int) bool {
		if marks == nil {
			marks = make([]bool, children)
			for i := range lists {
				if alive(i) {
					for c := offsets[first+i]; c < offsets[first+i+1]; c++ {
						marks[c] = true
					}
				}
			}
		}
		return marks[child]
	}
}
