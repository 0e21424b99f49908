package merge

import (
	"strconv"
	"time"
)

// Stats is what a merge did. Rows are counted by the clause that applied to
// them, as Spark does: a row that an update clause applies to counts as Updated
// even if every column keeps its value. Such a row is not written again; it is
// also counted in Identical.
type Stats struct {
	SourceRows int64
	Inserted   int64
	Updated    int64 // target rows
	Deleted    int64 // target rows
	// Unchanged counts the source rows that changed nothing: those that matched
	// target rows without a clause that applied, and those that matched nothing
	// and no clause inserted.
	Unchanged int64
	// Identical counts the updates that would have changed no column's value.
	Identical int64
	// Carried counts the rows that copy-on-write copied without a change, and
	// CarriedBytes what of their files was copied as bytes, not decoded.
	Carried      int64
	CarriedBytes int64

	FilesScanned     int // data files whose keys were read
	FilesPruned      int // data files that could not hold a matching key
	FilesAdded       int
	FilesRemoved     int
	DeleteFilesAdded int
	BytesRead        int64 // of the table's files, data and deletes, by all attempts
	BytesWritten     int64
	Groups           int // file groups that something changes in, and that are written, redone and fanned out as one
	GroupsRedone     int // file groups done again after a conflict
	SpilledBytes     int64

	// Stages holds the time of load, prune, match, write and insert; of what other
	// processes did, the sum of theirs.
	Stages   map[string]time.Duration
	Warnings []string
}

// summary is what a snapshot's summary says of the merge, beside what Iceberg
// counts itself.
func (s *Stats) summary(strategy Strategy) map[string]string {
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	return map[string]string{
		"varve.merge.strategy":      string(strategy),
		"varve.merge.source-rows":   count(s.SourceRows),
		"varve.merge.rows-inserted": count(s.Inserted),
		"varve.merge.rows-updated":  count(s.Updated),
		"varve.merge.rows-deleted":  count(s.Deleted),
	}
}

// timed adds the time since start to a stage.
func (s *Stats) timed(stage string, start time.Time) { s.add(stage, time.Since(start)) }

func (s *Stats) add(stage string, took time.Duration) {
	if s.Stages == nil {
		s.Stages = map[string]time.Duration{}
	}
	s.Stages[stage] += took
}
