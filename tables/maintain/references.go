package maintain

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// references are the files that a table names, as digests of their paths: eight bytes a file, whatever there are. Two
// files with one digest are taken for one, so that the other is kept though nothing names it.
type references struct {
	places *places
	seed   maphash.Seed
	known  []uint64
	sorted int // so many of them are, and are there once
}

func newReferences(p *places) *references { return &references{places: p, seed: maphash.MakeSeed()} }

// digest leaves the store out: what differs in it alone is taken for the same file.
func (r *references) digest(p place) uint64 { return maphash.String(r.seed, p.path) }

func (r *references) add(uri string) {
	r.known = append(r.known, r.digest(r.places.of(uri)))
	if len(r.known) > 2*r.sorted+1<<20 { // a file is named by many manifests over its life
		r.seal()
	}
}

func (r *references) seal() {
	slices.Sort(r.known)
	r.known = slices.Compact(r.known)
	r.sorted = len(r.known)
}

// has is for after seal.
func (r *references) has(p place) bool {
	_, found := slices.BinarySearch(r.known, r.digest(p))
	return found
}

// collect adds all that the table's metadata names: itself and its log, statistics, and of every snapshot, of whichever
// branch or tag, the manifest list, the manifests and the files that are live in them.
func (r *references) collect(ctx context.Context, t *table.Table, files iceio.IO) error {
	meta := t.Metadata()
	r.add(t.MetadataLocation())
	for entry := range meta.PreviousFiles() {
		r.add(entry.MetadataFile)
	}
	for s := range meta.Statistics() {
		r.add(s.StatisticsPath)
	}
	for s := range meta.PartitionStatistics() {
		r.add(s.StatisticsPath)
	}
	manifests := map[string]bool{}
	for _, s := range meta.Snapshots() {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.add(s.ManifestList)
		of, err := s.Manifests(files)
		if err != nil {
			return fmt.Errorf("manifests of snapshot %d: %w", s.SnapshotID, err)
		}
		for _, m := range of {
			if manifests[m.FilePath()] {
				continue
			}
			manifests[m.FilePath()] = true
			if err := r.manifest(ctx, m, files); err != nil {
				return err
			}
		}
	}
	r.seal()
	return nil
}

func (r *references) manifest(ctx context.Context, m iceberg.ManifestFile, files iceio.IO) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.add(m.FilePath())
	for entry, err := range m.Entries(files, true) {
		if err != nil {
			return fmt.Errorf("manifest %s: %w", m.FilePath(), err)
		}
		r.add(entry.DataFile().FilePath())
	}
	return nil
}
