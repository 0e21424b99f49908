package commit

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// compare gives the difference between the live files of two sets of manifests. Manifests that were written anew have the same files
// again, by the million where all were; so of the old ones digests are kept, and then the files alone that differ.
func compare(ctx context.Context, fs iceio.IO, old, now []iceberg.ManifestFile) (*Diff, error) {
	diff := &Diff{}
	where := map[digest]int32{} // the old manifest of a file; -1 where it is there still, or told
	for i, m := range old {
		for entry, err := range iceberg.EntriesWithProjection(fs, m, true, iceberg.ManifestEntryProjection{}) {
			if err := whileReading(ctx, m, err); err != nil {
				return nil, err
			}
			where[keyOf(entry.DataFile()).digest()] = int32(i)
		}
	}
	added := map[fileKey]bool{}
	for _, m := range now {
		for entry, err := range m.Entries(fs, true) {
			if err := whileReading(ctx, m, err); err != nil {
				return nil, err
			}
			key := keyOf(entry.DataFile())
			sum := key.digest()
			if _, was := where[sum]; was {
				where[sum] = -1
			} else if !added[key] {
				added[key] = true
				diff.add(entry.DataFile())
			}
		}
	}
	gone := map[int32]bool{}
	for _, i := range where {
		gone[i] = true
	}
	for i, m := range old {
		if !gone[int32(i)] {
			continue
		}
		for entry, err := range m.Entries(fs, true) {
			if err := whileReading(ctx, m, err); err != nil {
				return nil, err
			}
			if sum := keyOf(entry.DataFile()).digest(); where[sum] == int32(i) {
				where[sum] = -1
				diff.remove(entry.DataFile())
			}
		}
	}
	return diff, nil
}

func whileReading(ctx context.Context, m iceberg.ManifestFile, err error) error {
	if err != nil {
		return fmt.Errorf("manifest %s: %w", m.FilePath(), err)
	}
	return ctx.Err()
}

// fileKey tells files apart. A Puffin file holds the deletion vectors of several data files.
type fileKey struct {
	path, ref string
	offset    int64
}

func keyOf(f iceberg.DataFile) fileKey {
	key := fileKey{path: f.FilePath()}
	if table.IsDeletionVector(f) {
		if ref := f.ReferencedDataFile(); ref != nil {
			key.ref = *ref
		}
		if offset := f.ContentOffset(); offset != nil {
			key.offset = *offset
		}
	}
	return key
}

// digest is of a key that is not worth keeping.
type digest [16]byte

func (k fileKey) digest() digest {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", k.path, k.ref, k.offset))
	return digest(sum[:16])
}
