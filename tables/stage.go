package tables

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/codec"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
)

// StageOptions says how rows are written before they are committed.
type StageOptions struct {
	// Prefix begins the names of the data files, so that a run's files can be told apart.
	Prefix         string
	TargetFileSize int64 // 0 means the table's write.target-file-size-bytes
	MemoryLimit    int64
	Parallelism    int
	// Progress, when set, is told the rows written so far.
	Progress func(rows int64)
}

// Staged is data files in the table's layout that no snapshot names yet.
type Staged struct {
	Files []iceberg.DataFile
	Rows  int64
	Bytes int64

	meta table.Metadata // what the files were written for
}

// Stage writes rows as data files in the table's current layout. The columns of rows are matched to the table's by name;
// an optional one that rows lack is null, or its default. Stage releases the reader. After an error it has removed what
// it wrote.
func (t *Table) Stage(ctx context.Context, rows array.RecordReader, opts StageOptions) (_ *Staged, err error) {
	defer rows.Release()
	shape, err := t.shape(rows.Schema())
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", t.name, err)
	}
	store, err := t.FS(ctx)
	if err != nil {
		return nil, err
	}
	w, err := datafile.NewWriter(ctx, t.tbl.Metadata(), store, datafile.WriterOptions{
		Prefix: opts.Prefix, TargetFileSize: opts.TargetFileSize,
		MemoryLimit: firstOf(opts.MemoryLimit, t.lake.cfg.MemoryLimit),
		Parallelism: firstOf(opts.Parallelism, t.lake.cfg.Parallelism),
	})
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", t.name, err)
	}
	staged := &Staged{meta: t.tbl.Metadata()}
	if err := staged.fill(ctx, w, rows, shape, opts.Progress); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", t.name, err), w.Abort())
	}
	return staged, nil
}

func firstOf[T comparable](values ...T) (zero T) {
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

func (s *Staged) fill(ctx context.Context, w *datafile.Writer, rows array.RecordReader, shape *rowShape, progress func(int64)) error {
	for rows.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		batch := shape.arrange(rows.RecordBatch())
		err := w.Write(batch)
		batch.Release()
		if err != nil {
			return err
		}
		s.Rows += rows.RecordBatch().NumRows()
		if progress != nil {
			progress(s.Rows)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	files, err := w.Close()
	if err != nil {
		return err
	}
	s.Files = files
	for _, f := range files {
		s.Bytes += f.FileSizeBytes()
	}
	return nil
}

// rowShape brings the columns of rows into the table's order.
type rowShape struct {
	schema *arrow.Schema
	from   []int // the column of rows; -1 if rows lack it
}

func (t *Table) shape(rows *arrow.Schema) (*rowShape, error) {
	out := &rowShape{}
	var fields []arrow.Field
	want := map[string]bool{}
	for _, f := range t.tbl.Schema().Fields() {
		want[f.Name] = true
		at := rows.FieldIndices(f.Name)
		switch {
		case len(at) > 1:
			return nil, badDefinition("the rows have column %s %d times", f.Name, len(at))
		case len(at) == 1:
			out.from = append(out.from, at[0])
			fields = append(fields, rows.Field(at[0]))
			continue
		case f.WriteDefault != nil:
			return nil, badDefinition("the rows lack column %s, whose default is not supported here", f.Name)
		case f.Required:
			return nil, badDefinition("the rows lack column %s, which is required", f.Name)
		}
		field, err := arrowField(f)
		if err != nil {
			return nil, err
		}
		out.from = append(out.from, -1)
		fields = append(fields, field)
	}
	for _, f := range rows.Fields() {
		if !want[f.Name] {
			return nil, badDefinition("the rows have column %s, which is not in the table", f.Name)
		}
	}
	out.schema = arrow.NewSchema(fields, nil)
	return out, nil
}

// arrange gives a batch that the caller releases.
func (s *rowShape) arrange(batch arrow.RecordBatch) arrow.RecordBatch {
	columns := make([]arrow.Array, len(s.from))
	for i, from := range s.from {
		if from >= 0 {
			columns[i] = batch.Column(from)
			continue
		}
		columns[i] = array.MakeArrayOfNull(memory.DefaultAllocator, s.schema.Field(i).Type, int(batch.NumRows()))
		defer columns[i].Release()
	}
	return array.NewRecordBatch(s.schema, columns, batch.NumRows())
}

// Discard removes the data files of staged work that will never be committed. Files that are gone already are no error.
// It must not be called after an error of which commit.Safe does not hold.
func (t *Table) Discard(ctx context.Context, staged ...*Staged) error {
	var paths []string
	for _, s := range staged {
		for _, f := range s.Files {
			paths = append(paths, f.FilePath())
		}
	}
	return t.removeFiles(ctx, paths)
}

func (t *Table) removeFiles(ctx context.Context, paths []string) error {
	store, err := t.FS(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range paths {
		if err := store.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// stagedForm is Staged as it travels. A file is in the form in which a manifest has it, for which its reader needs the
// schema and spec that it was written for.
type stagedForm struct {
	Version int              `json:"version"`
	Table   string           `json:"table"` // the table's uuid
	Schema  int              `json:"schema"`
	Format  int              `json:"format"`
	Rows    int64            `json:"rows"`
	Bytes   int64            `json:"bytes"`
	Files   []stagedFileForm `json:"files"`
}

type stagedFileForm struct {
	Spec int32  `json:"spec"`
	Data []byte `json:"data"`
}

const stagedVersion = 1

// Encode gives Staged as bytes, for travelling by reference. Table.DecodeStaged reads them.
func (s *Staged) Encode() ([]byte, error) {
	if s.meta == nil {
		return nil, errors.New("encode staged files: they were not made by Stage")
	}
	out := stagedForm{
		Version: stagedVersion, Table: s.meta.TableUUID().String(), Schema: s.meta.CurrentSchema().ID,
		Format: s.meta.Version(), Rows: s.Rows, Bytes: s.Bytes,
	}
	for _, f := range s.Files {
		spec := s.meta.PartitionSpecByID(int(f.SpecID()))
		if spec == nil {
			return nil, fmt.Errorf("encode staged file %s: no partition spec %d", f.FilePath(), f.SpecID())
		}
		data, err := codec.EncodeDataFile(f, *spec, s.meta.CurrentSchema(), s.meta.Version())
		if err != nil {
			return nil, fmt.Errorf("encode staged file %s: %w", f.FilePath(), err)
		}
		out.Files = append(out.Files, stagedFileForm{Spec: f.SpecID(), Data: data})
	}
	return json.Marshal(out)
}

// DecodeStaged reads what Encode wrote. The table may have evolved since.
func (t *Table) DecodeStaged(data []byte) (*Staged, error) {
	var in stagedForm
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("staged files of %s: %w", t.name, err)
	}
	meta := t.tbl.Metadata()
	if in.Version != stagedVersion {
		return nil, fmt.Errorf("staged files of %s: version %d, this program reads %d", t.name, in.Version, stagedVersion)
	}
	if got := meta.TableUUID().String(); in.Table != got {
		return nil, fmt.Errorf("staged files of %s: they are of table %s, which was dropped; it is %s now", t.name, in.Table, got)
	}
	schema, ok := t.tbl.Schemas()[in.Schema]
	if !ok {
		return nil, fmt.Errorf("staged files of %s: no schema %d", t.name, in.Schema)
	}
	out := &Staged{Rows: in.Rows, Bytes: in.Bytes, meta: meta}
	for i, f := range in.Files {
		spec := meta.PartitionSpecByID(int(f.Spec))
		if spec == nil {
			return nil, fmt.Errorf("staged files of %s: no partition spec %d", t.name, f.Spec)
		}
		file, err := codec.DecodeDataFile(f.Data, *spec, schema, in.Format)
		if err != nil {
			return nil, fmt.Errorf("staged files of %s: file %d: %w", t.name, i+1, err)
		}
		out.Files = append(out.Files, file)
	}
	return out, nil
}
