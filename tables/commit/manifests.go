package commit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

// Manifests replaces some manifests of the head by others that list the same live files, each with the snapshot, the sequence
// numbers and the row ids that it had. They are the planner's, as data files are, and may be used at a later head if what they
// replace is there.
type Manifests struct {
	// Snapshot is the id of the snapshot to make. It is in the manifests that were written.
	Snapshot int64
	Remove   []iceberg.ManifestFile
	Add      []iceberg.ManifestFile
	Entries  int64 // files that they list
}

// NewSnapshotID makes an id for a snapshot, as Java's library does.
func NewSnapshotID() int64 {
	id := uuid.New()
	var high, low int64
	for i := range 8 {
		high, low = high<<8|int64(id[i]), low<<8|int64(id[8+i])
	}
	return (high ^ low) & (1<<63 - 1)
}

// paths are those of the manifests that are added.
func (m *Manifests) paths() []string {
	if m == nil {
		return nil
	}
	out := make([]string, len(m.Add))
	for i, f := range m.Add {
		out[i] = f.FilePath()
	}
	return out
}

// relist makes the snapshot that has the change's manifests, for which the library has no call that takes a summary: the list is
// written through the recorder, as every other is, and what it is about is what a rewrite of manifests by the library sends.
func relist(ctx context.Context, head *table.Table, written *recorder, m *Manifests, summary iceberg.Properties) ([]table.Update, error) {
	meta, parent := head.Metadata(), head.CurrentSnapshot()
	if parent == nil {
		return nil, errors.New("a table without rows has no manifests")
	}
	if meta.Version() < 2 {
		return nil, fmt.Errorf("manifests of format version %d are not rewritten", meta.Version())
	}
	now, err := manifestsOf(written, parent)
	if err != nil {
		return nil, err
	}
	kept := without(now, m.Remove)
	if len(now)-len(kept) != len(m.Remove) {
		return nil, fmt.Errorf("%d of %d manifests to replace are not the head's", len(m.Remove)-(len(now)-len(kept)), len(m.Remove))
	}
	next := &table.Snapshot{
		SnapshotID: m.Snapshot, ParentSnapshotID: &parent.SnapshotID, SequenceNumber: meta.LastSequenceNumber() + 1,
		TimestampMs: time.Now().UnixMilli(), SchemaID: &meta.CurrentSchema().ID,
		Summary: &table.Summary{Operation: table.OpReplace, Properties: m.summary(parent, len(kept), summary)},
	}
	if err := writeList(head, written, next, slices.Concat(m.Add, kept)); err != nil {
		return nil, err
	}
	ref := table.SnapshotRef{}
	for name, r := range meta.Refs() {
		if name == table.MainBranch {
			ref = r // its own settings of retention stay
		}
	}
	return []table.Update{
		table.NewAddSnapshotUpdate(next),
		table.NewSetSnapshotRefUpdate(table.MainBranch, next.SnapshotID, table.BranchRef, orZero(ref.MaxRefAgeMs), orZero(ref.MaxSnapshotAgeMs), orZero(ref.MinSnapshotsToKeep)),
	}, nil
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// summary has the totals of the snapshot before, since no file came or went.
func (m *Manifests) summary(parent *table.Snapshot, kept int, own iceberg.Properties) iceberg.Properties {
	out := iceberg.Properties{}
	if parent.Summary != nil {
		for key, value := range parent.Summary.Properties {
			if strings.HasPrefix(key, "total-") {
				out[key] = value
			}
		}
	}
	maps.Copy(out, own)
	maps.Copy(out, iceberg.Properties{
		"manifests-created": strconv.Itoa(len(m.Add)), "manifests-replaced": strconv.Itoa(len(m.Remove)),
		"manifests-kept": strconv.Itoa(kept), "entries-processed": strconv.FormatInt(m.Entries, 10),
	})
	return out
}

// writeList writes the snapshot's manifest list, and fills in where it is, and in format 3 which row ids it takes. Manifests that
// have none yet, as all of a table have whose format was just raised, get theirs here.
func writeList(head *table.Table, written *recorder, s *table.Snapshot, manifests []iceberg.ManifestFile) (err error) {
	places, err := head.LocationProvider()
	if err != nil {
		return err
	}
	s.ManifestList = places.NewMetadataLocation(fmt.Sprintf("snap-%d-0-%s.avro", s.SnapshotID, uuid.NewString()))
	out, err := written.Create(s.ManifestList)
	if err != nil {
		return fmt.Errorf("manifest list: %w", err)
	}
	meta := head.Metadata()
	list, err := listWriter(out, meta.Version(), s, meta.NextRowID())
	if err == nil {
		err = list.AddManifests(manifests)
	}
	if list != nil {
		err = errors.Join(err, list.Close())
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("manifest list %s: %w", path.Base(s.ManifestList), err)
	}
	if next := list.NextRowID(); meta.Version() >= 3 && next != nil {
		first := meta.NextRowID()
		rows := *next - first
		s.FirstRowID, s.AddedRows = &first, &rows
	}
	return nil
}

// listWriter writes a snapshot's manifest list. firstRowID is the row id, in format 3, that the first manifest without one takes.
func listWriter(out io.Writer, version int, s *table.Snapshot, firstRowID int64) (*iceberg.ManifestListWriter, error) {
	switch version {
	case 1:
		return iceberg.NewManifestListWriterV1(out, s.SnapshotID, s.ParentSnapshotID)
	case 2:
		return iceberg.NewManifestListWriterV2(out, s.SnapshotID, s.SequenceNumber, s.ParentSnapshotID)
	}
	return iceberg.NewManifestListWriterV3(out, s.SnapshotID, s.SequenceNumber, firstRowID, s.ParentSnapshotID)
}
