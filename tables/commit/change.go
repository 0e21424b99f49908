package commit

import (
	"context"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// Operation says what a Change means for the rows of the table.
type Operation string

const (
	// None changes no rows: properties, schema or references only. No snapshot is made.
	None Operation = ""
	// Append adds data files. It conflicts with nothing.
	Append Operation = "append"
	// Overwrite removes data files and adds others whose rows differ: copy-on-write, replace.
	Overwrite Operation = "overwrite"
	// RowDelta adds data files and delete files, and may remove delete files that new ones supersede.
	RowDelta Operation = "row-delta"
	// Rewrite replaces files by others with the same rows: compaction.
	Rewrite Operation = "rewrite"
	// Relist replaces manifests by others that list the same files.
	Relist Operation = "relist"
)

// Change is what a planner wants of the table at a given head.
//
// An Overwrite or RowDelta that the library has no single call for (data files removed and delete files added, or a
// v2 position delete superseded) becomes two snapshots that commit together; the first bears PartKey in its summary.
type Change struct {
	Operation     Operation
	AddData       []iceberg.DataFile
	RemoveData    []iceberg.DataFile
	AddDeletes    []iceberg.DataFile
	RemoveDeletes []iceberg.DataFile
	// DataSequence, with Rewrite, is the data sequence number that the added files keep.
	DataSequence *int64
	// DeleteSequences, with Rewrite, are the data sequence numbers of added delete files, by the path of the data file that each is
	// about: those of deletes that it takes the place of. One that is not named gets the highest of all that are removed.
	DeleteSequences map[string]int64
	// Manifests, with Relist, are those that come and go.
	Manifests *Manifests

	// States are other files that Properties are about.
	States []string

	// Summary goes into the snapshot's summary.
	Summary map[string]string
	// Properties are set, and RemoveProperties removed, in the same commit.
	Properties       map[string]string
	RemoveProperties []string

	// Alter, when set, applies schema, spec or sort order changes to the transaction, before the files.
	Alter func(tx *table.Transaction) error
	// Updates are raw changes of the metadata (references), after the files.
	Updates []table.Update
	// Requirements are what must hold of the metadata beside the pinned head, for Updates that rest on more than the head.
	Requirements []table.Requirement
}

// Planner decides what to change at head. It is called again, with the attempt's number counted from 1, whenever an
// attempt did not land; head may then be another one or still the same. What did not conflict it keeps itself. A nil
// Change, or one that changes nothing, ends the commit without one.
type Planner func(ctx context.Context, head *table.Table, attempt int) (*Change, error)

func (c *Change) files() int {
	return len(c.AddData) + len(c.RemoveData) + len(c.AddDeletes) + len(c.RemoveDeletes) + len(c.Manifests.paths())
}

// onlyAdds tells a change of which all files are new data files.
func (c *Change) onlyAdds() bool { return len(c.AddData) > 0 && c.files() == len(c.AddData) }

func (c *Change) empty() bool {
	return c == nil || c.files() == 0 && len(c.Properties)+len(c.RemoveProperties)+len(c.Updates) == 0 && c.Alter == nil
}
