package merge

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
)

// A division's groups, and what was found in them, travel as JSON. Files are in
// the form in which a manifest has them, for which a reader needs the schema,
// spec and format version that they were written for; bitmaps are in roaring's
// portable form.

// File is a data file to look through, with its deletes, and FileForm a file.
type (
	File     = datafile.TaskForm
	FileForm = datafile.FileForm
)

// Found is what looking through a group came to. It names files that nobody
// else knows of.
type Found struct {
	Shape  Shape          `json:"shape"`
	Files  []FoundFile    `json:"files"`
	Groups []FoundChanges `json:"groups,omitempty"`
	// Inserts is only in what a process has kept that had come as far.
	Inserts *FoundInserts `json:"inserts,omitempty"`

	Spilled int64                    `json:"spilled,omitempty"`
	Read    int64                    `json:"read,omitempty"` // bytes of the table's files
	Stages  map[string]time.Duration `json:"stages,omitempty"`
}

// FoundFile is what was found in one file.
type FoundFile struct {
	Path      string `json:"path"`
	Signature string `json:"signature"`
	// Matched are the source rows that matched one of the file's, and Applied those
	// to which a clause applied; none of them if empty.
	Matched []byte `json:"matched,omitempty"`
	Applied []byte `json:"applied,omitempty"`
	All     bool   `json:"all,omitempty"`    // a clause applied to all that matched
	Change  int    `json:"change,omitempty"` // of Groups, counted from 1; 0: nothing changes
}

// FoundChanges is what was written for files that change together.
type FoundChanges struct {
	AddData       []FileForm `json:"add_data,omitempty"`
	RemoveData    []FileForm `json:"remove_data,omitempty"`
	AddDeletes    []FileForm `json:"add_deletes,omitempty"`
	RemoveDeletes []FileForm `json:"remove_deletes,omitempty"`
	Paths         []string   `json:"paths,omitempty"` // of what was added

	Updated      int64 `json:"updated,omitempty"`
	Deleted      int64 `json:"deleted,omitempty"`
	Identical    int64 `json:"identical,omitempty"`
	Carried      int64 `json:"carried,omitempty"`
	CarriedBytes int64 `json:"carried_bytes,omitempty"`
}

// Paths are the files that were written.
func (f *Found) Paths() (out []string) {
	for _, g := range f.Groups {
		out = append(out, g.Paths...)
	}
	if f.Inserts != nil {
		out = append(out, f.Inserts.Paths...)
	}
	return out
}

// describe is a task as it travels, without the statistics that nobody asks for
// any more: what was read of a file, its footer says too.
func (p *Plan) describe(meta table.Metadata, t table.FileScanTask) (File, error) {
	data, err := p.slim(meta, t.File)
	if err != nil {
		return File{}, err
	}
	return datafile.EncodeTask(meta, t, data)
}

// slim leaves out the statistics of columns that are not keys.
func (p *Plan) slim(meta table.Metadata, f iceberg.DataFile) (iceberg.DataFile, error) {
	spec := meta.PartitionSpecByID(int(f.SpecID()))
	if spec == nil {
		return nil, fmt.Errorf("%s: no partition spec %d", f.FilePath(), f.SpecID())
	}
	b, err := iceberg.NewDataFileBuilder(*spec, f.ContentType(), f.FilePath(), f.FileFormat(), f.Partition(), nil, nil, f.Count(), f.FileSizeBytes())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.FilePath(), err)
	}
	low, high := map[int][]byte{}, map[int][]byte{}
	for _, k := range p.binding.keys {
		if v, ok := f.LowerBoundValues()[k.field.ID]; ok {
			low[k.field.ID] = v
		}
		if v, ok := f.UpperBoundValues()[k.field.ID]; ok {
			high[k.field.ID] = v
		}
	}
	// NaNs are counted nowhere else: who copies column chunks asks for them.
	b.LowerBoundValues(low).UpperBoundValues(high).NaNValueCounts(f.NaNValueCounts())
	if id := f.FirstRowID(); id != nil {
		b.FirstRowID(*id)
	}
	if offsets := f.SplitOffsets(); len(offsets) > 0 {
		b.SplitOffsets(offsets)
	}
	if order := f.SortOrderID(); order != nil {
		b.SortOrderID(*order)
	}
	if key := f.KeyMetadata(); len(key) > 0 {
		b.KeyMetadata(key)
	}
	return b.Build(), nil
}

// found is what this process has found and written, as it travels. Rows of a
// narrowed source get the numbers that they have outside.
func (p *Plan) found(meta table.Metadata, source *narrowed) (_ *Found, err error) {
	out := &Found{Shape: p.shape}
	number := map[*groupState]int{}
	for _, g := range p.groupsInOrder() {
		if g.elsewhere {
			continue
		}
		changes, err := p.describeChanges(meta, g.out)
		if err != nil {
			return nil, fmt.Errorf("merge into %s: describe what was written: %w", p.binding.table, err)
		}
		out.Groups = append(out.Groups, changes)
		number[g] = len(out.Groups)
	}
	for path, f := range p.files {
		if f.elsewhere {
			continue
		}
		found := FoundFile{Path: path, Signature: f.signature, Change: number[f.group]}
		if found.Matched, err = bitmapBytes(source.outside(f.matched)); err != nil {
			return nil, err
		}
		if found.All = f.applied.Equals(f.matched); !found.All {
			if found.Applied, err = bitmapBytes(source.outside(f.applied)); err != nil {
				return nil, err
			}
		}
		out.Files = append(out.Files, found)
	}
	slices.SortFunc(out.Files, func(a, b FoundFile) int { return cmp.Compare(a.Path, b.Path) })
	if p.inserts != nil && !p.inserts.elsewhere {
		out.Inserts, err = p.describeInserts(meta)
	}
	return out, err
}

// describeChanges leaves out most statistics of what is removed, which is found by its path.
func (p *Plan) describeChanges(meta table.Metadata, w *written) (FoundChanges, error) {
	removed := make([]iceberg.DataFile, len(w.removeData))
	for i, f := range w.removeData {
		var err error
		if removed[i], err = p.slim(meta, f); err != nil {
			return FoundChanges{}, err
		}
	}
	out := FoundChanges{Updated: w.updated, Deleted: w.deleted, Identical: w.identical, Carried: w.carried, CarriedBytes: w.carriedBytes}
	for _, l := range []struct {
		to    *[]FileForm
		files []iceberg.DataFile
	}{{&out.AddData, w.addData}, {&out.RemoveData, removed}, {&out.AddDeletes, w.addDeletes}, {&out.RemoveDeletes, w.removeDeletes}} {
		var err error
		if *l.to, err = datafile.EncodeFiles(meta, l.files); err != nil {
			return out, err
		}
	}
	for _, f := range slices.Concat(w.addData, w.addDeletes) {
		out.Paths = append(out.Paths, f.FilePath())
	}
	return out, nil
}

func bitmapBytes(b *roaring.Bitmap) ([]byte, error) {
	if b.IsEmpty() {
		return nil, nil
	}
	b.RunOptimize()
	return b.ToBytes()
}

func bitmapFrom(data []byte) (*roaring.Bitmap, error) {
	b := roaring.New()
	if len(data) == 0 {
		return b, nil
	}
	if err := b.UnmarshalBinary(data); err != nil {
		return nil, fmt.Errorf("rows that matched: %w", err)
	}
	return b, nil
}
