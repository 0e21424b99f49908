package commit

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/planning"
)

// guardVectors keeps a data file of a v3 table from getting a second live deletion vector, which the library accepts and
// after which no reader opens the table. A planner that knows what it does never meets it.
func guardVectors(ctx context.Context, head *table.Table, c *Change) error {
	added := map[string]bool{}
	for _, f := range c.AddDeletes {
		if ref := f.ReferencedDataFile(); table.IsDeletionVector(f) && ref != nil {
			if added[*ref] {
				return fmt.Errorf("two deletion vectors for data file %s", *ref)
			}
			added[*ref] = true
		}
	}
	if len(added) == 0 {
		return nil
	}
	for _, f := range c.RemoveDeletes {
		if ref := f.ReferencedDataFile(); table.IsDeletionVector(f) && ref != nil {
			delete(added, *ref)
		}
	}
	return eachDelete(ctx, head, c.AddDeletes, func(f iceberg.DataFile) error {
		if ref := f.ReferencedDataFile(); table.IsDeletionVector(f) && ref != nil && added[*ref] {
			return fmt.Errorf("data file %s has a deletion vector already, %s, which must be removed", *ref, f.FilePath())
		}
		return nil
	})
}

// eachDelete goes through those of the head's delete manifests that may list deletes of the partitions of some.
func eachDelete(ctx context.Context, head *table.Table, of []iceberg.DataFile, do func(iceberg.DataFile) error) error {
	fs, err := head.FS(ctx)
	if err != nil {
		return err
	}
	manifests, err := manifestsOf(fs, head.CurrentSnapshot())
	if err != nil {
		return err
	}
	may := planning.PlacesOf(head.Metadata(), of...).Manifests(manifests)
	for i, m := range manifests {
		if !may[i] || dead(m) || m.ManifestContent() != iceberg.ManifestContentDeletes {
			continue
		}
		for entry, err := range iceberg.EntriesWithProjection(fs, m, true, iceberg.ManifestEntryProjection{}) {
			if err := whileReading(ctx, m, err); err != nil {
				return err
			}
			if err := do(entry.DataFile()); err != nil {
				return err
			}
		}
	}
	return nil
}
