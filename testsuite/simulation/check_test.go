package simulation

import (
	"slices"
	"strings"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

// check looks at what is left when all programs have ended and nothing is under way.
func (s *sim) check() {
	t := s.catalog.table(nil, len(s.catalog.versions)-1)
	meta := t.Metadata()
	s.checkRows(t, meta)
	s.checkTags(meta)
	s.checkFiles(meta)
}

// checkRows: every snapshot that is left has the rows that a serial order of the commits gives it.
func (s *sim) checkRows(t *table.Table, meta table.Metadata) {
	ids := newRowIDs(s)
	for _, snap := range meta.Snapshots() {
		got, err := rowsAt(t, snap)
		if err != nil {
			s.violate("snapshot %d cannot be read: %v", snap.SequenceNumber, err)
			continue
		}
		if snap.Summary.Properties[commit.PartKey] != "" {
			continue // nobody's head
		}
		want := s.model.snapshots[snap.SnapshotID]
		if rows := rowsWithout(got); !slices.Equal(rows, want.rows()) {
			s.violate("snapshot %d, by %s, has rows %v, want %v", snap.SequenceNumber, snap.Summary.Properties[commit.TokenKey], rows, want.rows())
			continue
		}
		ids.look(snap, got, want.records)
	}
}

func (s *sim) checkTags(meta table.Metadata) {
	there := map[string]int64{}
	for name, ref := range meta.Refs() {
		there[name] = ref.SnapshotID
	}
	for name, id := range s.model.tags {
		if there[name] != id {
			s.violate("tag %s is gone", name)
		}
	}
}

// checkFiles: every file that a snapshot names is there; and those that none names are such as the removal of orphans
// finds by their place, and in a run without faults there are none.
func (s *sim) checkFiles(meta table.Metadata) {
	named, err := s.references.of(meta)
	if err != nil {
		s.violate("%v", err)
	}
	for name := range named {
		if s.store.get(name) == nil {
			s.violate("%s is named and gone", kindOf(name))
		}
	}
	for name, o := range s.store.files {
		switch {
		case named[name]:
		case !strings.HasPrefix(name, location+"/_staging/clock-") && !strings.HasPrefix(name, location+"/data/") && !strings.HasPrefix(name, location+"/metadata/"):
			s.violate("%s would not be found as an orphan", name)
		case o.maker.op.kind == anotherEngine: // which clears nothing up
		case s.model.rolled: // an attempt that met the rollback cannot be sure that it is not in the table
		case s.model.upgraded: // nor can one that an upgrade refused, which takes no sequence number, if it ends there, as a MERGE that is divided
		case s.faultless && !s.catalog.currentOnly:
			s.violate("%s of %s leaks, without any fault", kindOf(name), o.maker.name)
		}
	}
}
