package validity

import (
	"errors"
	"fmt"
	"io"
	"slices"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/parquet-go/parquet-go"
)

// file is all that a Parquet file holds, read by parquet-go: another library than the one that wrote it.
type file struct {
	size   int64
	parsed *parquet.File
	leaves []leaf
	// groups has, of each row group, the values of each leaf, page by page.
	groups [][]column
}

// column is the values of a leaf in a row group.
type column struct {
	values []any
	pages  []int // where each page's values end
	rows   []int64
}

func open(fs iceio.IO, uri string) (_ *file, err error) {
	in, err := fs.Open(uri)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	f := &file{size: info.Size()}
	content, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	if f.parsed, err = parquet.OpenFile(readerAt(content), f.size); err != nil {
		return nil, err
	}
	f.leaves = leavesOf(f.parsed.Metadata().Schema)
	for _, g := range f.parsed.RowGroups() {
		var columns []column
		for i, chunk := range g.ColumnChunks() {
			c, err := readChunk(f.leaves[i], chunk)
			if err != nil {
				return nil, fmt.Errorf("column %s: %w", f.leaves[i].path, err)
			}
			columns = append(columns, c)
		}
		f.groups = append(f.groups, columns)
	}
	return f, nil
}

// readerAt is a file in memory.
type readerAt []byte

func (r readerAt) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at >= int64(len(r)) {
		return 0, io.EOF
	}
	n := copy(p, r[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func readChunk(l leaf, chunk parquet.ColumnChunk) (out column, err error) {
	pages := chunk.Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		values := make([]parquet.Value, page.NumValues())
		n, err := page.Values().ReadValues(values)
		if err != nil && !errors.Is(err, io.EOF) {
			return out, err
		}
		rows := int64(0)
		for _, v := range values[:n] {
			if v.RepetitionLevel() == 0 {
				rows++
			}
			out.values = append(out.values, l.scalar(v))
		}
		out.pages, out.rows = append(out.pages, len(out.values)), append(out.rows, rows)
		parquet.Release(page)
	}
}

// leafOf is the place of a field's leaf, or -1.
func (f *file) leafOf(id int) int {
	return slices.IndexFunc(f.leaves, func(l leaf) bool { return l.id == id })
}

// all are the values of a leaf in the whole file; of one that is in no list, one for each row.
func (f *file) all(leaf int) []any {
	var out []any
	for _, g := range f.groups {
		out = append(out, g[leaf].values...)
	}
	return out
}
