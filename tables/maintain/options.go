package maintain

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/planning"
)

// Strategy is how a compaction lays rows into files.
type Strategy string

const (
	// BinPack puts files together in any order, and copies row groups as bytes where it can. A table that has a sort order
	// has the rows of each file sorted by it.
	BinPack Strategy = "binpack"
	// Sort sorts the rows of a partition, so that the ranges of its files do not overlap.
	Sort Strategy = "sort"
	// ZOrder lays the rows of a partition along a Z-order curve through several columns, so that the ranges of its files
	// are narrow in each of them.
	ZOrder Strategy = "zorder"
)

// CompactOptions say which files are rewritten, and how. Zero values are the defaults.
type CompactOptions struct {
	// Strategy is BinPack if empty.
	Strategy Strategy
	// Columns are those to sort by, as "term [asc|desc] [nulls first|nulls last]" (the table's own order if there is none), or
	// those of a Z-order, without a direction. Nulls come first where nothing else is said.
	Columns []string
	// Order is Columns bound to the table's schema. Table's methods fill it.
	Order []table.SortField

	// TargetFileBytes is what files are brought near to. Default: write.target-file-size-bytes, 512 MiB.
	TargetFileBytes int64
	// MinInputFiles is how many small files of a partition are worth a rewrite. Default: 5.
	MinInputFiles int
	// SmallShare is the part of TargetFileBytes, above 0 and up to 1, below which a file is small. Default: 0.75.
	SmallShare float64
	// MaxDeleted is the share of a file's rows, above 0 and up to 1, whose deletion makes it worth one alone. Default: 0.3.
	MaxDeleted float64
	// MaxDeleteFiles is the number of delete files of a data file that makes it worth one alone. Default: 5.
	MaxDeleteFiles int
	// CleanBytes is how many bytes of other files one run rewrites since rows of theirs are deleted, those with the most first: readers
	// get the rows of files without deletes the fastest. 0 is none.
	CleanBytes int64
	// MaxDepth is the clustering depth (see Depths) above which Sort and ZOrder rewrite a whole partition, if an eighth of its bytes
	// has come since it was clustered. Below it they only put together what BinPack would. Default: 4.
	MaxDepth float64
	// RewriteAll takes all files, whatever their shape, also those of older partition specs.
	RewriteAll bool
	// Budget bounds one run.
	Budget Budget

	// Of this process:
	Parallelism int    // groups rewritten at once; default GOMAXPROCS
	MemoryLimit int64  // in bytes, divided among them; 0 means the writer's own default
	TempDir     string // for rows that the limit has no room for; default os.TempDir()

	light   map[string]bool  // files that are rewritten for CleanBytes, by path
	deleted map[string]int64 // how many rows are deleted from files, by path, where that was looked up
}

// Budget is what one run may spend. Zero is no bound.
type Budget struct {
	// Bytes of data files that are rewritten. A first group that is larger is taken all the same, or it never would be.
	Bytes int64 `json:"bytes,omitempty"`
	// Time after which no further group is begun.
	Time time.Duration `json:"time,omitempty"`
}

// check finds what cannot be meant.
func (o CompactOptions) check() error {
	if !slices.Contains([]Strategy{"", BinPack, Sort, ZOrder}, o.Strategy) {
		return fmt.Errorf("compact: strategy %q is not binpack, sort or zorder", o.Strategy)
	}
	for _, s := range []struct {
		of    string
		value float64
	}{{"deleted rows", o.MaxDeleted}, {"the target size", o.SmallShare}} {
		if s.value < 0 || s.value > 1 {
			return fmt.Errorf("compact: a share of %s of %v; want at most 1", s.of, s.value)
		}
	}
	for _, n := range []struct {
		what  string
		value int64
	}{{"target file size", o.TargetFileBytes}, {"size of files with deletes", o.CleanBytes}, {"budget of bytes", o.Budget.Bytes}, {"budget of time", int64(o.Budget.Time)}, {"memory limit", o.MemoryLimit}} {
		if n.value < 0 {
			return fmt.Errorf("compact: a %s of %d", n.what, n.value)
		}
	}
	if o.Strategy != Sort && o.Strategy != ZOrder && len(o.Columns)+len(o.Order) > 0 {
		return fmt.Errorf("compact: columns %v have no meaning for strategy binpack", o.Columns)
	}
	return nil
}

func (o CompactOptions) withDefaults(props iceberg.Properties) CompactOptions {
	if o.Strategy == "" {
		o.Strategy = BinPack
	}
	if o.TargetFileBytes <= 0 {
		o.TargetFileBytes = props.GetInt64(table.WriteTargetFileSizeBytesKey, table.WriteTargetFileSizeBytesDefault)
	}
	if o.MinInputFiles <= 0 {
		o.MinInputFiles = 5
	}
	if o.SmallShare <= 0 {
		o.SmallShare = 0.75
	}
	if o.MaxDeleted <= 0 {
		o.MaxDeleted = 0.3
	}
	if o.MaxDeleteFiles <= 0 {
		o.MaxDeleteFiles = 5
	}
	if o.MaxDepth <= 0 {
		o.MaxDepth = 4
	}
	if o.Parallelism <= 0 {
		o.Parallelism = runtime.GOMAXPROCS(0)
	}
	return o
}

// small files are those far below the target size.
func (o CompactOptions) small(t table.FileScanTask) bool {
	return float64(t.File.FileSizeBytes()) < o.SmallShare*float64(o.TargetFileBytes)
}

// worn files have more deleted rows, or more delete files, than the options allow, or are those with the most deleted rows of the
// others. What equality deletes delete is not counted, so that a file with any is worn.
func (o CompactOptions) worn(t table.FileScanTask) bool {
	if o.light[t.File.FilePath()] || len(t.EqualityDeleteFiles) > 0 || len(t.DeleteFiles)+len(t.DeletionVectorFiles) >= o.MaxDeleteFiles {
		return true
	}
	return o.many(t, o.deletedFrom(t))
}

// many says whether so many deleted rows make a file worth a rewrite alone.
func (o CompactOptions) many(t table.FileScanTask, deleted int64) bool {
	return deleted > 0 && float64(deleted) >= o.MaxDeleted*float64(t.File.Count())
}

// deletedFrom is how many of a file's rows are deleted: as was looked up, or by the delete files that are of no other.
func (o CompactOptions) deletedFrom(t table.FileScanTask) int64 {
	if n, known := o.deleted[t.File.FilePath()]; known {
		return n
	}
	return rowsDeletedAlone(t)
}

// deletedRows is how many of a file's rows are deleted at most, by what its manifests say.
func deletedRows(t table.FileScanTask) int64 {
	deleted := int64(0)
	for _, files := range [][]iceberg.DataFile{t.DeleteFiles, t.DeletionVectorFiles} {
		for _, d := range files {
			deleted += d.Count()
		}
	}
	return min(deleted, t.File.Count())
}

// rowsDeletedAlone is how many of a file's rows are deleted by delete files that are of no other.
func rowsDeletedAlone(t table.FileScanTask) int64 {
	deleted := int64(0)
	for _, d := range t.DeletionVectorFiles {
		deleted += d.Count()
	}
	for _, d := range t.DeleteFiles {
		if planning.DeletesFrom(d) == t.File.FilePath() {
			deleted += d.Count()
		}
	}
	return min(deleted, t.File.Count())
}
