package commit

import (
	"iter"

	"github.com/apache/iceberg-go/table"
)

// ID names one commit of one writer. Writer is stable over runs: a pipeline's build of a table, its maintenance. Token
// is another for each commit, and the same when the same work is tried again.
type ID struct {
	Writer string
	Token  string
	// After, when set, is the writer's LastToken when the work began. If the writer has committed something else since,
	// or the table was rolled back, then the commit is ErrSuperseded: it keeps an abandoned run from committing late, and
	// work that rests on a checkpoint from leaving a gap when that is no longer the table's. It is also what a process that
	// runs on after it was given up needs: when its writer has committed something else, and the snapshot of its own commit
	// has expired or the catalog shows the current one only, the token is nowhere to be found.
	After *string
}

const (
	// PropertyPrefix, followed by the writer, is the table property that holds the writer's last token.
	PropertyPrefix = "varve.commit."
	// SequencePrefix, followed by the writer, is the table property that holds the sequence number of the snapshot that the
	// writer's last commit made, or without one was committed at; 0 if there was none. See Rewound.
	SequencePrefix = "varve.sequence."
	// TokenKey and WriterKey are the token and the writer in a snapshot's summary.
	TokenKey  = "varve.commit-id"
	WriterKey = "varve.writer"
	// RollbackKey is the table property that holds the token of the last rollback.
	RollbackKey = "varve.rollback"
	// PartKey marks, in a snapshot's summary, the first of two snapshots that committed together.
	PartKey = "varve.part"
)

// LastToken marks the writer's last commit; "" if it has not committed. A rollback changes the mark: of every writer if it was
// Varve's, and of those whose rows it took away if it was another engine's.
func LastToken(meta table.Metadata, writer string) string {
	token := meta.Properties()[PropertyPrefix+writer]
	if rollback := meta.Properties()[RollbackKey]; rollback != "" {
		token += " after rollback " + rollback
	}
	if Rewound(meta, writer) {
		token += " rewound"
	}
	return token
}

// lineage are a snapshot and its ancestors, up to the first one that has expired.
func lineage(meta table.Metadata, s *table.Snapshot) iter.Seq[*table.Snapshot] {
	return func(yield func(*table.Snapshot) bool) {
		for s != nil && yield(s) && s.ParentSnapshotID != nil {
			s = meta.SnapshotByID(*s.ParentSnapshotID)
		}
	}
}

// Find looks for the token of a commit, and for the snapshot that it made (0 if it made none, or that has expired).
func Find(meta table.Metadata, id ID) (snapshot int64, found bool) {
	found = meta.Properties()[PropertyPrefix+id.Writer] == id.Token
	var latest int64 = -1
	for _, s := range meta.Snapshots() {
		if s.Summary == nil || s.SequenceNumber <= latest {
			continue
		}
		if s.Summary.Properties[TokenKey] == id.Token && s.Summary.Properties[WriterKey] == id.Writer {
			snapshot, latest, found = s.SnapshotID, s.SequenceNumber, true
		}
	}
	return snapshot, found
}
