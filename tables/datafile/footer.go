package datafile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/varve-lake/varve/tables/cache"
)

// footer is what a data file's footer says. It is shared by all readers of the file and does not change, but for what they find
// out of where Bloom filters lie.
type footer struct {
	meta   *metadata.FileMetaData
	data   []span // bytes that hold rows
	blooms sync.Map
}

// readFooter reads the footer, by way of the cache.
func (s *source) readFooter() (*footer, error) {
	key := fmt.Sprintf("footer %s %d", s.uri, s.size)
	found, err := cache.Value(s.ctx, s.cache, key, func(context.Context) (*footer, int64, error) {
		out, err := s.parseFooter()
		if err != nil && s.remote && s.resized() {
			out, err = s.parseFooter()
		}
		if err != nil {
			return nil, 0, err
		}
		columns := 0
		for _, g := range out.meta.RowGroups {
			columns += len(g.Columns)
		}
		return out, int64(columns)*1200 + int64(out.meta.Schema.NumColumns())*800, nil
	})
	if err == nil && s.remote {
		s.size = found.meta.GetSourceFileSize() // which the manifest may have had wrong
	}
	return found, err
}

func (s *source) parseFooter() (out *footer, err error) {
	err = protect(func() error {
		r, err := file.NewParquetReader(s, file.WithReadProps(parquet.NewReaderProperties(allocator)))
		if err != nil {
			return err
		}
		out = &footer{meta: r.MetaData()}
		// The types are Parquet's; an Arrow schema that some writer left in the footer would only disguise them.
		out.meta.FileMetaData.KeyValueMetadata = nil
		out.data = dataSpans(out.meta)
		return nil
	})
	return out, err
}

// resized looks at the file for its size, and says whether it is another than the manifest said.
func (s *source) resized() bool {
	f, err := s.fs.Open(s.uri)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == s.size {
		return false
	}
	_ = s.Close()
	s.size = info.Size()
	return true
}

// dataSpans are the bytes of column chunks, joined where they touch.
func dataSpans(meta *metadata.FileMetaData) []span {
	var all []span
	for _, g := range meta.RowGroups {
		for _, c := range g.Columns {
			m := c.MetaData
			if m == nil {
				continue
			}
			from := m.DataPageOffset
			if m.DictionaryPageOffset != nil && *m.DictionaryPageOffset > 0 {
				from = min(from, *m.DictionaryPageOffset)
			}
			if m.TotalCompressedSize > 0 && from >= 0 {
				all = append(all, span{from, from + m.TotalCompressedSize})
			}
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	return join(all, 0)
}

// MayHold says whether a data file may hold a row that passes a filter, by the statistics and Bloom filters of its row groups. It
// reads the footer, and of each Bloom filter asked one block. What cannot be read leaves the file in: whoever reads it says why.
func MayHold(ctx context.Context, fs iceio.IO, df iceberg.DataFile, opts ReadOptions) bool {
	if df.FileFormat() != iceberg.ParquetFile {
		return true
	}
	f, err := bindFilter(opts.Schema, opts.Filter)
	if err != nil || f == nil {
		return true
	}
	src := newSource(ctx, fs, df, opts)
	defer src.Close()
	foot, err := src.readFooter()
	if err != nil {
		return true
	}
	src.data = foot.data
	may := true
	err = protect(func() error {
		manifest, err := pqarrow.NewSchemaManifest(foot.meta.Schema, nil, &pqarrow.ArrowReadProperties{})
		if err != nil {
			return err
		}
		p, err := newProjector(manifest, opts.NameMapping, nil)
		if err != nil {
			return err
		}
		leaves := p.leavesByID()
		may = len(foot.meta.RowGroups) == 0
		for g := range foot.meta.RowGroups {
			whole := span{0, foot.meta.RowGroup(g).NumRows()}
			p := &pruner{source: src, footer: foot, leaves: leaves, group: g, whole: []span{whole}}
			if len(p.spans(f.root)) > 0 {
				may = true
				break
			}
		}
		return nil
	})
	if may = may || err != nil; !may {
		src.count(func(c *Counters) {
			c.FilesPruned.Add(1)
			c.RowGroups.Add(int64(len(foot.meta.RowGroups)))
			c.RowGroupsPruned.Add(int64(len(foot.meta.RowGroups)))
		})
	}
	return may
}
