package tables

import (
	"fmt"
	"maps"
	"strings"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

// checkpointsOf gives the checkpoints of all writers as of the head. They are what the properties say, but for writers whose
// last commit is not among the head's ancestors: Table.Rollback sets the properties back, and that of another engine leaves
// them as they are, though the rows that they count are gone. Those are what they were at the head. That cannot be told once so many
// of the head's ancestors have expired that none is older than that commit, so that each commit, that of expiry too, sets the
// properties right.
func checkpointsOf(meta table.Metadata) (map[string]string, error) {
	return checkpointsBefore(meta, rewoundWriters(meta))
}

// checkpointsBefore is checkpointsOf, of which it is known whose are to be set back.
func checkpointsBefore(meta table.Metadata, rewound map[string]bool) (map[string]string, error) {
	said := checkpointsIn(meta.Properties())
	if len(rewound) == 0 {
		return said, nil
	}
	then, err := checkpointsAt(meta, meta.CurrentSnapshot())
	if err != nil {
		if meta.Properties()[commit.RollbackKey] != "" && !told(meta, rewound) { // it was Varve's, which has seen to it
			return said, nil
		}
		return nil, err
	}
	of := func(key, _ string) bool { return rewound[writerOf(key)] }
	maps.DeleteFunc(said, of)
	for key, text := range then {
		if of(key, text) {
			said[key] = text
		}
	}
	return said, nil
}

// rewoundWriters are those of whose checkpoints the properties say something else than the head.
func rewoundWriters(meta table.Metadata) map[string]bool {
	rewound := map[string]bool{}
	for key := range checkpointsIn(meta.Properties()) {
		if writer := writerOf(key); !rewound[writer] && commit.Rewound(meta, writer) {
			rewound[writer] = true
		}
	}
	return rewound
}

// setBack are the properties that say so of the sequence numbers too, once a commit sets the checkpoints of those writers right: what of
// theirs another engine brings back later comes after them.
func setBack(meta table.Metadata, rewound map[string]bool) map[string]string {
	out, head := map[string]string{}, meta.CurrentSnapshot()
	if meta.Version() < 2 || head == nil {
		return out
	}
	for writer := range rewound {
		out[commit.SequencePrefix+writer] = fmt.Sprint(head.SequenceNumber)
	}
	return out
}

// told says that the properties tell Varve's own rollbacks from those of others, of all of some writers. Earlier versions of Varve did not
// take it down.
func told(meta table.Metadata, writers map[string]bool) bool {
	for writer := range writers {
		if meta.Properties()[commit.SequencePrefix+writer] == "" {
			return false
		}
	}
	return true
}

// writerOf is whose checkpoint, or memory, a key is.
func writerOf(key string) string {
	writer, _, _ := strings.Cut(strings.TrimPrefix(key, checkpointPrefix), "/")
	return writer
}
