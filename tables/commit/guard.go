package commit

import (
	"context"
	"fmt"
	"slices"

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

// eachDelete goes through the delete files in those of the head's manifests that may list deletes of the partitions of some. Who lists a
// delete elsewhere does so, most likely, by the table's spec of the day instead of its data file's: manifests of other specs are looked
// through too, unless they list many.
func eachDelete(ctx context.Context, head *table.Table, of []iceberg.DataFile, do func(iceberg.DataFile) error) error {
	fs, err := head.FS(ctx)
	if err != nil {
		return err
	}
	all, err := manifestsOf(fs, head.CurrentSnapshot())
	if err != nil {
		return err
	}
	specs := map[int32]bool{}
	for _, f := range of {
		specs[f.SpecID()] = true
	}
	places := planning.PlacesOf(head.Metadata(), of...)
	manifests := slices.DeleteFunc(places.Elsewhere(all, iceberg.ManifestContentDeletes), func(m iceberg.ManifestFile) bool {
		return specs[m.PartitionSpecID()]
	})
	if !planning.Few(manifests) {
		manifests = nil
	}
	for i, may := range places.Manifests(all) {
		if may && all[i].ManifestContent() == iceberg.ManifestContentDeletes && !dead(all[i]) {
			manifests = append(manifests, all[i])
		}
	}
	return planning.LookThrough(ctx, fs, manifests, func(f iceberg.DataFile) (more bool, err error) { return true, do(f) })
}
