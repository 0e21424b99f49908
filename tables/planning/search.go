package planning

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables/datafile"
)

// maxRemembered is how many descriptions of files a Search keeps, some kilobytes each. Manifests beyond are read again for each
// snapshot that names them.
const maxRemembered = 50_000

// Search looks for files that a filter leaves in many snapshots of a table. Snapshots share most of their manifests, each of which
// is read once.
type Search struct {
	planner *planner
	mu      sync.Mutex
	known   map[string][]iceberg.DataFile // by the manifest's path, which never is another's
	held    int
}

// NewSearch is for a filter over the columns of a schema.
func NewSearch(meta table.Metadata, fs iceio.IO, schema *iceberg.Schema, filter iceberg.BooleanExpression) (*Search, error) {
	p, err := newPlanner(meta, fs, Options{Schema: schema, Filter: filter, Described: true})
	if err != nil {
		return nil, err
	}
	for _, spec := range meta.PartitionSpecs() { // made before anything runs in parallel
		if _, err := p.filter.partition(meta, int32(spec.ID())); err != nil {
			return nil, err
		}
	}
	return &Search{planner: p, known: map[string][]iceberg.DataFile{}}, nil
}

// Live are the live files of some manifests of data files that may hold a row for which the filter holds, in their order.
func (s *Search) Live(ctx context.Context, manifests []iceberg.ManifestFile) ([]iceberg.DataFile, error) {
	return s.in(ctx, manifests, "live", func(m iceberg.ManifestFile) bool { return m.AddedDataFiles() != 0 || m.ExistingDataFiles() != 0 })
}

// Removed are those of which some manifests say that they were removed, and which the filter does not exclude by what is said of
// them: their partition, bounds, and counts.
func (s *Search) Removed(ctx context.Context, manifests []iceberg.ManifestFile) ([]iceberg.DataFile, error) {
	return s.in(ctx, manifests, "removed", func(m iceberg.ManifestFile) bool { return m.DeletedDataFiles() != 0 })
}

func (s *Search) in(ctx context.Context, manifests []iceberg.ManifestFile, kind string, some func(iceberg.ManifestFile) bool) ([]iceberg.DataFile, error) {
	found := make([][]iceberg.DataFile, len(manifests))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, m := range manifests {
		if m.ManifestContent() != iceberg.ManifestContentData || !some(m) {
			continue
		}
		g.Go(func() (err error) {
			found[i], err = s.one(ctx, m, kind)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []iceberg.DataFile
	for _, files := range found {
		out = append(out, files...)
	}
	return out, nil
}

func (s *Search) one(ctx context.Context, m iceberg.ManifestFile, kind string) ([]iceberg.DataFile, error) {
	key := kind + " " + m.FilePath()
	s.mu.Lock()
	files, ok := s.known[key]
	s.mu.Unlock()
	if ok {
		return files, nil
	}
	partition, err := s.planner.filter.partition(s.planner.meta, m.PartitionSpecID())
	if err != nil {
		return nil, err
	}
	if partition.manifests([]iceberg.ManifestFile{m})[0] {
		if files, err = s.read(ctx, m, kind == "live"); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held+len(files) <= maxRemembered {
		s.known[key], s.held = files, s.held+len(files)
	}
	return files, nil
}

func (s *Search) read(ctx context.Context, m iceberg.ManifestFile, live bool) (out []iceberg.DataFile, err error) {
	if !live {
		return s.readRemoved(ctx, m)
	}
	err = s.planner.pieces(ctx, m, func(piece *listed) error {
		among := make([]bool, piece.len())
		for i := range among {
			among[i] = true
		}
		keep, err := s.planner.holds(s.planner.filter, piece, among)
		if err != nil {
			return err
		}
		for i, k := range keep {
			if !k {
				continue
			}
			one, err := piece.file(i)
			if err != nil {
				return err
			}
			out = append(out, one.data)
		}
		return ctx.Err()
	})
	return out, err
}

// readRemoved takes the entries of a manifest that say that a file was removed, one at a time: they are few.
func (s *Search) readRemoved(ctx context.Context, m iceberg.ManifestFile) ([]iceberg.DataFile, error) {
	raw, err := s.planner.read(m.FilePath())
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", m.FilePath(), err)
	}
	out, err := protected(func() (out []iceberg.DataFile, err error) {
		r, err := iceberg.NewManifestReader(m, bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		for {
			entry, err := r.ReadEntry()
			if errors.Is(err, io.EOF) {
				return out, ctx.Err()
			}
			if err != nil {
				return nil, err
			}
			if entry.Status() != iceberg.EntryStatusDELETED {
				continue
			}
			may, err := s.may(m.PartitionSpecID(), entry.DataFile())
			if err != nil {
				return nil, err
			}
			if may {
				out = append(out, entry.DataFile())
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", m.FilePath(), err)
	}
	return out, nil
}

// may says whether what is said of a file leaves room for a row for which the filter holds.
func (s *Search) may(spec int32, f iceberg.DataFile) (bool, error) {
	partition, err := s.planner.filter.partition(s.planner.meta, spec)
	if err != nil {
		return false, err
	}
	keep := []bool{true}
	partition.condition.Narrow(keep, func(field iceberg.NestedField) *datafile.Bounds {
		v, known := f.Partition()[field.ID]
		if !known {
			return nil
		}
		return datafile.NewValues(field.Type, []any{v})
	})
	low, high := f.LowerBoundValues(), f.UpperBoundValues()
	s.planner.filter.values.Narrow(keep, func(field iceberg.NestedField) *datafile.Bounds {
		return datafile.NewBounds(field.Type, [][]byte{low[field.ID]}, [][]byte{high[field.ID]}, []int64{-1}, []bool{false})
	})
	return keep[0], nil
}
