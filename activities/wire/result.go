package wire

// The states of a table in a run.
const (
	StateWaiting   = "waiting"
	StateRunning   = "running"
	StateBuilt     = "built"     // a commit was made
	StateUnchanged = "unchanged" // nothing was new; no snapshot was made
	StateFailed    = "failed"
	StateSkipped   = "skipped" // a table that it depends on failed
	StateCancelled = "cancelled"
	StateDone      = "done before" // by the run that this one resumes
)

// TableResult is what a run did for one table.
type TableResult struct {
	Table     string `json:"table"`
	Layer     string `json:"layer,omitempty"`
	State     string `json:"state"`
	Reason    string `json:"reason,omitempty"` // why it was built, unchanged, skipped or failed
	ErrorType string `json:"error_type,omitempty"`
	Workflow  string `json:"workflow,omitempty"` // id of its BuildTable workflow

	RowsRead    int64            `json:"rows_read"`
	Inserted    int64            `json:"inserted"`
	Updated     int64            `json:"updated"`
	Deleted     int64            `json:"deleted"`
	Unchanged   int64            `json:"unchanged"`
	Filtered    int64            `json:"filtered,omitempty"`
	Duplicates  int64            `json:"duplicates,omitempty"`
	Dropped     int64            `json:"dropped"`
	Quarantined int64            `json:"quarantined"`
	Warned      map[string]int64 `json:"warned,omitempty"`

	FilesRead        int   `json:"files_read"`
	BytesRead        int64 `json:"bytes_read,omitempty"`
	DataFilesAdded   int   `json:"data_files_added"`
	DataFilesRemoved int   `json:"data_files_removed"`
	DeleteFilesAdded int   `json:"delete_files_added,omitempty"`
	BytesWritten     int64 `json:"bytes_written,omitempty"`
	TableBytesRead   int64 `json:"table_bytes_read,omitempty"` // of the table's own files, to find and change rows

	SnapshotID int64 `json:"snapshot_id,omitempty"` // the snapshot made, or the head if none was
	Conflicts  int   `json:"conflicts,omitempty"`
	// MergeGroups counts the groups of a large MERGE, each an activity of its own, and GroupsRedone what a conflict with
	// another commit made redo.
	MergeGroups  int      `json:"merge_groups,omitempty"`
	GroupsRedone int      `json:"groups_redone,omitempty"`
	Seconds      float64  `json:"seconds"`
	Commit       string   `json:"commit,omitempty"`  // of the catalog's branch, as of which the table is built
	Changes      []string `json:"changes,omitempty"` // of the table's definition
	Warnings     []string `json:"warnings,omitempty"`
}

// Took puts the counts of the rows' way into the result.
func (r *TableResult) Took(c Counts) {
	r.RowsRead, r.Filtered, r.Duplicates = c.RowsRead, c.Filtered, c.Duplicates
	r.Dropped, r.Quarantined, r.Warned = c.Dropped, c.Quarantined, c.Warned
	r.FilesRead, r.BytesRead = c.Files, c.Bytes
}

// Committed puts what the commit did into the result.
func (r *TableResult) Committed(c Committed) {
	r.Inserted, r.Updated, r.Deleted, r.Unchanged = c.Inserted, c.Updated, c.Deleted, c.Unchanged
	r.DataFilesAdded, r.DataFilesRemoved, r.DeleteFilesAdded = c.FilesAdded, c.FilesRemoved, c.DeleteFiles
	r.TableBytesRead, r.BytesWritten, r.Conflicts, r.GroupsRedone = c.BytesRead, c.BytesWritten, c.Conflicts, c.GroupsRedone
	r.Warnings, r.Commit = append(r.Warnings, c.Warnings...), c.Commit
	if c.Snapshot != 0 {
		r.SnapshotID = c.Snapshot
	}
}
