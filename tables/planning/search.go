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
	known   map[string]Listing // by the manifest's path, which never is another's
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
	return &Search{planner: p, known: map[string]Listing{}}, nil
}

// Listing is what manifests of data files list that a filter does not exclude by what they say of the files: their partition, bounds,
// and counts.
type Listing struct {
	Live    []iceberg.DataFile // that may hold a row for which the filter holds
	Removed []iceberg.DataFile // those that the manifests say were removed
}

// In looks through manifests, at each once, and lists what it finds in their order. Manifests of deletes are passed over.
func (s *Search) In(ctx context.Context, manifests []iceberg.ManifestFile) (out Listing, err error) {
	found := make([]Listing, len(manifests))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, m := range manifests {
		if m.ManifestContent() != iceberg.ManifestContentData {
			continue
		}
		g.Go(func() (err error) {
			found[i], err = s.one(ctx, m)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Listing{}, err
	}
	for _, l := range found {
		out.Live, out.Removed = append(out.Live, l.Live...), append(out.Removed, l.Removed...)
	}
	return out, nil
}

func (s *Search) one(ctx context.Context, m iceberg.ManifestFile) (out Listing, err error) {
	s.mu.Lock()
	out, ok := s.known[m.FilePath()]
	s.mu.Unlock()
	if ok {
		return out, nil
	}
	partition, err := s.planner.filter.partition(s.planner.meta, m.PartitionSpecID())
	if err != nil {
		return Listing{}, err
	}
	if partition.manifests([]iceberg.ManifestFile{m})[0] {
		if out, err = s.read(ctx, m); err != nil {
			return Listing{}, fmt.Errorf("manifest %s: %w", m.FilePath(), err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(out.Live) + len(out.Removed); s.held+n <= maxRemembered {
		s.known[m.FilePath()], s.held = out, s.held+n
	}
	return out, nil
}

func (s *Search) read(ctx context.Context, m iceberg.ManifestFile) (out Listing, err error) {
	raw, err := s.planner.read(m.FilePath())
	if err == nil && (m.AddedDataFiles() != 0 || m.ExistingDataFiles() != 0) {
		out.Live, err = s.readLive(ctx, m, raw)
	}
	if err == nil && m.DeletedDataFiles() != 0 {
		out.Removed, err = s.readRemoved(ctx, m, raw)
	}
	return out, err
}

func (s *Search) readLive(ctx context.Context, m iceberg.ManifestFile, raw []byte) (out []iceberg.DataFile, err error) {
	err = s.planner.piecesOf(ctx, m, raw, func(piece *listed) error {
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
func (s *Search) readRemoved(ctx context.Context, m iceberg.ManifestFile, raw []byte) ([]iceberg.DataFile, error) {
	return protected(func() (out []iceberg.DataFile, err error) {
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
