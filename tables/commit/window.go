package commit

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// ErrNotLive says that a change removes a file that the head does not have, or has twice. Nothing is committed.
var ErrNotLive = errors.New("not a live file of the table")

// staging is a transaction on its way, and where its files go.
type staging struct {
	tx          *table.Transaction
	written     *recorder
	firstRowIDs map[string]int64 // of manifests, by path; see mendSummaries
}

// removing calls the library to remove files, among others that it adds, in one snapshot. The library would read every manifest of
// the table, more than once, and hold what they say; so it is shown a window: a snapshot that has the removed files alone. What it
// makes of them, the entries that say they are deleted, the counts of the summary and its totals, is as if it had seen all. The
// manifest list is then put together here: manifests without a removed file are carried over as they are, and those with one are
// written anew without it.
func (s *staging) removing(ctx context.Context, removed []iceberg.DataFile, call func() error) error {
	now, err := s.tx.StagedTable()
	if err != nil {
		return err
	}
	meta, parent := now.Metadata(), now.CurrentSnapshot()
	if parent == nil || parent.ManifestList == "" || len(removed) == 0 {
		return call()
	}
	manifests, err := manifestsOf(s.written, parent)
	if err != nil {
		return err
	}
	if unnumbered(meta, manifests) {
		return call() // which gives row ids to all
	}
	w := &window{staging: s, table: now.Table, meta: meta, parent: parent, all: manifests, wanted: wantedOf(removed)}
	if err := w.find(ctx, removed); err != nil {
		return err
	}
	shown, err := w.content()
	if err != nil {
		return err
	}
	s.written.show(shown)
	err = call()
	s.written.show(nil)
	if err != nil {
		return err
	}
	return w.widen()
}

// unnumbered tells a table that came to have row ids, of which some manifests have none yet.
func unnumbered(meta table.Metadata, manifests []iceberg.ManifestFile) bool {
	for _, m := range manifests {
		if meta.Version() >= 3 && m.ManifestContent() == iceberg.ManifestContentData && m.FirstRowID() == nil {
			return true
		}
	}
	return false
}

// window is what the library sees of a snapshot that files are removed from.
type window struct {
	*staging
	table  *table.Table
	meta   table.Metadata
	parent *table.Snapshot
	all    []iceberg.ManifestFile
	wanted *wanted

	holding map[string]*holdingManifest // those with a removed file, by path
}

// content is the window's manifest list, in the place of the parent's, and its manifests: for each that holds removed files one
// that has these alone.
func (w *window) content() (map[string][]byte, error) {
	shown := map[string][]byte{}
	var manifests []iceberg.ManifestFile
	for i, m := range w.all {
		h := w.holding[m.FilePath()]
		if h == nil {
			continue
		}
		name := fmt.Sprintf("%s/window-%d.avro", w.parent.ManifestList, i)
		var out bytes.Buffer
		one, err := w.write(&out, name, m, w.parent.SnapshotID, existing(h.removed))
		if err != nil {
			return nil, fmt.Errorf("removed files of manifest %s: %w", m.FilePath(), err)
		}
		shown[name] = out.Bytes()
		manifests = append(manifests, one)
	}
	list, err := w.list(w.parent, manifests)
	shown[w.parent.ManifestList] = list
	return shown, err
}

// widen puts together the manifest list of the snapshot that the library has made: its own manifests, and then those of its parent
// in their order. Of the latter, those without a live file are left out.
func (w *window) widen() error {
	now, err := w.tx.StagedTable()
	if err != nil {
		return err
	}
	made := now.CurrentSnapshot()
	if made == nil || made.SnapshotID == w.parent.SnapshotID {
		return errors.New("files were removed, and there is no snapshot of it")
	}
	manifests, err := manifestsOf(w.written, made)
	if err != nil {
		return err
	}
	for _, m := range manifests {
		if m.SnapshotID() != made.SnapshotID {
			return fmt.Errorf("manifest %s is left of a window on removed files", m.FilePath())
		}
	}
	for _, m := range w.all {
		h := w.holding[m.FilePath()]
		switch {
		case h == nil && dead(m):
		case h == nil:
			manifests = append(manifests, m)
		case h.rest != nil:
			manifests = append(manifests, h.describe(w.meta, made))
			w.keepRowIDs(m, h.rest)
		}
	}
	list, err := w.list(made, manifests)
	if err != nil {
		return fmt.Errorf("manifest list %s: %w", made.ManifestList, err)
	}
	w.written.setList(made.ManifestList, list)
	return nil
}

// keepRowIDs gives a manifest the row ids of the one whose place it takes.
func (w *window) keepRowIDs(of, rest iceberg.ManifestFile) {
	first, again := w.firstRowIDs[of.FilePath()]
	if id := of.FirstRowID(); !again && id != nil {
		first, again = *id, true
	}
	if again {
		w.firstRowIDs[rest.FilePath()] = first
	}
}

// list writes a snapshot's manifest list.
func (w *window) list(of *table.Snapshot, manifests []iceberg.ManifestFile) ([]byte, error) {
	var out bytes.Buffer
	first := int64(0)
	if of.FirstRowID != nil {
		first = *of.FirstRowID
	}
	writer, err := listWriter(&out, w.meta.Version(), of, first)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(writer.AddManifests(manifests), writer.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
