package fault

// The points of a table's maintenance, in the order in which it passes them.
const (
	RetainBefore      = "retain.before"      // rows past their time are there
	RetainDone        = "retain.done"        // they are deleted, the workflow does not know
	CompactPlanned    = "compact.planned"    // the groups are staged, the workflow does not know
	CompactBefore     = "compact.before"     // a group is about to be rewritten
	CompactWritten    = "compact.written"    // a group's files lie there, its result does not
	CompactStored     = "compact.stored"     // a group's result is staged, the workflow does not know
	CompactCommitting = "compact.committing" // what was rewritten is known, nothing is committed
	CompactDone       = "compact.done"       // groups are committed, the workflow does not know
	DeletesBefore     = "deletes.before"     // data files have several files of position deletes
	DeletesDone       = "deletes.done"       // they have one, the workflow does not know
	DanglingDone      = "dangling.done"      // deletes of files that are gone are out of the table, the workflow does not know
	ManifestsBefore   = "manifests.before"   // manifests are as commits left them
	ManifestsDone     = "manifests.done"     // they are laid by partition, the workflow does not know
	ExpireBefore      = "expire.before"      // old snapshots are there
	ExpireDone        = "expire.done"        // they and their files are gone, the workflow does not know
	OrphansBefore     = "orphans.before"     // nothing is listed
	OrphansFound      = "orphans.found"      // orphans are known, none is removed
	OrphansDone       = "orphans.done"       // they are removed, the workflow does not know
)

// MaintenancePoints lists them.
var MaintenancePoints = []string{
	RetainBefore, RetainDone, CompactPlanned, CompactBefore, CompactWritten, CompactStored, CompactCommitting, CompactDone,
	DeletesBefore, DeletesDone, DanglingDone, ManifestsBefore, ManifestsDone,
	ExpireBefore, ExpireDone, OrphansBefore, OrphansFound, OrphansDone,
}
