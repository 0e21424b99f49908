package planning

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
)

// deleteIndex finds the delete files that apply to a data file, by the specification's rules (Scan Planning): a position
// delete file to data of its own partition that is not younger; an equality delete file to data of its own partition, or of all
// if it has none, that is older; and a deletion vector to the one file that it names, in place of position deletes.
type deleteIndex struct {
	meta    table.Metadata
	vectors map[string][]*file // by the data file they name
	byPath  map[string][]*file // position deletes of one data file
	byPart  map[string][]*file // other position deletes, by partition
	equal   map[string][]*file
	global  []*file // equality deletes without a partition
}

func newDeleteIndex(meta table.Metadata) *deleteIndex {
	return &deleteIndex{meta: meta, vectors: map[string][]*file{}, byPath: map[string][]*file{}, byPart: map[string][]*file{}, equal: map[string][]*file{}}
}

func (x *deleteIndex) add(f *file, spec int32) {
	switch {
	case table.IsDeletionVector(f.data):
		if of := f.data.ReferencedDataFile(); of != nil {
			x.vectors[*of] = append(x.vectors[*of], f)
		}
	case f.data.ContentType() == iceberg.EntryContentPosDeletes:
		if of := DeletesFrom(f.data); of != "" {
			x.byPath[of] = append(x.byPath[of], f)
			return
		}
		key := partitionOf(f, spec)
		x.byPart[key] = append(x.byPart[key], f)
	default:
		if s := x.meta.PartitionSpecByID(int(spec)); s == nil || s.IsUnpartitioned() {
			x.global = append(x.global, f)
			return
		}
		key := partitionOf(f, spec)
		x.equal[key] = append(x.equal[key], f)
	}
}

var pathField = iceberg.PositionalDeleteSchema.Field(0).ID

// DeletesFrom is the one data file that a position-delete file is about; "" if there may be several. Paths longer than bounds
// are cut to say nothing, since the upper one is raised.
func DeletesFrom(f iceberg.DataFile) string {
	if of := f.ReferencedDataFile(); of != nil && *of != "" {
		return *of
	}
	low, high := f.LowerBoundValues()[pathField], f.UpperBoundValues()[pathField]
	if len(low) > 0 && bytes.Equal(low, high) {
		return string(low)
	}
	return ""
}

// partitionOf is the same text for files of the same partition of the same spec.
func partitionOf(f *file, spec int32) string { return datafile.PartitionKey(int(spec), f.partition) }

// task is a candidate with what is deleted from it.
func (x *deleteIndex) task(c candidate, counts *Counts) (table.FileScanTask, error) {
	t := table.FileScanTask{File: c.data, Length: c.data.FileSizeBytes(), FirstRowID: c.data.FirstRowID()}
	if c.sequence >= 0 {
		sequence := c.sequence
		t.DataSequenceNumber = &sequence
	}
	path, partition := c.data.FilePath(), ""
	if len(x.byPart)+len(x.equal) > 0 {
		partition = partitionOf(c.file, c.spec)
	}
	vectors := x.vectors[path]
	if len(vectors) > 1 {
		return t, fmt.Errorf("data file %s has %d deletion vectors", path, len(vectors))
	}
	for _, f := range vectors {
		if f.sequence < 0 || c.sequence <= f.sequence {
			t.DeletionVectorFiles = append(t.DeletionVectorFiles, f.data)
		}
	}
	if len(t.DeletionVectorFiles) == 0 {
		for _, f := range x.byPart[partition] {
			if c.sequence <= f.sequence && mayName(f.data, path) {
				t.DeleteFiles = append(t.DeleteFiles, f.data)
			}
		}
		for _, f := range x.byPath[path] {
			if c.sequence <= f.sequence {
				t.DeleteFiles = append(t.DeleteFiles, f.data)
			}
		}
	}
	for _, some := range [][]*file{x.global, x.equal[partition]} {
		for _, f := range some {
			if c.sequence < f.sequence {
				t.EqualityDeleteFiles = append(t.EqualityDeleteFiles, f.data)
			}
		}
	}
	counts.DeleteFiles += len(t.DeletionVectorFiles) + len(t.DeleteFiles) + len(t.EqualityDeleteFiles)
	return t, nil
}

// mayName says whether a data file's path is within the bounds of those that a position-delete file names.
func mayName(f iceberg.DataFile, path string) bool {
	low, hasLow := f.LowerBoundValues()[pathField]
	high, hasHigh := f.UpperBoundValues()[pathField]
	return (!hasLow || string(low) <= path) && (!hasHigh || path <= string(high))
}

// deletes reads the delete files that may apply to a candidate; with nil, all.
func (p *planner) deletes(ctx context.Context, manifests []iceberg.ManifestFile, candidates []candidate, out *Plan) (*deleteIndex, error) {
	index := newDeleteIndex(p.meta)
	if candidates == nil && p.opts.Choose == nil {
		return index, nil
	}
	of := p.concerned(index, candidates)
	manifests = slices.DeleteFunc(slices.Clone(manifests), func(m iceberg.ManifestFile) bool { return m.SequenceNum() < of.oldest })
	out.Counts.DeleteManifests = len(manifests)
	found := make([][]candidate, len(manifests))
	err := p.each(ctx, manifests, func(_ context.Context, i int, m *listed) error {
		partition, err := p.filter.partition(p.meta, m.spec)
		if err != nil {
			return err
		}
		keep := truth(m.len())
		partition.files(keep, m)
		for f, k := range keep {
			if !k {
				continue
			}
			one, err := m.file(f)
			if err != nil {
				return err
			}
			if of.mayBe(one, m.spec) {
				found[i] = append(found[i], candidate{file: one, spec: m.spec})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, some := range found {
		for _, d := range some {
			index.add(d.file, d.spec)
		}
	}
	return index, nil
}

// concern is what deletes may be of to be worth keeping.
type concern struct {
	index      *deleteIndex
	all        bool
	oldest     int64 // sequence number of a candidate
	paths      map[string]bool
	partitions map[string]bool
}

func (p *planner) concerned(index *deleteIndex, candidates []candidate) *concern {
	of := &concern{index: index, all: p.opts.Choose != nil, paths: map[string]bool{}, partitions: map[string]bool{}}
	if of.all {
		of.oldest = math.MinInt64
		return of
	}
	of.oldest = math.MaxInt64
	for _, c := range candidates {
		of.oldest = min(of.oldest, c.sequence)
		of.paths[c.data.FilePath()] = true
		of.partitions[partitionOf(c.file, c.spec)] = true
	}
	return of
}

// mayBe says whether a delete file may be of a candidate.
func (of *concern) mayBe(f *file, spec int32) bool {
	switch {
	case of.all:
		return true
	case table.IsDeletionVector(f.data):
		path := f.data.ReferencedDataFile()
		return path != nil && of.paths[*path]
	case f.data.ContentType() == iceberg.EntryContentPosDeletes:
		if path := DeletesFrom(f.data); path != "" {
			return of.paths[path]
		}
	default:
		if s := of.index.meta.PartitionSpecByID(int(spec)); s == nil || s.IsUnpartitioned() {
			return true
		}
	}
	return of.partitions[partitionOf(f, spec)]
}

// Deletes calls each with every delete file of a snapshot that is listed where those of the places may be, also with those that apply
// to no file. Several goroutines call.
func Deletes(ctx context.Context, meta table.Metadata, fs iceio.IO, opts Options, each func(iceberg.DataFile)) error {
	opts.Described, opts.Schema = true, meta.CurrentSchema()
	p, err := newPlanner(meta, fs, opts)
	if err != nil || opts.Snapshot == nil {
		return err
	}
	manifests, err := p.manifests(ctx)
	if err == nil {
		_, manifests, err = p.choose(manifests, &Counts{})
	}
	if err == nil {
		err = p.each(ctx, manifests, func(_ context.Context, _ int, m *listed) error {
			for i := range m.len() {
				f, err := m.file(i)
				if err != nil {
					return err
				}
				each(f.data)
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("delete files of snapshot %d: %w", opts.Snapshot.SnapshotID, err)
	}
	return nil
}
