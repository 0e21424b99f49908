package activities

import (
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/codec"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables"
)

// scanTask is a table.FileScanTask as it travels: in the form in which a manifest has its file, for which a reader needs
// the partition spec that it was written by.
type scanTask struct {
	Spec int    `json:"spec"`
	Data []byte `json:"data"`
}

func encodeTask(t *tables.Table, task table.FileScanTask) (scanTask, error) {
	id := int(task.File.SpecID())
	spec, err := specOf(t, id)
	if err != nil {
		return scanTask{}, err
	}
	meta := t.Iceberg().Metadata()
	data, err := codec.EncodeFileScanTask(task, *spec, meta.CurrentSchema(), meta.Version())
	if err != nil {
		return scanTask{}, fmt.Errorf("describe %s of %s: %w", task.File.FilePath(), t.Name(), err)
	}
	return scanTask{Spec: id, Data: data}, nil
}

func decodeTasks(t *tables.Table, tasks []scanTask) ([]table.FileScanTask, error) {
	meta := t.Iceberg().Metadata()
	out := make([]table.FileScanTask, len(tasks))
	for i, task := range tasks {
		spec, err := specOf(t, task.Spec)
		if err != nil {
			return nil, err
		}
		out[i], err = codec.DecodeFileScanTask(task.Data, *spec, meta.CurrentSchema(), meta.Version())
		if err != nil {
			return nil, fmt.Errorf("data files of %s: %w", t.Name(), err)
		}
	}
	return out, nil
}

func specOf(t *tables.Table, id int) (*iceberg.PartitionSpec, error) {
	for _, spec := range t.Iceberg().Metadata().PartitionSpecs() {
		if spec.ID() == id {
			return &spec, nil
		}
	}
	return nil, fmt.Errorf("%s has no partition spec %d", t.Name(), id)
}
