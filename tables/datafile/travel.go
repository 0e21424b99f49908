package datafile

import (
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/codec"
	"github.com/apache/iceberg-go/table"
)

// FileForm is a file as it travels between processes: as a manifest entry. Reading it takes the schema, the partition spec and
// the format version that it was written for, which a Decoder holds.
type FileForm struct {
	Spec  int32  `json:"spec"`
	Entry []byte `json:"entry"`
}

// TaskForm is a data file to read, with its deletes, as it travels between processes.
type TaskForm struct {
	Data       FileForm   `json:"data"`
	Positions  []FileForm `json:"positions,omitempty"`
	Equality   []FileForm `json:"equality,omitempty"`
	Vectors    []FileForm `json:"vectors,omitempty"`
	FirstRowID *int64     `json:"first_row_id,omitempty"`
	Sequence   *int64     `json:"sequence,omitempty"`
}

// Weight is about the size of its JSON.
func (f TaskForm) Weight() int {
	n := 0
	for _, forms := range [][]FileForm{{f.Data}, f.Positions, f.Equality, f.Vectors} {
		for _, form := range forms {
			n += len(form.Entry)*4/3 + 40
		}
	}
	return n
}

// EncodeFile describes a file of the table that meta describes.
func EncodeFile(meta table.Metadata, f iceberg.DataFile) (FileForm, error) {
	spec := meta.PartitionSpecByID(int(f.SpecID()))
	if spec == nil {
		return FileForm{}, fmt.Errorf("%s: no partition spec %d", f.FilePath(), f.SpecID())
	}
	entry, err := codec.EncodeDataFile(f, *spec, meta.CurrentSchema(), meta.Version())
	if err != nil {
		return FileForm{}, fmt.Errorf("%s: %w", f.FilePath(), err)
	}
	return FileForm{Spec: f.SpecID(), Entry: entry}, nil
}

// EncodeFiles describes files of the table that meta describes.
func EncodeFiles(meta table.Metadata, files []iceberg.DataFile) ([]FileForm, error) {
	var out []FileForm
	for _, f := range files {
		form, err := EncodeFile(meta, f)
		if err != nil {
			return nil, err
		}
		out = append(out, form)
	}
	return out, nil
}

// EncodeTask describes a file to read with its deletes. data stands for the task's own file, and may lack some of its statistics.
func EncodeTask(meta table.Metadata, t table.FileScanTask, data iceberg.DataFile) (TaskForm, error) {
	out := TaskForm{FirstRowID: t.FirstRowID, Sequence: t.DataSequenceNumber}
	for _, l := range []struct {
		to    *[]FileForm
		files []iceberg.DataFile
	}{{&out.Positions, t.DeleteFiles}, {&out.Equality, t.EqualityDeleteFiles}, {&out.Vectors, t.DeletionVectorFiles}} {
		var err error
		if *l.to, err = EncodeFiles(meta, l.files); err != nil {
			return out, err
		}
	}
	var err error
	out.Data, err = EncodeFile(meta, data)
	return out, err
}

// Decoder reads files that were described for a schema and a format version of a table.
type Decoder struct {
	meta    table.Metadata
	schema  *iceberg.Schema
	version int
}

// NewDecoder is for files that were described when the table had the schema and format version given.
func NewDecoder(meta table.Metadata, schema, version int) (*Decoder, error) {
	at := slices.IndexFunc(meta.Schemas(), func(s *iceberg.Schema) bool { return s.ID == schema })
	if at < 0 {
		return nil, fmt.Errorf("files that were described travel with schema %d, which the table does not have", schema)
	}
	return &Decoder{meta: meta, schema: meta.Schemas()[at], version: version}, nil
}

// Files reads what EncodeFiles wrote.
func (d *Decoder) Files(forms []FileForm) ([]iceberg.DataFile, error) {
	var out []iceberg.DataFile
	for _, f := range forms {
		spec := d.meta.PartitionSpecByID(int(f.Spec))
		if spec == nil {
			return nil, fmt.Errorf("a file that was described is of partition spec %d, which the table does not have", f.Spec)
		}
		file, err := codec.DecodeDataFile(f.Entry, *spec, d.schema, d.version)
		if err != nil {
			return nil, fmt.Errorf("a file that was described: %w", err)
		}
		out = append(out, file)
	}
	return out, nil
}

// Tasks reads what EncodeTask wrote.
func (d *Decoder) Tasks(files []TaskForm) ([]table.FileScanTask, error) {
	out := make([]table.FileScanTask, len(files))
	for i, f := range files {
		data, err := d.Files([]FileForm{f.Data})
		if err != nil {
			return nil, err
		}
		t := table.FileScanTask{File: data[0], Length: data[0].FileSizeBytes(), FirstRowID: f.FirstRowID, DataSequenceNumber: f.Sequence}
		for _, l := range []struct {
			to    *[]iceberg.DataFile
			forms []FileForm
		}{{&t.DeleteFiles, f.Positions}, {&t.EqualityDeleteFiles, f.Equality}, {&t.DeletionVectorFiles, f.Vectors}} {
			if *l.to, err = d.Files(l.forms); err != nil {
				return nil, err
			}
		}
		out[i] = t
	}
	return out, nil
}
