package simulation

import (
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// references knows which files the snapshots of a table name. Lists and manifests never change, so each is read once.
type references struct {
	fs        view
	lists     map[string][]iceberg.ManifestFile
	manifests map[string][]string
}

func newReferences(s *store) *references {
	return &references{view{s, nil}, map[string][]iceberg.ManifestFile{}, map[string][]string{}}
}

// of lists what the snapshots of a version name. It goes on after an error, and returns the last.
func (r *references) of(meta table.Metadata) (named map[string]bool, err error) {
	named = map[string]bool{}
	for _, snap := range meta.Snapshots() {
		named[snap.ManifestList] = true
		manifests, ok := r.lists[snap.ManifestList]
		if !ok {
			var e error
			if manifests, e = snap.Manifests(r.fs); e != nil {
				err = fmt.Errorf("snapshot %d: %w", snap.SequenceNumber, e)
				continue
			}
			r.lists[snap.ManifestList] = manifests
		}
		for _, m := range manifests {
			if named[m.FilePath()] {
				continue
			}
			named[m.FilePath()] = true
			files, e := r.filesOf(m)
			if e != nil {
				err = fmt.Errorf("snapshot %d: %w", snap.SequenceNumber, e)
			}
			for _, f := range files {
				named[f] = true
			}
		}
	}
	return named, err
}

func (r *references) filesOf(m iceberg.ManifestFile) ([]string, error) {
	if files, ok := r.manifests[m.FilePath()]; ok {
		return files, nil
	}
	var files []string
	for entry, err := range m.Entries(r.fs, true) {
		if err != nil {
			return nil, err
		}
		files = append(files, entry.DataFile().FilePath())
	}
	r.manifests[m.FilePath()] = files
	return files, nil
}

// checkRemoval: no file goes that a snapshot of the table names at that moment.
func (s *sim) checkRemoval(name string) {
	named, err := s.references.of(s.catalog.current())
	if err != nil {
		s.violate("%v", err)
	}
	if named[name] {
		s.violate("%s is removed, and a snapshot names it", kindOf(name))
	}
}
