package commit

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// staged is a change as the catalog is sent it, and the manifests and manifest lists that were written for it.
type staged struct {
	requirements []table.Requirement
	updates      []table.Update
	snapshots    []int64 // that it makes
	base         table.Metadata
	written      *recorder
}

// stage turns a change into requirements and updates. It sends nothing: TableCommit hands out what the library would have
// sent, and with it the library's own replaying of conflicts is never entered, whatever the table's retry properties say.
// spent are properties that go with it.
func stage(ctx context.Context, head *table.Table, id ID, change *Change, spent []string) (_ *staged, err error) {
	written, err := record(ctx, head)
	if err != nil {
		return nil, err
	}
	next := &staged{base: head.Metadata(), written: written}
	defer func() {
		if err != nil {
			next.remove(ctx) // never sent, so certainly nobody's
		}
	}()

	if err := guardVectors(ctx, head, change); err != nil {
		return nil, err
	}
	on, err := mergingOf(ctx, head, change)
	if err != nil {
		return nil, err
	}
	handle := table.New(head.Identifier(), on, head.MetadataLocation(),
		func(context.Context) (iceio.IO, error) { return written, nil }, nil)
	tx := handle.NewTransaction()
	if err := tx.AssertRefSnapshotID(table.MainBranch); err != nil {
		return nil, err
	}
	s := &staging{tx: tx, written: written, firstRowIDs: map[string]int64{}}
	if err := s.put(ctx, head.Metadata(), id, change, spent); err != nil {
		return nil, err
	}
	var relisted []table.Update
	if change.Operation == Relist && change.Manifests != nil {
		if relisted, err = relist(ctx, head, written, change.Manifests, summaryOf(id, change)); err != nil {
			return nil, fmt.Errorf("%s: %w", change.Operation, err)
		}
		next.snapshots = []int64{change.Manifests.Snapshot}
	}
	if err := next.seal(s, change, relisted); err != nil {
		return nil, err
	}
	return next, nil
}

// put stages the parts of a change, and the token beside them.
func (s *staging) put(ctx context.Context, base table.Metadata, id ID, change *Change, spent []string) error {
	tx := s.tx
	if change.Alter != nil {
		if err := change.Alter(tx); err != nil {
			return err
		}
	}
	properties := iceberg.Properties{}
	maps.Copy(properties, change.Properties)
	properties[PropertyPrefix+id.Writer] = id.Token
	if err := tx.SetProperties(properties); err != nil {
		return err
	}
	if err := tx.RemoveProperties(present(slices.Concat(change.RemoveProperties, spent), properties)); err != nil {
		return err
	}
	if err := s.applyFiles(ctx, change, summaryOf(id, change)); err != nil {
		return fmt.Errorf("%s: %w", change.Operation, err)
	}
	return s.putSequence(base, id, change)
}

// seal takes over what the library would send, with what it has no call for, and puts what was written in order.
func (s *staged) seal(on *staging, change *Change, more []table.Update) error {
	now, err := on.tx.StagedTable()
	if err != nil {
		return err
	}
	s.snapshots = append(s.snapshots, madeBy(now.Metadata(), s.base)...)
	out, err := on.tx.TableCommit()
	if err != nil {
		return err
	}
	if err := mendSummaries(now.Metadata(), s.written, on.firstRowIDs); err != nil {
		return err
	}
	merged, err := s.written.unnamed()
	if err != nil {
		return err
	}
	for _, name := range merged {
		_ = s.written.Remove(name)
	}
	if err := s.written.writeLists(); err != nil {
		return err
	}
	s.requirements = append(slices.Clone(out.Requirements), change.Requirements...)
	s.updates = slices.Concat(out.Updates, more, change.Updates)
	return nil
}

// madeBy lists the snapshots that came between two versions of the metadata.
func madeBy(after, base table.Metadata) (ids []int64) {
	for _, s := range after.Snapshots() {
		if base.SnapshotByID(s.SnapshotID) == nil {
			ids = append(ids, s.SnapshotID)
		}
	}
	return ids
}

// present drops keys that are being set: setting wins.
func present(remove []string, set iceberg.Properties) []string {
	return slices.DeleteFunc(slices.Clone(remove), func(k string) bool { _, ok := set[k]; return ok })
}

func summaryOf(id ID, change *Change) iceberg.Properties {
	summary := iceberg.Properties{"engine-name": "varve"} // where Spark and Trino write theirs
	maps.Copy(summary, change.Summary)
	summary[TokenKey] = id.Token
	summary[WriterKey] = id.Writer
	return summary
}

// snapshotID is the head that the commit made; 0 if it left the head where it was.
func (s *staged) snapshotID(after table.Metadata) int64 {
	now := after.CurrentSnapshot()
	if now == nil {
		return 0
	}
	if before := s.base.CurrentSnapshot(); before != nil && before.SnapshotID == now.SnapshotID {
		return 0
	}
	return now.SnapshotID
}

// remove deletes the manifests and manifest lists of an attempt that is certainly not in the table. It is only
// tidiness: what it misses, maintenance sweeps.
func (s *staged) remove(ctx context.Context) {
	for _, path := range s.written.take() {
		if ctx.Err() != nil {
			return
		}
		_ = s.written.Remove(path)
	}
}

// removeOldMetadata does what write.metadata.delete-after-commit.enabled asks for, which the library does only in its
// own commits.
func removeOldMetadata(ctx context.Context, before, after *table.Table) {
	props := after.Metadata().Properties()
	if !props.GetBool(table.MetadataDeleteAfterCommitEnabledKey, table.MetadataDeleteAfterCommitEnabledDefault) {
		return
	}
	fs, err := after.FS(ctx)
	if err != nil {
		return
	}
	kept := map[string]bool{}
	for entry := range after.Metadata().PreviousFiles() {
		kept[entry.MetadataFile] = true
	}
	for entry := range before.Metadata().PreviousFiles() {
		if !kept[entry.MetadataFile] {
			_ = fs.Remove(entry.MetadataFile)
		}
	}
}
