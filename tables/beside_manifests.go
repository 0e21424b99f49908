package tables

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/tables/maintain"
)

// besides is what manifests hold of rows beside the data files that they list.
type besides struct {
	removed  map[string]bool // entries of removed files, by the file's path
	equality map[string]bool // equality-delete files, by path
	current  bool            // the head names such entries
	unknown  bool            // no time is known for a snapshot that does
	until    time.Time       // the last snapshot that does goes then
}

// heldByManifests looks through the manifests of all snapshots, at each once, for what an expiry does not take along with the data
// files: entries that say of a file that it was removed, with bounds of its columns and its partition; and equality deletes.
func (t *Table) heldByManifests(ctx context.Context, rows Rows, e maintain.ExpireOptions) ([]string, error) {
	fates, err := t.fates(e)
	if err != nil {
		return nil, err
	}
	search, files, err := t.search(ctx, rows)
	if err != nil {
		return nil, err
	}
	b, seen := &besides{removed: map[string]bool{}, equality: map[string]bool{}}, map[string]bool{}
	for _, s := range t.Snapshots() {
		manifests, err := t.tbl.SnapshotByID(s.ID).Manifests(files)
		if err != nil {
			return nil, fmt.Errorf("manifests of %s at snapshot %d: %w", t.name, s.ID, err)
		}
		gone, err := search.Removed(ctx, manifests)
		if err != nil {
			return nil, fmt.Errorf("removed files of %s at snapshot %d: %w", t.name, s.ID, err)
		}
		for _, f := range gone {
			if len(f.LowerBoundValues())+len(f.UpperBoundValues())+len(f.Partition()) > 0 {
				b.note(f.FilePath(), s.Current, fates[s.ID])
			}
		}
		for _, m := range manifests {
			if m.ManifestContent() != iceberg.ManifestContentDeletes || seen[m.FilePath()] {
				continue
			}
			seen[m.FilePath()] = true
			for entry, err := range m.Entries(files, true) {
				if err != nil {
					return nil, fmt.Errorf("delete files of %s: manifest %s: %w", t.name, m.FilePath(), err)
				}
				if f := entry.DataFile(); f.ContentType() == iceberg.EntryContentEqDeletes {
					b.equality[f.FilePath()] = true
				}
			}
		}
	}
	return b.say(), ctx.Err()
}

func (b *besides) note(path string, current bool, fate maintain.Fate) {
	b.removed[path] = true
	b.current = b.current || current
	b.unknown = b.unknown || fate.Until.IsZero()
	if fate.Until.After(b.until) {
		b.until = fate.Until
	}
}

func (b *besides) say() (out []string) {
	if n := len(b.removed); n > 0 {
		until := "until " + b.until.UTC().Format(time.RFC3339)
		switch {
		case b.current:
			until = "until a later commit that removes files leaves them out, and then as long as this version stays"
		case b.unknown:
			until = "as long as the snapshots stay that name them"
		}
		out = append(out, fmt.Sprintf("manifests that say that %d data files were removed, with the partitions and the least and greatest values of their columns, %s", n, until))
	}
	if len(b.equality) > 0 {
		out = append(out, fmt.Sprintf("%d equality-delete files of other engines, which have the keys of deleted rows, as long as a snapshot names them", len(b.equality)))
	}
	return out
}
