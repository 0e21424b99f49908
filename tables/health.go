package tables

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/apache/iceberg-go/table"
)

// Health is the shape that a table is in: what maintenance looks at, and what reading it costs. All of it comes from metadata,
// without a look into a data file.
type Health struct {
	Table    string    `json:"table"`
	Location string    `json:"location"`
	At       time.Time `json:"at"`

	Files       int   `json:"files"` // data files
	Bytes       int64 `json:"bytes"`
	Rows        int64 `json:"rows"` // with those that are deleted
	Target      int64 `json:"target_file_bytes"`
	SmallFiles  int   `json:"small_files"` // below three quarters of the target
	DeleteFiles int   `json:"delete_files"`
	DeletedRows int64 `json:"deleted_rows"` // at most: as delete files count them
	// SmallShare and DeletedShare are of the files, and of the rows.
	SmallShare   float64 `json:"small_share"`
	DeletedShare float64 `json:"deleted_share"`

	// Depth is the clustering's, by ClusteredBy: in how many files of a partition, on average over all files, the bounds overlap
	// those of one, itself counted. 1 is best; 0 where nothing says by what rows are clustered.
	Depth       float64  `json:"clustering_depth,omitempty"`
	ClusteredBy []string `json:"clustered_by,omitempty"`

	Sizes      []SizeClass       `json:"sizes"`
	Partitions []PartitionHealth `json:"partitions,omitempty"` // the worst first
	// PartitionCount counts them all; of very many only the worst are listed.
	PartitionCount int `json:"partition_count"`
	// Before is how partitions lay before the last compaction; nil if there was none, or that snapshot has expired.
	Before *Layout `json:"before_last_compaction,omitempty"`

	Snapshots     int        `json:"snapshots"`
	Oldest        *time.Time `json:"oldest_snapshot,omitempty"`
	Refs          int        `json:"branches_and_tags"`
	Manifests     int        `json:"manifests"` // of the head
	ManifestBytes int64      `json:"manifest_bytes"`
	MetadataBytes int64      `json:"metadata_bytes"` // of the current metadata file
	MetadataFiles int        `json:"metadata_files"` // that its log names, with itself
	Commits       []Commit   `json:"commits,omitempty"`
}

// SizeClass counts the data files below a size, and not below that of the class before.
type SizeClass struct {
	Below int64 `json:"below"` // bytes; 0 is no bound
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// PartitionHealth is the shape of one partition.
type PartitionHealth struct {
	Path        string `json:"path"`
	Files       int    `json:"files"`
	Bytes       int64  `json:"bytes"`
	Rows        int64  `json:"rows"`
	SmallFiles  int    `json:"small_files"`
	DeletedRows int64  `json:"deleted_rows"`
	// Depth is the clustering's, as that of Health.
	Depth float64 `json:"clustering_depth,omitempty"`
}

// Commit is what one snapshot did to the table's files.
type Commit struct {
	At         time.Time `json:"at"`
	Operation  string    `json:"operation"`
	Compaction bool      `json:"compaction,omitempty"`
	Added      int       `json:"added"`   // data and delete files
	Removed    int       `json:"removed"` // data and delete files
	Files      int       `json:"files"`   // data files after it
	Bytes      int64     `json:"bytes"`   // of all files after it
	Rows       int64     `json:"rows"`    // after it
}

// sizeClasses are the bounds of a histogram of file sizes, in bytes.
var sizeClasses = []int64{1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28, 1 << 30, 0}

// maxPartitions and maxCommits bound what is listed.
const (
	maxPartitions = 200
	maxCommits    = 500
)

// Health reads the manifests of the head, and of the snapshot before the last compaction, some files at a time: its memory follows the
// partitions and the delete files. A target of 0 is the table's own.
// clusteredBy are the columns that compactions cluster by, as terms of a sort order; without any it is the table's sort order.
func (t *Table) Health(ctx context.Context, target int64, clusteredBy ...string) (*Health, error) {
	meta := t.tbl.Metadata()
	h := &Health{
		Table: t.name, Location: t.Location(), At: t.now().UTC(), Snapshots: len(meta.Snapshots()), MetadataFiles: 1,
		Target: firstOf(target, meta.Properties().GetInt64(table.WriteTargetFileSizeBytesKey, table.WriteTargetFileSizeBytesDefault)),
	}
	for range meta.PreviousFiles() {
		h.MetadataFiles++
	}
	for range meta.Refs() {
		h.Refs++
	}
	if err := h.measure(ctx, t); err != nil {
		return nil, fmt.Errorf("health of %s: %w", t.name, err)
	}
	if err := h.layouts(ctx, t, clusteredBy); err != nil {
		return nil, fmt.Errorf("health of %s: %w", t.name, err)
	}
	h.history(t.Snapshots())
	return h, nil
}

// measure looks at the sizes of metadata.
func (h *Health) measure(ctx context.Context, t *Table) error {
	f, err := t.open(ctx, t.tbl.MetadataLocation())
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	h.MetadataBytes = info.Size()
	s := t.tbl.CurrentSnapshot()
	if s == nil {
		return nil
	}
	files, err := t.FS(ctx)
	if err != nil {
		return err
	}
	manifests, err := s.Manifests(files)
	if err != nil {
		return fmt.Errorf("manifests of snapshot %d: %w", s.SnapshotID, err)
	}
	for _, m := range manifests {
		h.Manifests, h.ManifestBytes = h.Manifests+1, h.ManifestBytes+m.Length()
	}
	return nil
}

func (h *Health) count(l *layout) {
	h.Sizes = l.sizes
	h.DeleteFiles, h.PartitionCount = len(l.deletes), len(l.partitions)
	for _, p := range l.partitions {
		h.Files, h.Bytes, h.Rows = h.Files+p.Files, h.Bytes+p.Bytes, h.Rows+p.Rows
		h.SmallFiles, h.DeletedRows = h.SmallFiles+p.SmallFiles, h.DeletedRows+p.DeletedRows
		h.Depth += p.Depth * float64(p.Files)
	}
	h.Depth /= float64(max(h.Files, 1))
	h.SmallShare, h.DeletedShare = share(int64(h.SmallFiles), int64(h.Files)), share(h.DeletedRows, h.Rows)
	h.Partitions = l.worst()
}

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// history tells of the last commits, from the summaries of their snapshots.
func (h *Health) history(snapshots []Snapshot) {
	if len(snapshots) == 0 {
		return
	}
	oldest := snapshots[0].Timestamp
	h.Oldest = &oldest
	for _, s := range snapshots[max(0, len(snapshots)-maxCommits):] {
		number := func(keys ...string) (sum int64) {
			for _, key := range keys {
				n, _ := strconv.ParseInt(s.Summary[key], 10, 64) // another engine may not count
				sum += n
			}
			return sum
		}
		h.Commits = append(h.Commits, Commit{
			At: s.Timestamp, Operation: s.Operation, Compaction: s.Summary["varve.compaction"] != "",
			Added: int(number("added-data-files", "added-delete-files")), Removed: int(number("deleted-data-files", "removed-delete-files")),
			Files: int(number("total-data-files")), Bytes: number("total-files-size"), Rows: number("total-records"),
		})
	}
}
