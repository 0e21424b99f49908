package merge

import "time"

// Stats is what a merge did. Rows are counted by the clause that applied to
// them, as Spark does: a row that an update clause applies to counts as Updated
// even if every column keeps its value. Such a row is not written again; it is
// also counted in Identical.
type Stats struct {
	SourceRows int64
	Inserted   int64
	Updated    int64
	Deleted    int64
	// Unchanged counts the source rows that matched a target row to which no
	// clause applied, and those that matched nothing and no clause inserted.
	Unchanged int64
	// Identical counts the updates that would have changed no column's value.
	Identical int64
	// Carried counts the rows that copy-on-write copied without a change.
	Carried int64

	FilesScanned     int // data files whose keys were read
	FilesPruned      int // data files that could not hold a matching key
	FilesAdded       int
	FilesRemoved     int
	DeleteFilesAdded int
	BytesRead        int64
	BytesWritten     int64
	GroupsRedone     int // file groups planned again after a conflict
	SpilledBytes     int64

	// Stages holds the wall time of load, prune, match, write and insert.
	Stages   map[string]time.Duration
	Warnings []string
}
