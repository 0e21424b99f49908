package plan

import "strings"

// Maintenance is what a table's policy asks for; a part that is nil is not done. Times are in seconds, sizes in bytes.
type Maintenance struct {
	Every          int64         `json:"every,omitempty"` // between two runs of its schedule
	Compact        *Compact      `json:"compact,omitempty"`
	MergeDeletes   *MergeDeletes `json:"merge_deletes,omitempty"`
	RemoveDangling *Dangling     `json:"remove_dangling_deletes,omitempty"`
	Manifests      *Manifests    `json:"rewrite_manifests,omitempty"`
	Expire         *Expire       `json:"expire_snapshots,omitempty"`
	RemoveOrphans  *Orphans      `json:"remove_orphans,omitempty"`
	Retain         *Retain       `json:"retain,omitempty"`
}

// MergeDeletes says when position deletes are put together.
type MergeDeletes struct {
	MinInputFiles int `json:"min_input_files"`
}

// Dangling says when delete files that delete nothing are removed.
type Dangling struct {
	MinFiles int `json:"min_files"`
}

// Manifests says when manifests are written anew, and how large.
type Manifests struct {
	TargetSize        int64 `json:"target_size"`
	MinInputManifests int   `json:"min_input_manifests"`
}

// Compact says when files are joined, and how.
type Compact struct {
	Strategy       string   `json:"strategy,omitempty"` // binpack if empty | sort | zorder
	Columns        []string `json:"columns,omitempty"`  // to sort by, or of the Z-order; none is the table's sort order
	TargetFileSize int64    `json:"target_file_size"`
	MinFileSize    int64    `json:"min_file_size,omitempty"`
	MinInputFiles  int      `json:"min_input_files"`
	DeleteRatio    float64  `json:"delete_ratio,omitempty"`
	DeleteFiles    int      `json:"delete_files,omitempty"`
	CleanBytes     int64    `json:"clean_bytes,omitempty"`
	MaxDepth       float64  `json:"max_depth,omitempty"`
	AfterFiles     int      `json:"after_files"`
	MaxBytes       int64    `json:"max_bytes,omitempty"`
	MaxTime        int64    `json:"max_time,omitempty"`
}

// Layout says in words how a compaction lays rows, after "files joined"; it is empty where they lie as they come.
func (c Compact) Layout() string {
	columns := strings.Join(c.Columns, ", ")
	switch {
	case c.Strategy == "zorder":
		return ", along a Z-order of " + columns
	case c.Strategy == "sort" && columns == "":
		return ", sorted by the table's order"
	case c.Strategy == "sort":
		return ", sorted by " + columns
	}
	return ""
}

// OfQuarantine is the policy of the table of rows that a table refused. It is the table's, without what goes by columns that
// only the table has: refused rows are kept as long as others, from when they came.
func (m Maintenance) OfQuarantine() *Maintenance {
	if m.Retain != nil {
		m.Retain = &Retain{Column: QuarantinedAt, For: m.Retain.For}
	}
	if m.Compact != nil {
		c := *m.Compact
		c.Strategy, c.Columns, c.MaxDepth = "", nil, 0
		m.Compact = &c
	}
	return &m
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
