package commit

import (
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// Rewound tells whether another engine has taken the head back to before the writer's last commit, so that the properties say more
// than the rows do. A commit that made no snapshot counts as well: it rests on the one at which it was made. Where the head's history
// does not reach back so far, since snapshots have expired, it is false.
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
		case s.SequenceNumber < at: // numbers grow from parent to child
			return true
		case !is:
		case meta.SnapshotByID(picked) == nil: // it may be of the writer
			return false
		default:
			if of := meta.SnapshotByID(picked); of.SequenceNumber == at || by(of, writer) {
				return false
			}
		}
	}
	return false
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

// sequenceOf is the number that SequencePrefix is about, of a change that is made at some metadata.
func sequenceOf(meta table.Metadata, change *Change) string {
	at := int64(0)
	if s := meta.CurrentSnapshot(); s != nil {
		at = s.SequenceNumber
	}
	if change.files() > 0 || change.Manifests != nil {
		at = meta.LastSequenceNumber() + 1
	}
	return strconv.FormatInt(at, 10)
}

// AtSequence are the properties that say of all writers, and of one more, that what they have committed is in a snapshot: after a
// rollback to it, or a move of the head forth.
func AtSequence(meta table.Metadata, s *table.Snapshot, writer string) map[string]string {
	at := strconv.FormatInt(s.SequenceNumber, 10)
	out := map[string]string{SequencePrefix + writer: at}
	for key := range meta.Properties() {
		if of, is := strings.CutPrefix(key, PropertyPrefix); is {
			out[SequencePrefix+of] = at
		}
	}
	return out
}

// withSequence adds it to the properties that a change sets, unless the change says where its head is to be.
func withSequence(properties iceberg.Properties, meta table.Metadata, id ID, change *Change) {
	key := SequencePrefix + id.Writer
	if _, said := properties[key]; !said && meta.Version() > 1 {
		properties[key] = sequenceOf(meta, change)
	}
}
