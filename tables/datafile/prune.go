package datafile

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
)

// pruner finds the rows of a row group that a filter may hold for, by statistics, Bloom filters and page indexes. All of these
// are hints: what cannot be read of them prunes nothing.
type pruner struct {
	source *source
	footer *footer
	reader *file.Reader                 // for its page index; nil asks none
	leaves map[int]*pqarrow.SchemaField // by field id, those of whose rows each has at most one value
	group  int
	whole  []span // all rows of the group, counted from its first
}

// leavesByID are the file's leaves outside of lists and maps.
func (p *projector) leavesByID() map[int]*pqarrow.SchemaField {
	out := map[int]*pqarrow.SchemaField{}
	var walk func(f *pqarrow.SchemaField)
	walk = func(f *pqarrow.SchemaField) {
		if f.IsLeaf() {
			out[p.ids[f]] = f
		}
		if _, ok := f.Field.Type.(*arrow.StructType); ok {
			for i := range f.Children {
				walk(&f.Children[i])
			}
		}
	}
	for i := range p.manifest.Fields {
		walk(&p.manifest.Fields[i])
	}
	delete(out, -1)
	delete(out, iceberg.RowIDFieldID) // nulls of these are values
	delete(out, iceberg.LastUpdatedSequenceNumberFieldID)
	return out
}

func (p *pruner) spans(n *filterNode) []span {
	switch n.op {
	case iceberg.OpTrue:
		return p.whole
	case iceberg.OpFalse:
		return nil
	case iceberg.OpAnd:
		left := p.spans(n.left)
		if len(left) == 0 {
			return nil
		}
		return intersect(left, p.spans(n.right))
	case iceberg.OpOr:
		return union(p.spans(n.left), p.spans(n.right))
	}
	leaf, ok := p.leaves[n.leaf.field.ID]
	if !ok {
		return p.whole // absent: its value is a constant, for the exact filter to see
	}
	return p.compare(n.leaf, leaf)
}

func (p *pruner) compare(c *comparison, leaf *pqarrow.SchemaField) (spans []span) {
	defer func() {
		if recover() != nil { // hints of hostile files
			spans = p.whole
		}
	}()
	chunk, err := p.footer.meta.RowGroup(p.group).ColumnChunk(leaf.ColIndex)
	if err != nil {
		return p.whole
	}
	// Some writers leave one side out when it is too long, and arrow-go takes it for empty then.
	raw := p.footer.meta.RowGroups[p.group].Columns[leaf.ColIndex].MetaData.Statistics
	whole := raw != nil && (raw.MinValue == nil) == (raw.MaxValue == nil)
	if b := chunkBounds(c, leaf, chunk); whole && b != nil && !b.mayMatch(c, 0) {
		return nil
	}
	if !p.bloomMayMatch(c, leaf, chunk) {
		p.source.count(func(c *Counters) { c.BloomNegatives.Add(1) })
		return nil
	}
	if p.reader == nil {
		return p.whole
	}
	return p.pages(c, leaf, chunk.Type())
}

// bounds are minima and maxima of pages, or of one chunk, in the table's type; null where a page has none.
type bounds struct {
	single   bool // each page has one value
	min, max arrow.Array
	nulls    []int64 // nil when not known
	allNull  []bool
	noNaN    []bool // of which it is known that they have none; nil of none
}

func chunkBounds(c *comparison, leaf *pqarrow.SchemaField, chunk *metadata.ColumnChunkMetaData) *bounds {
	stats, err := chunk.Statistics()
	if err != nil || stats == nil {
		return nil
	}
	b := &bounds{allNull: []bool{false}}
	if stats.HasNullCount() {
		b.nulls = []int64{stats.NullCount()}
		b.allNull[0] = stats.NullCount() == chunk.NumValues()
	}
	var low, high []byte
	if stats.HasMinMax() {
		low, high = stats.EncodeMin(), stats.EncodeMax()
		if low == nil {
			low = []byte{}
		}
		if high == nil {
			high = []byte{}
		}
	}
	if !b.decode(c, leaf, chunk.Type(), [][]byte{low}, [][]byte{high}) {
		return nil
	}
	return b
}

// decode reads plain-encoded bounds as the table's type.
func (b *bounds) decode(c *comparison, leaf *pqarrow.SchemaField, physical parquet.Type, low, high [][]byte) bool {
	for _, side := range []struct {
		raw [][]byte
		to  *arrow.Array
	}{{low, &b.min}, {high, &b.max}} {
		plain, err := plainArray(leaf.Field.Type, physical, side.raw)
		if err != nil {
			return false
		}
		typed, err := promote(background, plain, c.arrow)
		if err != nil {
			return false
		}
		*side.to = typed
	}
	return true
}

// mayMatch says whether a page may hold a value that a comparison is true for.
func (b *bounds) mayMatch(c *comparison, page int) bool { return b.matcher(c)(page) }

// matcher is mayMatch for many pages.
func (b *bounds) matcher(c *comparison) func(page int) bool {
	switch c.op {
	case iceberg.OpIsNull:
		return func(page int) bool { return b.nulls == nil || b.nulls[page] != 0 }
	case iceberg.OpNEQ, iceberg.OpNotIn:
		other := b.other(c)
		return func(page int) bool { return !b.allNull[page] && other(page) }
	case iceberg.OpIsNan:
		return func(page int) bool { return !b.allNull[page] && (b.noNaN == nil || !b.noNaN[page]) }
	case iceberg.OpNotNan, iceberg.OpNotNull, iceberg.OpNotStartsWith:
		return func(page int) bool { return !b.allNull[page] }
	}
	within := b.within(c)
	return func(page int) bool {
		if b.allNull[page] {
			return false
		}
		return b.min.IsNull(page) || b.max.IsNull(page) || within(page)
	}
}

// other says whether a page may have another value than the one, or those, that a comparison excludes: it has not if it has one value
// alone, as a file in its partition, which is one of them.
func (b *bounds) other(c *comparison) func(page int) bool {
	if !b.single || float64At(b.min) != nil {
		return func(int) bool { return true }
	}
	constants := c.constant
	if c.op == iceberg.OpNotIn {
		constants = c.members
	}
	low, high := compareWith(b.min, constants), compareWith(b.max, constants)
	return func(page int) bool {
		if b.min.IsNull(page) || b.max.IsNull(page) {
			return true
		}
		for i := range constants.Len() {
			if low(page, i) == 0 && high(page, i) == 0 {
				return false
			}
		}
		return true
	}
}

// within says whether the bounds of a page, which are known, leave room for a value that a comparison is true for.
func (b *bounds) within(c *comparison) func(page int) bool {
	if c.op == iceberg.OpStartsWith {
		prefix, low, high := bytesAt(c.constant)(0), bytesAt(b.min), bytesAt(b.max)
		cut := func(v []byte) string { return string(v[:min(len(v), len(prefix))]) }
		return func(page int) bool {
			return cut(low(page)) <= string(prefix) && cut(high(page)) >= string(prefix) || bytes.Compare(low(page), high(page)) > 0
		}
	}
	constants := c.constant
	if c.op == iceberg.OpIn {
		constants = c.members
	}
	disorder := b.disorder()
	below, above := compareWith(b.min, constants), compareWith(b.max, constants)
	return func(page int) bool {
		if disorder(page) {
			return true
		}
		for i := range constants.Len() {
			low, high := below(page, i), above(page, i)
			switch c.op {
			case iceberg.OpLT, iceberg.OpLTEQ:
				return holds(c.op, low)
			case iceberg.OpGT, iceberg.OpGTEQ:
				return holds(c.op, high)
			}
			if low <= 0 && high >= 0 {
				return true
			}
		}
		return false
	}
}

// disorder tells bounds that bound nothing: those with a NaN, whose writer did not bound the rest, and those whose lower one is
// the greater, as of writers that order UUIDs as signed numbers.
func (b *bounds) disorder() func(page int) bool {
	order := compareWith(b.min, b.max)
	if low, high := float64At(b.min), float64At(b.max); low != nil {
		return func(page int) bool {
			return low(page) != low(page) || high(page) != high(page) || order(page, page) > 0
		}
	}
	return func(page int) bool { return order(page, page) > 0 }
}

// pages are the spans of the pages that may match, by the page index.
func (p *pruner) pages(c *comparison, leaf *pqarrow.SchemaField, physical parquet.Type) []span {
	group, err := p.reader.GetPageIndexReader().RowGroup(p.group)
	if err != nil || group == nil {
		return p.whole
	}
	offsets, err := group.GetOffsetIndex(leaf.ColIndex)
	if err != nil || offsets == nil {
		return p.whole
	}
	index, err := group.GetColumnIndex(leaf.ColIndex)
	if err != nil || index == nil {
		return p.whole
	}
	locations, null := offsets.GetPageLocations(), index.GetNullPages()
	low, high := index.GetMinValues(), index.GetMaxValues()
	if len(null) != len(locations) || len(low) != len(null) || len(high) != len(null) {
		return p.whole
	}
	b := &bounds{allNull: null}
	if index.IsSetNullCounts() && len(index.GetNullCounts()) == len(null) {
		b.nulls = index.GetNullCounts()
	}
	lows, highs := make([][]byte, len(null)), make([][]byte, len(null))
	for i := range null {
		if !null[i] {
			lows[i], highs[i] = orEmpty(low[i]), orEmpty(high[i])
		}
	}
	if !b.decode(c, leaf, physical, lows, highs) {
		return p.whole
	}
	var out []span
	rows := p.whole[0].to
	may, kept := b.matcher(c), 0
	for i, l := range locations {
		end := rows
		if i+1 < len(locations) {
			end = locations[i+1].FirstRowIndex
		}
		if l.FirstRowIndex < 0 || end > rows || l.FirstRowIndex > end {
			return p.whole
		}
		if may(i) {
			out = union(out, []span{{l.FirstRowIndex, end}})
			kept++
		}
	}
	p.source.count(func(c *Counters) {
		c.Pages.Add(int64(len(locations)))
		c.PagesPruned.Add(int64(len(locations) - kept))
	})
	return out
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// plainArray makes an array of a file's type from values in Parquet's plain encoding; nil is null.
func plainArray(t arrow.DataType, physical parquet.Type, values [][]byte) (arrow.Array, error) {
	if ext, ok := t.(arrow.ExtensionType); ok {
		storage, err := plainArray(ext.StorageType(), physical, values)
		if err != nil {
			return nil, err
		}
		return array.NewExtensionArrayWithStorage(ext, storage), nil
	}
	b := array.NewBuilder(allocator, t)
	defer b.Release()
	for _, v := range values {
		if v == nil {
			b.AppendNull()
			continue
		}
		if err := appendPlain(b, v, physical); err != nil {
			return nil, err
		}
	}
	return b.NewArray(), nil
}

func appendPlain(b array.Builder, v []byte, physical parquet.Type) error {
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(string(v))
		return nil
	case *array.BinaryBuilder:
		b.Append(v)
		return nil
	case *array.FixedSizeBinaryBuilder:
		if len(v) == b.Type().(*arrow.FixedSizeBinaryType).ByteWidth {
			b.Append(v)
			return nil
		}
	case *array.Decimal128Builder:
		return appendPlainDecimal(b, v, physical)
	case *array.BooleanBuilder:
		if len(v) == 1 {
			b.Append(v[0] != 0)
			return nil
		}
	}
	switch len(v) {
	case 4:
		return appendPlain32(b, binary.LittleEndian.Uint32(v))
	case 8:
		return appendPlain64(b, binary.LittleEndian.Uint64(v))
	}
	return fmt.Errorf("bound of %d bytes for type %s", len(v), b.Type())
}
