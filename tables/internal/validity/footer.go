package validity

import (
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

func chunkStart(c *format.ColumnMetaData) int64 {
	if c.DictionaryPageOffset > 0 && c.DictionaryPageOffset < c.DataPageOffset {
		return c.DictionaryPageOffset
	}
	return c.DataPageOffset
}

// footer checks a Parquet file in itself: that its chunks do not overlap, and that its statistics, page indexes and Bloom
// filters are of the values that are there. Row groups may have been carried over from another file as bytes.
func (k *check) footer(f *file, name string) {
	meta := f.parsed.Metadata()
	type span struct{ from, to int64 }
	var spans []span
	rows := int64(0)
	for g, group := range meta.RowGroups {
		rows += group.NumRows
		compressed := int64(0)
		for c := range group.Columns {
			m := &group.Columns[c].MetaData
			spans = append(spans, span{chunkStart(m), chunkStart(m) + m.TotalCompressedSize})
			compressed += m.TotalCompressedSize
			if m.NumValues != int64(len(f.groups[g][c].values)) {
				k.problem("%s: row group %d: column %s says %d values and has %d", name, g, f.leaves[c].path, m.NumValues, len(f.groups[g][c].values))
			}
			k.chunk(f, name, g, c)
		}
		if group.TotalCompressedSize != 0 {
			equal(k, name+": compressed size of a row group", group.TotalCompressedSize, compressed)
		}
	}
	equal(k, name+": number of rows in the footer", meta.NumRows, rows)
	slices.SortFunc(spans, func(a, b span) int { return int(a.from - b.from) })
	for i, s := range spans {
		if s.from < 4 || s.to > f.size-8 || i > 0 && s.from < spans[i-1].to {
			k.problem("%s: a column chunk lies from byte %d to %d, over another or outside of the file", name, s.from, s.to)
		}
	}
}

func (k *check) chunk(f *file, name string, g, c int) {
	l, values := f.leaves[c], f.groups[g][c]
	m := &f.parsed.Metadata().RowGroups[g].Columns[c].MetaData
	where := name + ": column " + l.path
	for _, bound := range []struct {
		bytes []byte
		upper bool
	}{{m.Statistics.MinValue, false}, {m.Statistics.MaxValue, true}} {
		if bound.bytes == nil {
			continue
		}
		k.within(where+": row group", l, values.values, bound.bytes, bound.upper)
	}
	chunk := f.parsed.RowGroups()[g].ColumnChunks()[c].(*parquet.FileColumnChunk)
	if filter := chunk.BloomFilter(); filter != nil {
		k.bloom(where, chunk, filter)
	}
	at := g*len(f.leaves) + c
	if indexes := f.parsed.ColumnIndexes(); at < len(indexes) && len(indexes[at].NullPages) > 0 {
		k.pages(where, f, l, values, &indexes[at], at)
	}
}

func (k *check) within(where string, l leaf, values []any, bound []byte, upper bool) {
	limit, err := l.statistic(bound)
	if err != nil {
		k.problem("%s: bound: %w", where, err)
		return
	}
	if isNaN(limit) {
		k.problem("%s: NaN is no bound", where)
	}
	if v, out := outside(values, limit, upper); out {
		k.problem("%s: bound %v excludes %v", where, limit, v)
	}
}

// pages checks the bounds, null counts and first rows of each page.
func (k *check) pages(where string, f *file, l leaf, values column, index *format.ColumnIndex, at int) {
	offsets := f.parsed.OffsetIndexes()
	if len(index.NullPages) != len(values.pages) || at >= len(offsets) || len(offsets[at].PageLocations) != len(values.pages) {
		k.problem("%s: %d pages, and %d in the index", where, len(values.pages), len(index.NullPages))
		return
	}
	from, row := 0, int64(0)
	for p, to := range values.pages {
		page := values.values[from:to]
		nulls := int64(0)
		for _, v := range page {
			if v == nil {
				nulls++
			}
		}
		equal(k, where+": null page", index.NullPages[p], nulls == int64(len(page)))
		if len(index.NullCounts) > 0 {
			equal(k, where+": null count of a page", index.NullCounts[p], nulls)
		}
		if !index.NullPages[p] {
			k.within(where+": page", l, page, index.MinValues[p], false)
			k.within(where+": page", l, page, index.MaxValues[p], true)
		}
		equal(k, where+": first row of a page", offsets[at].PageLocations[p].FirstRowIndex, row)
		from, row = to, row+values.rows[p]
	}
}

func (k *check) bloom(where string, chunk *parquet.FileColumnChunk, filter parquet.BloomFilter) {
	pages := chunk.Pages()
	defer func() { _ = pages.Close() }()
	for {
		page, err := pages.ReadPage()
		if err != nil {
			return
		}
		values := make([]parquet.Value, page.NumValues())
		n, _ := page.Values().ReadValues(values)
		for _, v := range values[:n] {
			if v.IsNull() {
				continue
			}
			if found, err := filter.Check(v); err != nil || !found {
				k.problem("%s: the Bloom filter lacks %v (%v)", where, v, err)
				return
			}
		}
	}
}
