package tables

import (
	"fmt"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/varve-lake/varve/tables/maintain"
)

// besides is what manifests hold of rows beside the data files that they list, and what an expiry does not take along with these.
type besides struct {
	removed  map[string]bool // entries of removed files, by the file's path
	equality map[string]bool // equality-delete files, by path
	current  bool            // the head names such entries
	unknown  bool            // no time is known for a snapshot that does
	until    time.Time       // the last snapshot that does goes then
	seen     map[string]bool // manifests of deletes, by path
}

func newBesides() *besides {
	return &besides{removed: map[string]bool{}, equality: map[string]bool{}, seen: map[string]bool{}}
}

// removedFrom notes entries of a snapshot's manifests that say of a file that it was removed, with bounds of its columns and its partition.
func (b *besides) removedFrom(gone []iceberg.DataFile, current bool, fate maintain.Fate) {
	for _, f := range gone {
		if len(f.LowerBoundValues())+len(f.UpperBoundValues())+len(f.Partition()) > 0 {
			b.note(f.FilePath(), current, fate)
		}
	}
}

// deletesIn notes the equality deletes of a snapshot's manifests.
func (b *besides) deletesIn(manifests []iceberg.ManifestFile, files iceio.IO) error {
	for _, m := range manifests {
		if m.ManifestContent() != iceberg.ManifestContentDeletes || b.seen[m.FilePath()] {
			continue
		}
		b.seen[m.FilePath()] = true
		for entry, err := range m.Entries(files, true) {
			if err != nil {
				return fmt.Errorf("manifest %s: %w", m.FilePath(), err)
			}
			if f := entry.DataFile(); f.ContentType() == iceberg.EntryContentEqDeletes {
				b.equality[f.FilePath()] = true
			}
		}
	}
	return nil
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
