package maintain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
)

// ErrMoved says that the table has another schema, partition spec or format than when a compaction was planned: it is to be
// planned anew.
var ErrMoved = errors.New("the table has changed since the compaction was planned")

// Compacted is a group that is rewritten and not committed yet. It travels as JSON. Its files are its owner's.
type Compacted struct {
	Number  int `json:"number"` // of the group
	Schema  int `json:"schema"`
	Version int `json:"version"` // of the format

	// Inputs are the files that it takes the place of, with what their live rows depended on.
	Inputs []CompactedInput `json:"inputs"`
	// Place is a file without statistics in each partition that they and their deletes lie in. Without it they are looked for in all.
	Place []datafile.FileForm `json:"place,omitempty"`
	// Sequence is the number of the snapshot that they were read at: what deletes from them came since if its own is higher.
	Sequence int64 `json:"sequence,omitempty"`

	Files []datafile.FileForm `json:"files,omitempty"` // none if all rows were deleted
	Paths []string            `json:"paths,omitempty"` // of Files

	Rows         int64 `json:"rows"`
	BytesRead    int64 `json:"bytes_read"` // of the inputs
	BytesWritten int64 `json:"bytes_written"`
	BytesCopied  int64 `json:"bytes_copied,omitempty"` // of those written, what was not decoded
}

// CompactedInput is a data file that was rewritten.
type CompactedInput struct {
	Path string `json:"path"`
	// Live is equal for two states of a table in which the same of the file's rows are live.
	Live string `json:"live"`
}

// Local is what a process gives to the groups that it rewrites.
type Local struct {
	Parallelism int
	MemoryLimit int64
	TempDir     string
}

// CompactGroup rewrites one group of a plan, and commits nothing. Called twice it writes twice; what is not committed is to be
// removed. After an error nothing of what was written is kept. ErrMoved: the table is not what was planned for.
func CompactGroup(ctx context.Context, head *table.Table, plan CompactionPlan, g CompactionGroup, local Local) (Compacted, error) {
	meta := head.Metadata()
	spec := meta.PartitionSpec()
	if meta.TableUUID().String() != plan.Table || meta.CurrentSchema().ID != plan.Schema || spec.ID() != plan.Spec || meta.Version() != plan.Version {
		return Compacted{}, wrap(head, ErrMoved)
	}
	files, err := datafile.NewDecoder(meta, plan.Schema, plan.Version)
	if err != nil {
		return Compacted{}, wrap(head, err)
	}
	tasks, err := files.Tasks(g.Files)
	if err != nil {
		return Compacted{}, wrap(head, err)
	}
	done, err := rewrite(ctx, head, plan, tasks, local)
	if err != nil {
		return Compacted{}, wrap(head, err)
	}
	out, err := done.describe(meta, plan, g.Number)
	if err != nil {
		return Compacted{}, wrap(head, errors.Join(err, done.remove()))
	}
	return out, nil
}

// rewritten is a group whose rows lie in new files.
type rewritten struct {
	inputs []CompactedInput
	place  []iceberg.DataFile // one in each partition of the inputs and of their deletes; none if they are not known
	out    []iceberg.DataFile
	read   int64
	copied int64
	fs     iceio.WriteFileIO
	from   *Compacted // elsewhere

	sequence int64 // see Compacted
}

func (r *rewritten) rows() (n int64) {
	for _, f := range r.out {
		n += f.Count()
	}
	return n
}

func (r *rewritten) bytes() (n int64) {
	for _, f := range r.out {
		n += f.FileSizeBytes()
	}
	return n
}

// remove removes files that nobody else knows of.
func (r *rewritten) remove() error {
	var errs []error
	for _, f := range r.out {
		errs = append(errs, r.fs.Remove(f.FilePath()))
	}
	return errors.Join(errs...)
}

func (r *rewritten) describe(meta table.Metadata, plan CompactionPlan, number int) (Compacted, error) {
	out := Compacted{
		Number: number, Schema: plan.Schema, Version: plan.Version, Inputs: r.inputs, Sequence: r.sequence,
		Rows: r.rows(), BytesRead: r.read, BytesWritten: r.bytes(), BytesCopied: r.copied,
	}
	var err error
	if out.Place, err = datafile.EncodeFiles(meta, r.place); err != nil {
		return out, err
	}
	out.Files, err = datafile.EncodeFiles(meta, r.out)
	for _, f := range r.out {
		out.Paths = append(out.Paths, f.FilePath())
	}
	return out, err
}

// rewrite reads the live rows of files and writes them anew.
func rewrite(ctx context.Context, head *table.Table, plan CompactionPlan, tasks []table.FileScanTask, local Local) (*rewritten, error) {
	fs, err := head.FS(ctx)
	if err != nil {
		return nil, err
	}
	out := &rewritten{sequence: plan.Sequence}
	var ok bool
	if out.fs, ok = fs.(iceio.WriteFileIO); !ok {
		return nil, errors.New("its store cannot be written to")
	}
	for _, t := range tasks {
		out.inputs = append(out.inputs, CompactedInput{t.File.FilePath(), signature(t)})
		out.read += t.File.FileSizeBytes()
	}
	if out.place, err = placesOf(head.Metadata(), tasks); err != nil {
		return nil, err
	}
	opts := datafile.WriterOptions{
		TargetFileSize: plan.TargetFileBytes, RowLineage: head.Metadata().Version() >= 3, Parallelism: local.Parallelism,
		TempDir: local.TempDir, MemoryLimit: local.MemoryLimit, Prefix: plan.prefix(), Like: longest(tasks),
	}
	switch plan.Strategy {
	case Sort:
		opts.Order = plan.Order
	case ZOrder:
		if opts.Curve, err = datafile.NewCurve(ctx, head, plan.Order, tasks); err != nil {
			return nil, err
		}
	}
	w, err := datafile.NewWriter(ctx, head.Metadata(), out.fs, opts)
	if err != nil {
		return nil, err
	}
	err = writeAll(ctx, head, w, tasks, local, !(len(tasks) > 1 && coarse(tasks, plan.TargetFileBytes)))
	if err == nil {
		out.copied = w.CarriedBytes()
		out.out, err = w.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("rewrite %s: %w", counted(len(tasks), "file"), err), w.Abort())
	}
	return out, nil
}

// placesOf are files without statistics, one in each partition of those of some tasks and of what is deleted from them.
func placesOf(meta table.Metadata, tasks []table.FileScanTask) (out []iceberg.DataFile, err error) {
	known := map[string]bool{}
	for _, t := range tasks {
		for _, f := range slices.Concat([]iceberg.DataFile{t.File}, t.DeleteFiles, t.DeletionVectorFiles, t.EqualityDeleteFiles) {
			key := datafile.PartitionKey(int(f.SpecID()), f.Partition())
			if known[key] {
				continue
			}
			known[key] = true
			place, err := placeOf(meta, f, t.File)
			if err != nil {
				return nil, err
			}
			out = append(out, place)
		}
	}
	return out, nil
}

// placeOf is a file without statistics in the partition of one, which is otherwise like another.
func placeOf(meta table.Metadata, f, like iceberg.DataFile) (iceberg.DataFile, error) {
	spec := meta.PartitionSpecByID(int(f.SpecID()))
	if spec == nil {
		return nil, fmt.Errorf("%s: no partition spec %d", f.FilePath(), f.SpecID())
	}
	b, err := iceberg.NewDataFileBuilder(*spec, like.ContentType(), like.FilePath(), like.FileFormat(), f.Partition(), nil, nil, like.Count(), like.FileSizeBytes())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.FilePath(), err)
	}
	return b.Build(), nil
}

func writeAll(ctx context.Context, head *table.Table, w *datafile.Writer, tasks []table.FileScanTask, local Local, carry bool) error {
	var rest []table.FileScanTask
	for _, t := range tasks {
		taken := false
		var err error
		if carry {
			taken, err = w.Carry(t)
		}
		if err != nil {
			return err
		}
		if !taken {
			rest = append(rest, t)
		}
	}
	if len(rest) == 0 {
		return nil
	}
	rows, err := datafile.Scan(ctx, head, datafile.ScanOptions{Columns: columnsOf(head), Files: rest, Parallelism: local.Parallelism, Dictionaries: w.Sorts()})
	if err != nil {
		return err
	}
	defer rows.Release()
	for rows.Next() {
		if err := w.Write(rows.RecordBatch()); err != nil {
			return err
		}
	}
	return rows.Err()
}

// longest is the file with the most rows. Short ones are little but footers.
func longest(tasks []table.FileScanTask) iceberg.DataFile {
	return slices.MaxFunc(tasks, func(a, b table.FileScanTask) int { return cmp.Compare(a.File.Count(), b.File.Count()) }).File
}

// coarse says that files make more than one, and that row groups of theirs are so large that carrying them whole could make as
// many files again: a target is then met by rows only.
func coarse(tasks []table.FileScanTask, target int64) bool {
	bytes, largest := int64(0), int64(0)
	for _, t := range tasks {
		size := t.File.FileSizeBytes()
		bytes, largest = bytes+size, max(largest, size/int64(max(len(t.File.SplitOffsets()), 1)))
	}
	return bytes > target && largest > target/8
}

// columnsOf are all columns, with row lineage where the format has it.
func columnsOf(head *table.Table) []string {
	var out []string
	for _, f := range head.Schema().Fields() {
		out = append(out, f.Name)
	}
	if head.Metadata().Version() >= 3 {
		out = append(out, iceberg.RowIDColumnName, iceberg.LastUpdatedSequenceNumberColumnName)
	}
	return slices.Clip(out)
}
