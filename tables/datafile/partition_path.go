package datafile

import (
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// PartitionPath is a file's partition as engines write it in paths, as "day=2026-01-01/kind=a"; "" for a file without one, and
// where a value of it cannot be written.
func PartitionPath(meta table.Metadata, f iceberg.DataFile) string {
	spec := meta.PartitionSpecByID(int(f.SpecID()))
	if spec == nil || spec.IsUnpartitioned() {
		return ""
	}
	return partitionPath(*spec, meta.CurrentSchema(), f.Partition())
}

func partitionPath(spec iceberg.PartitionSpec, schema *iceberg.Schema, values map[int]any) (path string) {
	record := make(partitionRecord, spec.NumFields())
	for i := range record {
		record[i] = values[spec.Field(i).FieldID]
	}
	_ = protect(func() error {
		path = spec.PartitionToPath(record, schema)
		return nil
	})
	return path
}
