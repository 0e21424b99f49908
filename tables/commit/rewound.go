package commit

import (
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// Rewound tells whether another engine has taken the head back to before the writer's last commit, so that the properties say more
// than the rows do; or forth, past one of Varve's rollbacks, so that they say less. A commit that made no snapshot counts as well: it
// rests on the one at which it was made. Where the head's history does not reach back so far, since snapshots have expired, it is false.
func Rewound(meta table.Metadata, writer string) bool {
	head := meta.CurrentSnapshot()
	if meta.Properties()[PropertyPrefix+writer] == "" || head == nil {
		return false
	}
	at, err := strconv.ParseInt(meta.Properties()[SequencePrefix+writer], 10, 64)
	if err != nil {
		return leadsElsewhere(meta, writer) // by an earlier version of Varve
	}
	if at == 0 {
		return false
	}
	for s := range lineage(meta, head) {
		switch picked, is := pickedFrom(s); {
		case s.SequenceNumber == at:
			return false
		case s.SequenceNumber < at, by(s, writer): // numbers grow from parent to child
			return true
		case !is:
		case meta.SnapshotByID(picked) == nil: // it may be of the writer
			return false
		case lastRows(meta, meta.SnapshotByID(picked), writer, at):
			return false
		}
	}
	return false
}

// lastRows tells whether a snapshot is the one with a sequence number, or the writer's last before it, as of a commit without rows.
func lastRows(meta table.Metadata, s *table.Snapshot, writer string, at int64) bool {
	if s.SequenceNumber == at || !by(s, writer) {
		return s.SequenceNumber == at
	}
	return !slices.ContainsFunc(meta.Snapshots(), func(o table.Snapshot) bool {
		return by(&o, writer) && s.SequenceNumber < o.SequenceNumber && o.SequenceNumber <= at
	})
}

// Picked is the snapshot of Varve's whose files another engine has cherry-picked into one; nil if there is none, or it has expired.
func Picked(meta table.Metadata, s *table.Snapshot) *table.Snapshot {
	id, is := pickedFrom(s)
	if !is {
		return nil
	}
	of := meta.SnapshotByID(id)
	if of == nil || of.Summary == nil || of.Summary.Properties[WriterKey] == "" {
		return nil
	}
	return of
}

// pickedFrom is the snapshot whose files another engine has cherry-picked into one.
func pickedFrom(s *table.Snapshot) (id int64, is bool) {
	if s.Summary == nil {
		return 0, false
	}
	id, err := strconv.ParseInt(s.Summary.Properties["source-snapshot-id"], 10, 64)
	return id, err == nil
}

func by(s *table.Snapshot, writer string) bool {
	return s.Summary != nil && s.Summary.Properties[WriterKey] == writer
}

// leadsElsewhere tells whether the snapshot of the writer's last commit is there and leads to the head no more, but to one that the
// head has come from too.
func leadsElsewhere(meta table.Metadata, writer string) bool {
	last, _ := Find(meta, ID{Writer: writer, Token: meta.Properties()[PropertyPrefix+writer]})
	led := map[int64]bool{}
	for s := range lineage(meta, meta.CurrentSnapshot()) {
		led[s.SnapshotID] = true
		if picked, is := pickedFrom(s); is {
			led[picked] = true
		}
	}
	if last == 0 || led[last] {
		return false
	}
	for s := range lineage(meta, meta.SnapshotByID(last)) {
		if led[s.SnapshotID] {
			return true
		}
	}
	return false
}

// AtSequence are the properties that say of all writers, and of one more, that what they have committed is in a snapshot: after a
// rollback to it, or a move of the head forth.
func AtSequence(meta table.Metadata, s *table.Snapshot, writer string) map[string]string {
	if meta.Version() < 2 { // which has no sequence numbers
		return map[string]string{}
	}
	at := strconv.FormatInt(s.SequenceNumber, 10)
	out := map[string]string{SequencePrefix + writer: at}
	for key := range meta.Properties() {
		if of, is := strings.CutPrefix(key, PropertyPrefix); is {
			out[SequencePrefix+of] = at
		}
	}
	return out
}

// putSequence stages the number that SequencePrefix is about, of a change whose files are staged, unless the change says where its head
// is to be.
func (s *staging) putSequence(base table.Metadata, id ID, change *Change) error {
	key := SequencePrefix + id.Writer
	if _, said := change.Properties[key]; said || base.Version() < 2 {
		return nil
	}
	now, err := s.tx.StagedTable()
	if err != nil {
		return err
	}
	at := int64(0)
	switch head := now.CurrentSnapshot(); {
	case change.Manifests != nil: // whose snapshot is made beside the library
		at = base.LastSequenceNumber() + 1
	case head != nil:
		at = head.SequenceNumber
	}
	return s.tx.SetProperties(iceberg.Properties{key: strconv.FormatInt(at, 10)})
}
