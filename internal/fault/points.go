// Package fault lets a test build stop a process dead at a chosen place of a run.
//
// A build with the tag "faults" reads these variables. In any other build the functions are empty, and nothing is read.
//
//	VARVE_FAULT=name:n      kill at the n-th time (1 if left out) that the point is passed
//	VARVE_FAULT=io:n        kill at the n-th side of an I/O, counted from the beginning of the first run
//	VARVE_FAULT=io/before/rename/text:n
//	                        kill at the n-th of those sides of that operation whose file or table has the text in its name
//	VARVE_VICTIM=pid,self   whom to kill, as kill -9 would; the process itself if left out. Who kills others alone goes on
//	VARVE_HOLD=name=path    keep everyone who comes by a point waiting there until the file exists, so that a test says what
//	                        happens first
//	VARVE_TRACE=path        append each side of an I/O, and each point, to a file, a line each: number (0 of a point), side,
//	                        operation, and what it is on
//
// An I/O has two sides, before and after. Those of the local file system, of S3, of the SQL catalogs and of the REST
// catalogs are counted: each call that opens, makes, writes, syncs, renames, removes or lists a file, each request, each
// operation of a catalog.
package fault

import (
	"net/http"
	"strings"
)

const (
	// IO is the name that VARVE_FAULT gives the sides of I/Os.
	IO = "io"
	// Self stands for the process itself in VARVE_VICTIM.
	Self = "self"

	// SideBefore and SideAfter are the sides of an I/O, as the trace calls them, and SidePoint stands there for a point.
	SideBefore = "before"
	SideAfter  = "after"
	SidePoint  = "point"
)

// Matches tells whether VARVE_FAULT, without its number, names a side of an I/O by operation and text.
func Matches(fault, side, op, at string) bool {
	parts := strings.SplitN(fault, "/", 4)
	return len(parts) == 4 && parts[0] == IO && parts[1] == side && parts[2] == op && strings.Contains(at, parts[3])
}

// Doer sends HTTP requests.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// The points, in the order in which a build passes them. Each stands before or after one I/O, so that a kill there
// leaves that I/O undone or done, and nothing that follows.
const (
	CompileBefore       = "compile.before"        // nothing is read yet
	CompilePlanStored   = "compile.plan-stored"   // a large plan lies in the staging area, the workflow does not know
	PrepareBefore       = "prepare.before"        // the table may not exist
	PrepareEnsured      = "prepare.ensured"       // the table exists, nothing is planned
	PrepareGroupsStored = "prepare.groups-stored" // lists of groups are staged, the job is not
	PrepareJobStored    = "prepare.job-stored"    // the job is staged, the workflow does not know
	StageBefore         = "stage.before"          // a group is about to be read
	StageRowsWritten    = "stage.rows-written"    // data or rows files lie there, the manifest does not
	StageManifestStored = "stage.manifest-stored" // the manifest is staged, the workflow does not know
	GatherStored        = "gather.stored"         // manifests are gathered, the workflow does not know
	RefineBefore        = "refine.before"         // rows are staged, not deduplicated
	RefineRowsWritten   = "refine.rows-written"   // deduplicated rows lie there, their manifest does not
	CommitBefore        = "commit.before"         // everything is staged, nothing committed
	CommitQuarantined   = "commit.quarantined"    // quarantined rows are committed, the table's are not
	CommitStateStored   = "commit.state-stored"   // a checkpoint's state file lies there, no commit names it
	MergePlanned        = "merge.planned"         // what a MERGE changes is written, nothing is sent to the catalog
	MergeKept           = "merge.kept"            // a MERGE is in conflict; what still holds of it is known to this process alone
	MergeKeptStored     = "merge.kept-stored"     // it is staged, the groups to be redone are not
	MergeGroupsStored   = "merge.groups-stored"   // lists of a MERGE's groups are staged, the division is not
	MergeDivided        = "merge.divided"         // the division is staged, the workflow does not know
	MergeBefore         = "merge.before"          // a group of a MERGE is about to be looked through
	MergeFilesWritten   = "merge.files-written"   // a group's data or delete files lie there, its result does not
	MergeResultStored   = "merge.result-stored"   // a group's result is staged, the workflow does not know
	MergeResultsRead    = "merge.results-read"    // what came of all groups is known, nothing is committed
	CommitDone          = "commit.done"           // rows and checkpoint are committed, the workflow does not know
	CleanupBefore       = "cleanup.before"        // the staging area is still there
	CleanupDone         = "cleanup.done"          // the staging area is gone, the workflow does not know
)

// Points lists every point, for tests that go through all of them.
var Points = []string{
	CompileBefore, CompilePlanStored, PrepareBefore, PrepareEnsured, PrepareGroupsStored, PrepareJobStored,
	StageBefore, StageRowsWritten, StageManifestStored, GatherStored, RefineBefore, RefineRowsWritten,
	CommitBefore, CommitQuarantined, CommitStateStored,
	MergePlanned, MergeKept, MergeKeptStored, MergeGroupsStored, MergeDivided, MergeBefore, MergeFilesWritten, MergeResultStored, MergeResultsRead,
	CommitDone, CleanupBefore, CleanupDone,
}
