// Package validity checks tables against the Iceberg specification, for tests: whatever a table's metadata, manifests and
// files say of its rows is compared with the rows. It reads Parquet by another library than the one that wrote it.
package validity

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// Checker checks tables. It remembers the data files that it has seen, which never change.
type Checker struct {
	files map[string]*file
}

// New makes a Checker.
func New() *Checker { return &Checker{files: map[string]*file{}} }

// maxProblems is how many problems an error names.
const maxProblems = 20

// check is one call of Check.
type check struct {
	*Checker
	fs       iceio.IO
	meta     table.Metadata
	problems []error
	data     []entry // live data files
	deletes  []entry // live delete files
}

// entry is a live file of a snapshot.
type entry struct {
	iceberg.ManifestEntry
	file iceberg.DataFile
}

// Check looks through the head of a table. The error lists what is wrong.
func (c *Checker) Check(ctx context.Context, tbl *table.Table) error {
	fs, err := tbl.FS(ctx)
	if err != nil {
		return err
	}
	k := &check{Checker: c, fs: fs, meta: tbl.Metadata()}
	k.snapshots()
	if head := tbl.CurrentSnapshot(); head != nil {
		k.manifests(head)
		for _, e := range k.data {
			k.dataFile(e)
		}
		deleted := k.deleteFiles()
		k.lineage(head, deleted)
		k.totals(head, deleted)
	}
	if len(k.problems) > maxProblems {
		k.problems = append(k.problems[:maxProblems], fmt.Errorf("and %d more", len(k.problems)-maxProblems))
	}
	return errors.Join(k.problems...)
}

func (k *check) problem(format string, args ...any) {
	k.problems = append(k.problems, fmt.Errorf(format, args...))
}

// equal reports values that differ.
func equal[T comparable](k *check, what string, said, is T) {
	if said != is {
		k.problem("%s is given as %v and is %v", what, said, is)
	}
}

// snapshots checks what the metadata say of snapshots by themselves.
func (k *check) snapshots() {
	all := map[int64]table.Snapshot{}
	for _, s := range k.meta.Snapshots() {
		if _, again := all[s.SnapshotID]; again {
			k.problem("snapshot %d is there twice", s.SnapshotID)
		}
		all[s.SnapshotID] = s
		if s.SequenceNumber > k.meta.LastSequenceNumber() {
			k.problem("snapshot %d has sequence number %d, above the last, %d", s.SnapshotID, s.SequenceNumber, k.meta.LastSequenceNumber())
		}
	}
	for _, s := range all {
		if s.ParentSnapshotID == nil {
			continue
		}
		parent, ok := all[*s.ParentSnapshotID]
		if ok && parent.SequenceNumber >= s.SequenceNumber {
			k.problem("snapshot %d has sequence number %d, not above its parent's, %d", s.SnapshotID, s.SequenceNumber, parent.SequenceNumber)
		}
		if ok && s.FirstRowID != nil && parent.FirstRowID != nil && parent.AddedRows != nil && *s.FirstRowID < *parent.FirstRowID+*parent.AddedRows {
			k.problem("snapshot %d begins with row id %d, which its parent has given out", s.SnapshotID, *s.FirstRowID)
		}
	}
	for name, ref := range k.meta.Refs() {
		if _, ok := all[ref.SnapshotID]; !ok {
			k.problem("reference %s names snapshot %d, which is not there", name, ref.SnapshotID)
		}
	}
}

// totals checks the head's summary.
func (k *check) totals(head *table.Snapshot, deleted map[string]map[int64]bool) {
	if head.Summary == nil {
		k.problem("snapshot %d has no summary", head.SnapshotID)
		return
	}
	rows, gone := int64(0), int64(0)
	for _, e := range k.data {
		rows += e.file.Count()
	}
	for _, e := range k.deletes {
		if e.file.ContentType() == iceberg.EntryContentPosDeletes {
			gone += e.file.Count()
		}
	}
	for name, is := range map[string]int64{
		"total-records": rows, "total-data-files": int64(len(k.data)), "total-delete-files": int64(len(k.deletes)), "total-position-deletes": gone,
	} {
		if said, ok := head.Summary.Properties[name]; ok {
			equal(k, "summary "+name, said, fmt.Sprint(is))
		}
	}
}
