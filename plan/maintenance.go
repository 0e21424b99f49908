package plan

// Maintenance is what a table's policy asks for; a part that is nil is not done. Times are in seconds, sizes in bytes.
type Maintenance struct {
	Every         int64    `json:"every,omitempty"` // between two runs of its schedule
	Compact       *Compact `json:"compact,omitempty"`
	Expire        *Expire  `json:"expire_snapshots,omitempty"`
	RemoveOrphans *Orphans `json:"remove_orphans,omitempty"`
	Retain        *Retain  `json:"retain,omitempty"`
}

// Compact says when files are joined.
type Compact struct {
	TargetFileSize int64 `json:"target_file_size"`
	MinInputFiles  int   `json:"min_input_files"`
	AfterFiles     int   `json:"after_files"`
	MaxBytes       int64 `json:"max_bytes,omitempty"`
	MaxTime        int64 `json:"max_time,omitempty"`
}

// Expire says which snapshots are forgotten.
type Expire struct {
	OlderThan int64 `json:"older_than"`
	KeepLast  int   `json:"keep_last"`
}

// Orphans says which files that nothing names are removed.
type Orphans struct {
	OlderThan int64 `json:"older_than"`
}

// Retain says how long rows are kept, by a column of theirs.
type Retain struct {
	Column string `json:"column"`
	For    int64  `json:"for"`
}
