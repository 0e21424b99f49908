package planning

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"golang.org/x/sync/errgroup"
)

// maxElsewhere is how many files are looked through where, by the partitions, there should be none of those looked for: some 100 ms.
const maxElsewhere = 20_000

// Elsewhere are the manifests of one kind that list live files, and none of the places. By the specification a delete file of one data
// file is listed in the partition of that; readers go by the path alone, so that a writer who lists it elsewhere is not found out. Where
// rows would come back by that, it is looked for elsewhere too, if that is little: see Few.
func (p *Places) Elsewhere(all []iceberg.ManifestFile, content iceberg.ManifestContent) (out []iceberg.ManifestFile) {
	for i, may := range p.Manifests(all) {
		m := all[i]
		if !may && m.ManifestContent() == content && (m.AddedDataFiles() != 0 || m.ExistingDataFiles() != 0) { // -1 is not known
			out = append(out, m)
		}
	}
	return out
}

// Few says that manifests list so few files that all may be looked through for what should not be there.
func Few(manifests []iceberg.ManifestFile) bool {
	files := int64(0)
	for _, m := range manifests {
		if m.AddedDataFiles() < 0 || m.ExistingDataFiles() < 0 {
			files += m.Length() / 100
		} else {
			files += int64(m.AddedDataFiles()) + int64(m.ExistingDataFiles())
		}
	}
	return files <= maxElsewhere
}

// LookThrough calls each, one call at a time, with the live files of some manifests, without their statistics, until it gives false or
// an error.
func LookThrough(ctx context.Context, fs iceio.IO, manifests []iceberg.ManifestFile, each func(iceberg.DataFile) (more bool, err error)) error {
	var mu sync.Mutex
	done := false
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	one := func(f iceberg.DataFile) (ended bool, err error) {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return true, nil
		}
		more, err := each(f)
		done = done || !more || err != nil
		return done, err
	}
	for _, m := range manifests {
		g.Go(func() error {
			for entry, err := range iceberg.EntriesWithProjection(fs, m, true, iceberg.ManifestEntryProjection{}) {
				if err != nil {
					return fmt.Errorf("manifest %s: %w", m.FilePath(), err)
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if ended, err := one(entry.DataFile()); ended || err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
