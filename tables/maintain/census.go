package maintain

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
)

// census is the delete files that are live in a snapshot, and of its data files as much as tells which of them they are about:
// what is kept follows the deletes, whatever the number of data files.
type census struct {
	deletes []*liveFile

	// named are the live data files that a delete file of one data file names, by path.
	named map[string]*liveFile
	// beside are the live data files by partition, of partitions that have position deletes of several data files.
	beside map[string][]*liveFile
	// vectored are the data files, by path, that have a deletion vector: readers pass over other position deletes of theirs.
	vectored map[string]bool
	// oldest is the least data sequence number in each partition that has equality deletes, and oldestOfAll that in the table, if
	// there is an equality delete without a partition. A partition without data has none.
	oldest      map[string]int64
	oldestOfAll *int64
}

// liveFile is a data or delete file with what its manifest says of it.
type liveFile struct {
	file      iceberg.DataFile
	sequence  int64  // of its data; -1 if it is not known
	partition string // the same for files of one partition of one spec
}

func liveFileOf(e iceberg.ManifestEntry) *liveFile {
	f := e.DataFile()
	return &liveFile{f, e.SequenceNum(), datafile.PartitionKey(int(f.SpecID()), f.Partition())}
}

// deleteKind tells delete files apart by how it is known what they delete from.
type deleteKind int

const (
	vectorDelete   deleteKind = iota // one data file, in place of position deletes
	positionDelete                   // one data file
	sharedDelete                     // positions in data files of a partition
	equalityDelete                   // data files of a partition that are older
	globalDelete                     // all data files that are older
)

func kindOf(meta table.Metadata, f iceberg.DataFile) deleteKind {
	switch {
	case table.IsDeletionVector(f):
		return vectorDelete
	case f.ContentType() == iceberg.EntryContentPosDeletes && commit.ReferencedFile(f) != "":
		return positionDelete
	case f.ContentType() == iceberg.EntryContentPosDeletes:
		return sharedDelete
	}
	if spec := meta.PartitionSpecByID(int(f.SpecID())); spec == nil || spec.IsUnpartitioned() {
		return globalDelete
	}
	return equalityDelete
}

// takeCensus reads the delete manifests of a table's head, and those of data files if there are deletes.
func takeCensus(ctx context.Context, head *table.Table) (*census, error) {
	c := &census{named: map[string]*liveFile{}, beside: map[string][]*liveFile{}, vectored: map[string]bool{}, oldest: map[string]int64{}}
	s := head.CurrentSnapshot()
	if s == nil {
		return c, nil
	}
	store, err := head.FS(ctx)
	if err != nil {
		return nil, err
	}
	manifests, err := s.Manifests(store)
	if err != nil {
		return nil, fmt.Errorf("manifests of snapshot %d: %w", s.SnapshotID, err)
	}
	err = eachEntry(ctx, store, manifests, iceberg.ManifestContentDeletes, func(e iceberg.ManifestEntry) {
		c.deletes = append(c.deletes, liveFileOf(e))
	})
	if err != nil || len(c.deletes) == 0 {
		return c, err
	}
	note := c.asks(head.Metadata())
	return c, eachEntry(ctx, store, manifests, iceberg.ManifestContentData, note)
}

// eachEntry goes through the live entries of the manifests of one kind.
func eachEntry(ctx context.Context, store iceio.IO, manifests []iceberg.ManifestFile, content iceberg.ManifestContent, each func(iceberg.ManifestEntry)) error {
	for _, m := range manifests {
		if m.ManifestContent() != content {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for entry, err := range m.Entries(store, true) {
			if err != nil {
				return fmt.Errorf("manifest %s: %w", m.FilePath(), err)
			}
			each(entry)
		}
	}
	return nil
}

// asks finds out what the deletes need to know of data files, and gives what takes it down.
func (c *census) asks(meta table.Metadata) func(iceberg.ManifestEntry) {
	paths, shared, equal, global := map[string]bool{}, map[string]bool{}, map[string]bool{}, false
	for _, d := range c.deletes {
		switch kindOf(meta, d.file) {
		case vectorDelete:
			paths[commit.ReferencedFile(d.file)], c.vectored[commit.ReferencedFile(d.file)] = true, true
		case positionDelete:
			paths[commit.ReferencedFile(d.file)] = true
		case sharedDelete:
			shared[d.partition] = true
		case equalityDelete:
			equal[d.partition] = true
		case globalDelete:
			global = true
		}
	}
	return func(e iceberg.ManifestEntry) {
		if global && (c.oldestOfAll == nil || e.SequenceNum() < *c.oldestOfAll) {
			at := e.SequenceNum()
			c.oldestOfAll = &at
		}
		isNamed := paths[e.DataFile().FilePath()]
		if !isNamed && len(shared)+len(equal) == 0 {
			return
		}
		f := liveFileOf(e)
		if isNamed {
			c.named[f.file.FilePath()] = f
		}
		if shared[f.partition] {
			c.beside[f.partition] = append(c.beside[f.partition], f)
		}
		if at, known := c.oldest[f.partition]; equal[f.partition] && (!known || f.sequence < at) {
			c.oldest[f.partition] = f.sequence
		}
	}
}

// covers tells whether a position delete of several data files may have positions in one: it is of its partition, not older,
// and its paths lie around the file's.
func (d *liveFile) covers(data *liveFile) bool {
	if d.partition != data.partition || d.sequence >= 0 && data.sequence > d.sequence {
		return false
	}
	path, field := data.file.FilePath(), iceberg.PositionalDeleteSchema.Field(0).ID
	low, hasLow := d.file.LowerBoundValues()[field]
	high, hasHigh := d.file.UpperBoundValues()[field]
	return (!hasLow || string(low) <= path) && (!hasHigh || path <= string(high))
}
