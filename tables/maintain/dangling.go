package maintain

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

// DanglingOptions say when delete files that delete nothing are removed.
type DanglingOptions struct {
	// MinFiles is how many are worth a snapshot. Default: 1.
	MinFiles int
}

// DanglingStats is what the removal of dangling deletes came to.
type DanglingStats struct {
	Vectors  int   // deletion vectors of data files that are gone
	Position int   // position deletes of data files that are gone, or have a deletion vector
	Equality int   // equality deletes than which no data file is older
	Bytes    int64 // of the files; of a deletion vector its part of one
	Examples []string
}

// Files is how many delete files they are.
func (s DanglingStats) Files() int { return s.Vectors + s.Position + s.Equality }

// Dangling removes, from a table's metadata, delete files that apply to no live data file. Its Change is a commit.Planner. What
// dangles is found anew at each head, so that whatever others commit meanwhile is seen. It writes nothing.
type Dangling struct {
	opts  DanglingOptions
	stats DanglingStats
}

// NewDangling checks the options.
func NewDangling(opts DanglingOptions) (*Dangling, error) {
	if opts.MinFiles < 0 {
		return nil, fmt.Errorf("remove dangling deletes: from %d files on", opts.MinFiles)
	}
	opts.MinFiles = max(opts.MinFiles, 1)
	return &Dangling{opts: opts}, nil
}

// Change computes what to commit on top of head; nil if there is nothing to do.
func (d *Dangling) Change(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
	found, err := d.Plan(ctx, head)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &commit.Change{
		Operation: commit.Rewrite, RemoveDeletes: found, Summary: map[string]string{DanglingKey: strconv.Itoa(len(found))},
	}, nil
}

// Plan lists the delete files that Change would remove of head.
func (d *Dangling) Plan(ctx context.Context, head *table.Table) ([]iceberg.DataFile, error) {
	d.stats = DanglingStats{}
	c, err := takeCensus(ctx, head)
	if err != nil {
		return nil, fmt.Errorf("dangling deletes of %s: %w", strings.Join(head.Identifier(), "."), err)
	}
	found := c.dangling(head.Metadata())
	if len(found) < d.opts.MinFiles {
		return nil, nil
	}
	for _, f := range found {
		d.stats.count(f)
	}
	return found, nil
}

// Stats is what the last call of Change or Plan came to.
func (d *Dangling) Stats() DanglingStats { return d.stats }

func (s *DanglingStats) count(f iceberg.DataFile) {
	switch {
	case table.IsDeletionVector(f):
		s.Vectors++
	case f.ContentType() == iceberg.EntryContentEqDeletes:
		s.Equality++
	default:
		s.Position++
	}
	size := f.FileSizeBytes()
	if part := f.ContentSizeInBytes(); part != nil {
		size = *part
	}
	s.Bytes += size
	if len(s.Examples) < 5 {
		s.Examples = append(s.Examples, f.FilePath())
	}
}

// dangling are the delete files that apply to no live data file, by the specification's rules (Scan Planning). One of which a
// sequence number is not known stays.
func (c *census) dangling(meta table.Metadata) []iceberg.DataFile {
	var out []iceberg.DataFile
	twice := map[string]bool{} // a data file has one vector; of a table that is broken, another is left alone
	for _, d := range c.deletes {
		of, gone := commit.ReferencedFile(d.file), false
		switch kindOf(meta, d.file) {
		case vectorDelete:
			gone = c.named[of] == nil && !twice[of]
			twice[of] = true
		case positionDelete:
			gone = c.named[of] == nil || c.vectored[of]
		case sharedDelete:
			gone = d.sequence >= 0 && !slices.ContainsFunc(c.beside[d.partition], func(f *liveFile) bool {
				return d.covers(f) && !c.vectored[f.file.FilePath()]
			})
		case equalityDelete:
			at, some := c.oldest[d.partition]
			gone = d.sequence >= 0 && (!some || d.sequence <= at)
		case globalDelete:
			gone = d.sequence >= 0 && (c.oldestOfAll == nil || d.sequence <= *c.oldestOfAll)
		}
		if gone {
			out = append(out, d.file)
		}
	}
	return out
}
