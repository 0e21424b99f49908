package commit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables/manifest"
	"github.com/varve-lake/varve/tables/planning"
)

// wanted are files that are to be removed.
type wanted struct {
	data    map[string]bool
	deletes map[string]bool
	vectors map[string]string // the path of each, by the data file that it is of: a file may hold several
}

func wantedOf(files []iceberg.DataFile) *wanted {
	w := &wanted{data: map[string]bool{}, deletes: map[string]bool{}, vectors: map[string]string{}}
	for _, f := range files {
		switch of := f.ReferencedDataFile(); {
		case f.ContentType() == iceberg.EntryContentData:
			w.data[f.FilePath()] = true
		case table.IsDeletionVector(f) && of != nil:
			w.vectors[*of] = f.FilePath()
		default:
			w.deletes[f.FilePath()] = true
		}
	}
	return w
}

func (w *wanted) has(f iceberg.DataFile) bool {
	switch of := f.ReferencedDataFile(); {
	case f.ContentType() == iceberg.EntryContentData:
		return w.data[f.FilePath()]
	case table.IsDeletionVector(f) && of != nil:
		return w.vectors[*of] == f.FilePath()
	}
	return w.deletes[f.FilePath()]
}

func (w *wanted) count() int { return len(w.data) + len(w.deletes) + len(w.vectors) }

// in says whether one may be in a manifest of such a content.
func (w *wanted) in(c iceberg.ManifestContent) bool {
	if c == iceberg.ManifestContentData {
		return len(w.data) > 0
	}
	return len(w.deletes)+len(w.vectors) > 0
}

// dead tells a manifest that lists no live file, as far as the manifest list says.
func dead(m iceberg.ManifestFile) bool { return m.AddedDataFiles() == 0 && m.ExistingDataFiles() == 0 } // -1 is not known

// holdingManifest is a manifest that lists files to remove.
type holdingManifest struct {
	removed []iceberg.ManifestEntry
	rest    iceberg.ManifestFile // one without them, of no snapshot yet; nil if nothing is left
}

// find finds the manifests that list removed files: among those whose partitions may hold them, by the manifest list, and only if
// one is missed then, among all. Each is read as a stream, and written anew without them at once.
func (w *window) find(ctx context.Context, removed []iceberg.DataFile) error {
	w.holding = map[string]*holdingManifest{}
	may := planning.PlacesOf(w.meta, removed...).Manifests(w.all)
	found := 0
	for _, likely := range []bool{true, false} {
		var some []iceberg.ManifestFile
		for i, m := range w.all {
			if may[i] == likely && w.wanted.in(m.ManifestContent()) && !dead(m) {
				some = append(some, m)
			}
		}
		n, err := w.findIn(ctx, some)
		if found += n; err != nil {
			return err
		}
		if found >= w.wanted.count() {
			break
		}
	}
	if found != w.wanted.count() {
		return fmt.Errorf("%d files are to be removed, of which the table has %d, such as %s: %w", w.wanted.count(), found, w.example(), ErrNotLive)
	}
	return nil
}

// example is a wanted file that was not found.
func (w *window) example() string {
	seen := map[string]bool{}
	for _, h := range w.holding {
		for _, e := range h.removed {
			seen[e.DataFile().FilePath()] = true
		}
	}
	var missed []string
	for _, of := range []map[string]bool{w.wanted.data, w.wanted.deletes} {
		for path := range of {
			if !seen[path] {
				missed = append(missed, path)
			}
		}
	}
	for _, path := range w.wanted.vectors {
		missed = append(missed, path)
	}
	slices.Sort(missed)
	return strings.Join(missed[:min(len(missed), 1)], "")
}

func (w *window) findIn(ctx context.Context, manifests []iceberg.ManifestFile) (found int, err error) {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, m := range manifests {
		g.Go(func() error {
			h, err := w.without(ctx, m)
			if err != nil {
				return fmt.Errorf("manifest %s: %w", m.FilePath(), err)
			}
			if h == nil {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			w.holding[m.FilePath()] = h
			found += len(h.removed)
			return nil
		})
	}
	err = g.Wait()
	return found, err
}

// without writes a manifest anew without the removed files; nil if it has none of them.
func (w *window) without(ctx context.Context, m iceberg.ManifestFile) (*holdingManifest, error) {
	raw, err := content(w.written, m.FilePath())
	if err != nil {
		return nil, err
	}
	if holds, err := w.holds(ctx, m, raw); !holds || err != nil {
		return nil, err
	}
	provider, err := w.table.LocationProvider()
	if err != nil {
		return nil, err
	}
	name := provider.NewMetadataLocation(uuid.NewString() + "-m0.avro")
	file, err := w.written.Create(name)
	if err != nil {
		return nil, err
	}
	h, err := w.copied(ctx, file, name, m, raw)
	if errors.Is(err, manifest.ErrOtherFormat) {
		h, err = w.recoded(ctx, file, name, m, raw)
	}
	err = errors.Join(err, file.Close())
	if err == nil && h.rest == nil {
		return h, w.written.forget(name)
	}
	return h, err
}

// content reads a file.
func content(fs iceio.IO, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// holds says whether a manifest lists a file to remove.
func (w *window) holds(ctx context.Context, m iceberg.ManifestFile, raw []byte) (found bool, err error) {
	err = manifest.Pieces(ctx, m, raw, manifest.Options{Bare: true}, 1, func(e *manifest.Entries) error {
		for i := range e.Len() {
			wanted, err := w.gone(m, e, i)
			if err != nil {
				return err
			}
			if found = found || wanted; found {
				return errFound
			}
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return found, err
}

var errFound = errors.New("found")

// gone says whether an entry is of a file to remove. A data file is known by its path, and is not decoded.
func (w *window) gone(m iceberg.ManifestFile, e *manifest.Entries, i int) (bool, error) {
	if m.ManifestContent() == iceberg.ManifestContentData {
		return w.wanted.data[string(e.Path(i))], nil
	}
	entry, err := e.Entry(i)
	if err != nil {
		return false, err
	}
	return w.wanted.has(entry.DataFile()), nil
}

// copied writes what is left of a manifest as the bytes that it is.
func (w *window) copied(ctx context.Context, to io.Writer, name string, m iceberg.ManifestFile, raw []byte) (*holdingManifest, error) {
	h := &holdingManifest{}
	rest, err := manifest.Without(ctx, to, m, raw, w.meta.Version(), func(e *manifest.Entries, i int) (bool, error) {
		gone, err := w.gone(m, e, i)
		if gone && err == nil {
			var entry iceberg.ManifestEntry
			entry, err = e.Entry(i)
			h.removed = append(h.removed, entry)
		}
		return gone, err
	})
	if err != nil || rest.Files == 0 {
		return h, err
	}
	// What the library makes of one file of each partition is the summary of all.
	summary, err := w.write(io.Discard, name, m, 0, existing(rest.Partitions))
	if err != nil {
		return nil, err
	}
	h.rest = iceberg.NewManifestFile(w.meta.Version(), name, rest.Bytes, m.PartitionSpecID(), 0).Content(m.ManifestContent()).
		SequenceNum(-1, rest.MinSequence).ExistingFiles(int32(rest.Files)).ExistingRows(rest.Rows).Partitions(summary.Partitions()).Build()
	return h, nil
}

// existing writes entries as those of files that were there before.
func existing(entries []iceberg.ManifestEntry) func(*iceberg.ManifestWriter) error {
	return func(writer *iceberg.ManifestWriter) error {
		for _, entry := range entries {
			if err := writer.Existing(entry); err != nil {
				return err
			}
		}
		return nil
	}
}

// recoded writes what is left of a manifest entry by entry, through the library: of one that another format has, or another writer.
func (w *window) recoded(ctx context.Context, to io.Writer, name string, m iceberg.ManifestFile, raw []byte) (h *holdingManifest, err error) {
	h = &holdingManifest{}
	h.rest, err = w.write(to, name, m, 0, func(writer *iceberg.ManifestWriter) error {
		return manifest.Pieces(ctx, m, raw, manifest.Options{}, 1, func(e *manifest.Entries) error {
			for i := range e.Len() {
				entry, err := e.Entry(i)
				if err != nil {
					return err
				}
				if w.wanted.has(entry.DataFile()) {
					h.removed = append(h.removed, entry)
				} else if err := writer.Existing(entry); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if errors.Is(err, iceberg.ErrEmptyManifest) {
		h.rest, err = nil, nil
	}
	return h, err
}

// write writes a manifest in the place of another, and describes it.
func (w *window) write(to io.Writer, name string, m iceberg.ManifestFile, snapshot int64, entries func(*iceberg.ManifestWriter) error) (iceberg.ManifestFile, error) {
	spec := w.meta.PartitionSpecByID(int(m.PartitionSpecID()))
	if spec == nil {
		return nil, fmt.Errorf("partition spec %d is not in the table", m.PartitionSpecID())
	}
	counted := &counting{Writer: to}
	writer, err := iceberg.NewManifestWriter(w.meta.Version(), counted, *spec, planning.SchemaOf(w.meta, spec), snapshot, iceberg.WithManifestWriterContent(m.ManifestContent()))
	if err != nil {
		return nil, err
	}
	if err := entries(writer); err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return writer.ToManifestFile(name, counted.bytes)
}

// describe gives the rest as a manifest of a snapshot.
func (h *holdingManifest) describe(meta table.Metadata, of *table.Snapshot) iceberg.ManifestFile {
	m := h.rest
	return iceberg.NewManifestFile(meta.Version(), m.FilePath(), m.Length(), m.PartitionSpecID(), of.SnapshotID).
		SequenceNum(of.SequenceNumber, m.MinSequenceNum()).Content(m.ManifestContent()).
		ExistingFiles(m.ExistingDataFiles()).ExistingRows(m.ExistingRows()).AddedFiles(0).AddedRows(0).DeletedFiles(0).DeletedRows(0).
		Partitions(m.Partitions()).Build()
}

// counting counts the bytes that are written.
type counting struct {
	io.Writer
	bytes int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.bytes += int64(n)
	return n, err
}
