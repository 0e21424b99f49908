// Package fault lets a test build stop the process dead at a named point of a run.
//
// A build with the tag "faults" reads VARVE_FAULT=name:n and kills itself, as kill -9 would, at the n-th time (1 if
// left out) that the point is passed. VARVE_HOLD=name=path keeps everyone who comes by a point waiting there until the file
// exists, so that a test says what happens first. In any other build Point does nothing.
package fault

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
	MergeGroupsStored, MergeDivided, MergeBefore, MergeFilesWritten, MergeResultStored, MergeResultsRead,
	CommitDone, CleanupBefore, CleanupDone,
}
