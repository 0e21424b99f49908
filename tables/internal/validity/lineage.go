package validity

import (
	"github.com/apache/iceberg-go/table"
)

// The field ids of the columns that carry row lineage.
const (
	rowIDColumn    = 2147483540
	updatedColumn  = 2147483539
	lineageVersion = 3
)

// lineage checks that row ids are there, in range, and unique among live rows.
func (k *check) lineage(head *table.Snapshot, deleted map[string]map[int64]bool) {
	if k.meta.Version() < lineageVersion || head.FirstRowID == nil {
		return // not yet committed to as a v3 table
	}
	seen := map[int64]string{}
	for _, e := range k.data {
		name := e.file.FilePath()
		f := k.files[name]
		if f == nil {
			continue
		}
		first := e.file.FirstRowID()
		if first == nil {
			k.problem("%s has no first row id", name)
			continue
		}
		if *first < 0 || *first+e.file.Count() > k.meta.NextRowID() {
			k.problem("%s has row ids from %d for %d rows, and the table's next is %d", name, *first, e.file.Count(), k.meta.NextRowID())
		}
		k.updatedBy(e, f)
		ids := make([]any, e.file.Count())
		if at := f.leafOf(rowIDColumn); at >= 0 {
			ids = f.all(at)
		}
		for p, own := range ids {
			if deleted[name][int64(p)] {
				continue
			}
			id := *first + int64(p)
			if own != nil {
				id = own.(int64)
			}
			if id < 0 || id >= k.meta.NextRowID() {
				k.problem("%s: row %d has id %d, and the table's next is %d", name, p, id, k.meta.NextRowID())
			}
			if other, again := seen[id]; again {
				k.problem("row id %d is in %s and in %s", id, other, name)
				return
			}
			seen[id] = name
		}
	}
}

// updatedBy checks that no row was last updated after its file came.
func (k *check) updatedBy(e entry, f *file) {
	at := f.leafOf(updatedColumn)
	if at < 0 {
		return
	}
	for p, v := range f.all(at) {
		if v != nil && v.(int64) > e.SequenceNum() {
			k.problem("%s: row %d was last updated by sequence number %d, and the file has %d", e.file.FilePath(), p, v, e.SequenceNum())
			return
		}
	}
}
