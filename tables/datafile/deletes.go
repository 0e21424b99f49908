package datafile

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"

	"github.com/varve-lake/varve/tables/cache"
)

// Deletes returns the positions of task's data file that its position deletes and deletion vectors delete. Equality deletes,
// which are no positions, are not among them. It never returns nil without an error. The bitmap is the caller's.
func Deletes(ctx context.Context, fs iceio.IO, task table.FileScanTask) (*roaring64.Bitmap, error) {
	return newDeleteFiles(fs, nil).positions(ctx, task)
}

// DeletesOfAll calls each with what Deletes gives of each of the tasks. A position-delete file that several of them name is read
// once, and held until the end.
func DeletesOfAll(ctx context.Context, fs iceio.IO, tasks []table.FileScanTask, each func(table.FileScanTask, *roaring64.Bitmap) error) error {
	files := newDeleteFiles(fs, tasks)
	for _, t := range tasks {
		if err := ctx.Err(); err != nil {
			return err
		}
		positions, err := files.positions(ctx, t)
		if err != nil {
			return err
		}
		if err := each(t, positions); err != nil {
			return err
		}
	}
	return nil
}

// deleteFiles reads the position deletes of many tasks, each file once however many data files it deletes from.
type deleteFiles struct {
	fs iceio.IO
	// shared counts the tasks that name a position-delete file; those of one task only are not kept.
	shared map[string]int

	cache *cache.Cache // keeps bitmaps for other scans

	mu    sync.Mutex
	files map[string]*deleteFile
}

type deleteFile struct {
	once    sync.Once
	targets map[string]*roaring64.Bitmap
	err     error
}

func newDeleteFiles(fs iceio.IO, tasks []table.FileScanTask) *deleteFiles {
	d := &deleteFiles{fs: fs, shared: map[string]int{}, files: map[string]*deleteFile{}}
	for _, t := range tasks {
		for _, f := range t.DeleteFiles {
			d.shared[f.FilePath()]++
		}
	}
	return d
}

func (d *deleteFiles) keptIn(c *cache.Cache) *deleteFiles {
	d.cache = c
	return d
}

// kept reads a bitmap by way of the cache; nobody changes it.
func (d *deleteFiles) kept(ctx context.Context, f iceberg.DataFile, target string, read func() (*roaring64.Bitmap, error)) (*roaring64.Bitmap, error) {
	at := int64(-1)
	if o := f.ContentOffset(); o != nil {
		at = *o
	}
	key := fmt.Sprintf("deletes %s %d %s", f.FilePath(), at, target)
	return cache.Value(ctx, d.cache, key, func(context.Context) (*roaring64.Bitmap, int64, error) {
		found, err := read()
		if found == nil || err != nil {
			return nil, 0, err
		}
		return found, int64(found.GetSizeInBytes()), nil
	})
}

func (d *deleteFiles) positions(ctx context.Context, task table.FileScanTask) (*roaring64.Bitmap, error) {
	out := roaring64.New()
	for _, f := range task.DeletionVectorFiles {
		vector, err := d.kept(ctx, f, task.File.FilePath(), func() (*roaring64.Bitmap, error) { return readVector(d.fs, f) })
		if err != nil {
			return nil, fmt.Errorf("deletes of %s: %w", task.File.FilePath(), err)
		}
		out.Or(vector)
	}
	if len(task.DeletionVectorFiles) > 0 {
		// A vector holds all that was deleted when it was written; position-delete files beside it are leftovers of version 2.
		return out, nil
	}
	for _, f := range task.DeleteFiles {
		if f.ContentType() != iceberg.EntryContentPosDeletes {
			continue
		}
		positions, err := d.of(ctx, f, task.File.FilePath())
		if err != nil {
			return nil, fmt.Errorf("deletes of %s: %w", task.File.FilePath(), err)
		}
		if positions != nil {
			out.Or(positions)
		}
	}
	return out, nil
}

func readVector(fs iceio.IO, f iceberg.DataFile) (out *roaring64.Bitmap, err error) {
	err = protect(func() error {
		bitmap, err := dv.ReadDV(fs, f)
		if err != nil {
			return err
		}
		// Both write the same portable form.
		var portable bytes.Buffer
		if err := bitmap.Serialize(&portable); err != nil {
			return err
		}
		out = roaring64.New()
		_, err = out.ReadFrom(&portable)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("deletion vector in %s: %w", f.FilePath(), err)
	}
	return out, nil
}

// of gives what one position-delete file deletes from one data file.
func (d *deleteFiles) of(ctx context.Context, f iceberg.DataFile, target string) (*roaring64.Bitmap, error) {
	if d.shared[f.FilePath()] < 2 {
		return d.kept(ctx, f, target, func() (*roaring64.Bitmap, error) {
			found, err := readPositionDeletes(ctx, d.fs, f, target)
			return found[target], err
		})
	}
	d.mu.Lock()
	file := d.files[f.FilePath()]
	if file == nil {
		file = &deleteFile{}
		d.files[f.FilePath()] = file
	}
	d.mu.Unlock()
	file.once.Do(func() { file.targets, file.err = readPositionDeletes(ctx, d.fs, f, "") })
	return file.targets[target], file.err
}

// readPositionDeletes reads a position-delete file: of one data file, or of all with an empty target.
func readPositionDeletes(ctx context.Context, fs iceio.IO, f iceberg.DataFile, target string) (map[string]*roaring64.Bitmap, error) {
	schema := iceberg.PositionalDeleteSchema
	opts := ReadOptions{Schema: schema, NameMapping: schema.NameMapping(), Parallelism: 1}
	if target != "" {
		opts.Filter = iceberg.EqualTo(iceberg.Reference(schema.Field(0).Name), target)
	}
	r, err := Open(ctx, fs, f, opts)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	out := map[string]*roaring64.Bitmap{}
	for r.Next() {
		paths, positions := r.RecordBatch().Column(0).(*array.String), r.RecordBatch().Column(1).(*array.Int64)
		for i := 0; i < paths.Len(); {
			// Rows are sorted by path, so a run is one file's.
			end := i + 1
			for end < paths.Len() && paths.Value(end) == paths.Value(i) {
				end++
			}
			bitmap := out[paths.Value(i)]
			if bitmap == nil {
				bitmap = roaring64.New()
				out[string(append([]byte{}, paths.Value(i)...))] = bitmap
			}
			for ; i < end; i++ {
				if positions.Value(i) < 0 {
					return nil, fmt.Errorf("%s deletes position %d", f.FilePath(), positions.Value(i))
				}
				bitmap.Add(uint64(positions.Value(i)))
			}
		}
	}
	return out, r.Err()
}
