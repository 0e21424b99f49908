// Package wire is what passes between workflows and activities: names, requests, results and the types of errors.
//
// Everything here travels through Temporal's history, so it is small: references and counts, never rows. What may grow
// with the number of files lies in the staging area and is named by URI.
package wire

import (
	"time"

	"github.com/varve-lake/varve/plan"
)

// The activities by the names that they are registered under.
const (
	ActivityCompile    = "Compile"
	ActivityRecall     = "Recall"
	ActivityPrepare    = "Prepare"
	ActivityExtend     = "Extend"
	ActivityStageGroup = "StageGroup"
	ActivityGather     = "Gather"
	ActivityRefine     = "Refine"
	ActivityMergeGroup = "MergeGroup"
	ActivityCommit     = "Commit"
	ActivityCleanup    = "Cleanup"

	ActivityOpenBranch  = "OpenBranch"
	ActivityMergeBranch = "MergeBranch"
	ActivityDropBranch  = "DropBranch"
)

// PlanRef is a compiled plan: whole if it is small, else stored in the staging area.
type PlanRef struct {
	Plan   *plan.Plan `json:"plan,omitempty"`
	URI    string     `json:"uri,omitempty"`
	Digest string     `json:"digest"` // SHA-256 of the plan's JSON
}

// TableRef is one table of a plan: whole if the plan is small, else by its name in the stored plan.
type TableRef struct {
	Name  string      `json:"name"`
	Layer string      `json:"layer"`
	Table *plan.Table `json:"table,omitempty"`
	URI   string      `json:"uri,omitempty"`
}

// CompileRequest asks for the plan of a pipeline in the worker's folder.
type CompileRequest struct {
	Pipeline   string            `json:"pipeline"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Run        string            `json:"run"` // names the staging folder of a plan too large to travel
}

// Compiled is a plan and what a run needs to know to order it.
type Compiled struct {
	Plan     PlanRef  `json:"plan"`
	Run      string   `json:"run,omitempty"` // names the staging folder of a plan that does not travel
	Nodes    []Node   `json:"nodes"`         // in topological order
	Settings Settings `json:"settings"`
	Warnings []string `json:"warnings,omitempty"`
}

// Node is one table of the DAG.
type Node struct {
	Name  string   `json:"name"`
	Layer string   `json:"layer"`
	After []string `json:"after,omitempty"`
}

// Settings are the worker's own, recorded when a run begins so that it never changes its mind midway.
type Settings struct {
	Tables           int  `json:"tables"`                      // tables built at once
	Groups           int  `json:"groups"`                      // groups of one table staged at once
	Batch            int  `json:"batch"`                       // groups between two gatherings
	SearchAttributes bool `json:"search_attributes,omitempty"` // the namespace knows Varve's
	// ConflictAttribute says that it knows VarveConflicts.
	ConflictAttribute bool `json:"conflict_attribute,omitempty"`
}

// RecallRequest asks what an earlier run planned and got done.
type RecallRequest struct {
	Of string `json:"of"` // workflow id, or workflow id and run id joined by a slash
}

// Recalled is an earlier run's plan and results.
type Recalled struct {
	Compiled   Compiled          `json:"compiled"`
	Pipeline   string            `json:"pipeline"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Tables     []string          `json:"tables,omitempty"` // the subset that the run was asked for
	Branch     string            `json:"branch,omitempty"`
	Merge      bool              `json:"merge,omitempty"`
	Done       []TableResult     `json:"done,omitempty"`
}

// Build is the identity of one build of one table. It is the same for each attempt, for every run of a
// continue-as-new chain and after a reset, so that what it commits it commits once.
type Build struct {
	Pipeline string    `json:"pipeline"`
	Run      string    `json:"run"`       // workflow id of the run, for people
	Workflow string    `json:"workflow"`  // id of the BuildTable workflow
	FirstRun string    `json:"first_run"` // first run id of its chain
	LoadedAt time.Time `json:"loaded_at"` // by the workflow's clock
}

// PrepareRequest asks for the table to be made ready and for what is new to be found and grouped.
type PrepareRequest struct {
	Build Build    `json:"build"`
	Table TableRef `json:"table"`
	Round int      `json:"round,omitempty"` // counts the builds begun anew because another run came first
}

// Prepared names the job that the other activities of the build work from.
type Prepared struct {
	Job       string   `json:"job,omitempty"` // URI
	Groups    int      `json:"groups"`
	Refine    bool     `json:"refine,omitempty"`    // rows have to be seen together before they are committed
	Unchanged bool     `json:"unchanged,omitempty"` // nothing is new; there is no job
	Reason    string   `json:"reason"`              // what will be read and why
	Files     int      `json:"files,omitempty"`
	Bytes     int64    `json:"bytes,omitempty"`
	Snapshot  int64    `json:"snapshot,omitempty"` // the table's head
	Commit    string   `json:"commit,omitempty"`   // of the catalog's branch, at which that is
	Changes   []string `json:"changes,omitempty"`  // what was made or altered of the table
	Warnings  []string `json:"warnings,omitempty"`
}

// ExtendRequest asks for columns that turned up while files were read to be added to the job and its table.
type ExtendRequest struct {
	Job     string        `json:"job"`
	Columns []plan.Column `json:"columns"`
}

// Extended is the job with those columns. Groups that were staged without them stay as they are, but for the ones that
// have the columns.
type Extended struct {
	Job      string   `json:"job"`
	Changes  []string `json:"changes,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// StageRequest asks for one group to be read, transformed and staged.
type StageRequest struct {
	Job   string `json:"job"`
	Group int    `json:"group"`
}

// Staged is a staged group. Part names its manifest: an attempt that was given up for dead may still write its own,
// which no one then names.
type Staged struct {
	Part       string        `json:"part"`
	Counts     Counts        `json:"counts"`
	NewColumns []plan.Column `json:"new_columns,omitempty"` // found in the files, not in the job
	Warnings   []string      `json:"warnings,omitempty"`
}

// GatherRequest asks for the manifests of many groups to be joined into one.
type GatherRequest struct {
	Job   string   `json:"job"`
	Parts []string `json:"parts"`
}

// Gathered names the joined manifest.
type Gathered struct {
	Part string `json:"part"`
}

// RefineRequest asks for the staged rows to be deduplicated and taken through the steps that follow.
type RefineRequest struct {
	Job   string   `json:"job"`
	Parts []string `json:"parts"` // in the order of groups
}

// CommitRequest asks for the staged rows to become the table's.
type CommitRequest struct {
	Job   string   `json:"job"`
	Parts []string `json:"parts"` // in the order of groups
	// FanOut says that a MERGE may be divided into groups, which the workflow then has merged: if there is much to look through,
	// and, however little that is, what is to be redone after a conflict. Without it the commit does all by itself.
	FanOut bool `json:"fan_out,omitempty"`
	// Merged are the divisions of the MERGE so far, with what came of them.
	Merged []MergeRound `json:"merged,omitempty"`
}

// MergeRound is one division of a MERGE, and the results of its groups.
type MergeRound struct {
	Division string   `json:"division"`        // URI
	Parts    []string `json:"parts,omitempty"` // of its groups
}

// Divided is a MERGE that is not committed yet: its groups come first. They are all files that may hold a row to change or,
// with Redo, only those that a conflict with another commit concerns.
type Divided struct {
	Division string `json:"division"` // URI
	Groups   int    `json:"groups"`
	Files    int    `json:"files"`
	Bytes    int64  `json:"bytes"`
	Redo     bool   `json:"redo,omitempty"`
	// Kept is the part of what the commit has done and what still holds, unless that may be the table's. The division names
	// it too; here it is for removing what no other commit was asked to use.
	Kept string `json:"kept,omitempty"`
}

// MergeGroupRequest asks for the files of one group to be looked through, and for what changes in them to be written.
type MergeGroupRequest struct {
	Job      string `json:"job"`
	Division string `json:"division"`
	Group    int    `json:"group"`
}

// MergedGroup names the result of a group. Without one the table has moved on, so that the MERGE is to be divided anew.
type MergedGroup struct {
	Part    string `json:"part,omitempty"`
	Reason  string `json:"reason,omitempty"` // why there is no result
	Files   int    `json:"files"`
	Updated int64  `json:"updated,omitempty"`
	Deleted int64  `json:"deleted,omitempty"`
}

// Committed is what the commit did.
type Committed struct {
	Snapshot     int64    `json:"snapshot,omitempty"`
	Already      bool     `json:"already,omitempty"` // an earlier attempt had committed
	Inserted     int64    `json:"inserted,omitempty"`
	Updated      int64    `json:"updated,omitempty"`
	Deleted      int64    `json:"deleted,omitempty"`
	Unchanged    int64    `json:"unchanged,omitempty"`
	FilesAdded   int      `json:"files_added,omitempty"`
	FilesRemoved int      `json:"files_removed,omitempty"`
	DeleteFiles  int      `json:"delete_files_added,omitempty"`
	BytesRead    int64    `json:"bytes_read,omitempty"` // of the table's own files
	BytesWritten int64    `json:"bytes_written,omitempty"`
	Attempts     int      `json:"attempts,omitempty"`
	Conflicts    int      `json:"conflicts,omitempty"`
	GroupsRedone int      `json:"groups_redone,omitempty"`
	Warnings     []string `json:"warnings,omitempty"`
	Commit       string   `json:"commit,omitempty"` // of the catalog's branch, where there is one
	// Maintain, when set, says why the table's maintenance is due at once.
	Maintain string `json:"maintain,omitempty"`
	// Divided, when set, is what has to be merged before anything is committed; the rest then says what was tried.
	Divided *Divided `json:"divided,omitempty"`
}

// CleanupRequest asks for the staging folder of a build to be removed, or, without a table, that of a run.
type CleanupRequest struct {
	Run   string `json:"run,omitempty"`
	Build Build  `json:"build"`
	Table string `json:"table,omitempty"`
	Round int    `json:"round,omitempty"`
	Job   string `json:"job,omitempty"` // empty if preparing it failed
	// Discard also removes the data files that parts name. They are parts that no commit was ever asked to use: after that,
	// a commit that was given up for dead may still land, and its files must stay.
	Discard []string `json:"discard,omitempty"` // parts
}

// Counts adds up what happened to rows on their way.
type Counts struct {
	Files       int              `json:"files,omitempty"`
	Bytes       int64            `json:"bytes,omitempty"`
	RowsRead    int64            `json:"rows_read,omitempty"`
	Filtered    int64            `json:"filtered,omitempty"`
	Duplicates  int64            `json:"duplicates,omitempty"`
	Dropped     int64            `json:"dropped,omitempty"`     // by a policy or an expectation
	Quarantined int64            `json:"quarantined,omitempty"` // by a policy or an expectation
	Warned      map[string]int64 `json:"warned,omitempty"`      // by expectation
	RowsStaged  int64            `json:"rows_staged,omitempty"`
}

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	c.Files += o.Files
	c.Bytes += o.Bytes
	c.RowsRead += o.RowsRead
	c.Filtered += o.Filtered
	c.Duplicates += o.Duplicates
	c.Dropped += o.Dropped
	c.Quarantined += o.Quarantined
	c.RowsStaged += o.RowsStaged
	for name, n := range o.Warned { // a sum, so the order does not matter
		if c.Warned == nil {
			c.Warned = make(map[string]int64, len(o.Warned))
		}
		c.Warned[name] += n
	}
}

// Heartbeat is what an activity tells of its progress while it runs.
type Heartbeat struct {
	Stage string `json:"stage"`
	Files int64  `json:"files,omitempty"`
	Rows  int64  `json:"rows,omitempty"`
	Bytes int64  `json:"bytes,omitempty"`
}
