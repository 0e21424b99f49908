package wire

import (
	"time"

	"github.com/varve-lake/varve/plan"
)

// The activities of maintenance by the names that they are registered under.
const (
	ActivitySurvey           = "SurveyTable"
	ActivityRetain           = "RetainRows"
	ActivityPlanCompaction   = "PlanCompaction"
	ActivityCompactGroup     = "CompactGroup"
	ActivityCommitCompaction = "CommitCompaction"
	ActivityMergeDeletes     = "MergeDeletes"
	ActivityDanglingDeletes  = "RemoveDanglingDeletes"
	ActivityManifests        = "RewriteManifests"
	ActivityExpire           = "ExpireSnapshots"
	ActivityOrphans          = "RemoveOrphans"
	ActivityEndMaintenance   = "EndMaintenance"
)

// MaintainTableName is the workflow that maintains a table, and MaintenanceID the id under which at most one does.
const MaintainTableName = "MaintainTable"

// MaintenanceID is the id of the workflow that maintains a table.
func MaintenanceID(table string) string { return "maintain/" + table }

// The kinds of upkeep, in the order in which they are done.
const (
	UpkeepRetain    = "retain"
	UpkeepCompact   = "compact"
	UpkeepDeletes   = "merge-deletes"
	UpkeepDangling  = "dangling-deletes"
	UpkeepManifests = "manifests"
	UpkeepExpire    = "expire"
	UpkeepOrphans   = "orphans"
)

// Upkeep is the identity of one maintenance of one table. It is the same for each attempt and every run of a
// continue-as-new chain.
type Upkeep struct {
	Table    string    `json:"table"`
	Workflow string    `json:"workflow"`
	FirstRun string    `json:"first_run"`
	Began    time.Time `json:"began"` // by the workflow's clock
}

// SurveyRequest asks for a table's policy, and with Preview for what it would do now.
type SurveyRequest struct {
	Upkeep   Upkeep `json:"upkeep"`
	Pipeline string `json:"pipeline,omitempty"` // that declares the table; any of the folder if empty
	Preview  bool   `json:"preview,omitempty"`
}

// Surveyed is a table's policy.
type Surveyed struct {
	Pipeline string           `json:"pipeline"`
	Policy   plan.Maintenance `json:"policy"`
	Settings Settings         `json:"settings"`
	Steps    []UpkeepStep     `json:"steps,omitempty"` // of a preview
}

// UpkeepStep is one kind of upkeep: what was done, or would be.
type UpkeepStep struct {
	Kind string `json:"kind"`
	What string `json:"what"`          // "join 12 files of 2 partitions, 1.2 GiB"
	Why  string `json:"why,omitempty"` // by what rule of the policy, or why not
	// Done says that something was changed, or would be.
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`

	Rows      int64 `json:"rows,omitempty"` // deleted
	Snapshots int   `json:"snapshots,omitempty"`
	// Files and bytes that were removed, or rewritten, and those written in their place.
	Files        int   `json:"files,omitempty"`
	Bytes        int64 `json:"bytes,omitempty"`
	FilesAdded   int   `json:"files_added,omitempty"`
	BytesWritten int64 `json:"bytes_written,omitempty"`
	Groups       int   `json:"groups,omitempty"`
	Dropped      int   `json:"groups_dropped,omitempty"` // left to a writer
	Left         int   `json:"groups_left,omitempty"`    // left for another run, by the budget
	// Examples names some of what was meant.
	Examples []string `json:"examples,omitempty"`
}

// RetainRequest asks for the rows that are past their time to be deleted, also of those that the table refused. Expire is the
// policy by which the snapshots of the latter go, since nothing else may look after their table.
type RetainRequest struct {
	Upkeep Upkeep       `json:"upkeep"`
	Retain plan.Retain  `json:"retain"`
	Expire *plan.Expire `json:"expire,omitempty"`
}

// PlanCompactionRequest asks for the groups of files that are worth a rewrite.
type PlanCompactionRequest struct {
	Upkeep Upkeep       `json:"upkeep"`
	Policy plan.Compact `json:"policy"`
}

// PlannedCompaction names the plan. Without groups there is nothing to do.
type PlannedCompaction struct {
	Job    string `json:"job,omitempty"` // URI
	Groups int    `json:"groups"`
	Left   int    `json:"left,omitempty"` // groups for which the budget has no room
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	Why    string `json:"why,omitempty"`
	After  string `json:"after"` // last token of the table's maintenance
}

// CompactGroupRequest asks for one group to be rewritten.
type CompactGroupRequest struct {
	Upkeep Upkeep `json:"upkeep"`
	Job    string `json:"job"`
	Group  int    `json:"group"`
}

// CompactedGroup names what was written. Without a part the table has moved on, so that the group is left.
type CompactedGroup struct {
	Part   string `json:"part,omitempty"` // URI
	Reason string `json:"reason,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"` // read
}

// CommitCompactionRequest asks for rewritten groups to become the table's.
type CommitCompactionRequest struct {
	Upkeep Upkeep   `json:"upkeep"`
	Job    string   `json:"job"`
	Part   int      `json:"part"` // counts the commits of a run
	Parts  []string `json:"parts"`
	After  string   `json:"after"`
}

// CommittedCompaction is what a commit came to.
type CommittedCompaction struct {
	Step  UpkeepStep `json:"step"`
	After string     `json:"after"` // last token of the table's maintenance, for the next commit
}

// MergeDeletesRequest asks for the position deletes of data files to be put together.
type MergeDeletesRequest struct {
	Upkeep Upkeep            `json:"upkeep"`
	Policy plan.MergeDeletes `json:"policy"`
}

// DanglingRequest asks for delete files that delete nothing to be removed.
type DanglingRequest struct {
	Upkeep Upkeep        `json:"upkeep"`
	Policy plan.Dangling `json:"policy"`
}

// ManifestsRequest asks for manifests to be laid by partition.
type ManifestsRequest struct {
	Upkeep Upkeep         `json:"upkeep"`
	Policy plan.Manifests `json:"policy"`
}

// ExpireRequest asks for old snapshots to be forgotten.
type ExpireRequest struct {
	Upkeep Upkeep      `json:"upkeep"`
	Policy plan.Expire `json:"policy"`
}

// OrphansRequest asks for files that nothing names to be removed.
type OrphansRequest struct {
	Upkeep Upkeep       `json:"upkeep"`
	Policy plan.Orphans `json:"policy"`
}

// EndMaintenanceRequest asks for the staging area of a maintenance to be removed, with the files of groups that no commit
// was ever asked to use.
type EndMaintenanceRequest struct {
	Upkeep  Upkeep   `json:"upkeep"`
	Discard []string `json:"discard,omitempty"` // parts
}
