package planning

import (
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// SchemaOf is the table's newest schema that has all columns that a spec is about: the current one, but for a spec that was given
// up, and then its columns. By another one the partition values of that column would be written as null.
func SchemaOf(meta table.Metadata, spec *iceberg.PartitionSpec) *iceberg.Schema {
	has := func(schema *iceberg.Schema) bool {
		for i := range spec.NumFields() {
			for _, id := range spec.Field(i).SourceIDs {
				if _, found := schema.FindFieldByID(id); !found {
					return false
				}
			}
		}
		return true
	}
	now := meta.CurrentSchema()
	if has(now) {
		return now
	}
	for _, schema := range slices.Backward(meta.Schemas()) {
		if has(schema) {
			return schema
		}
	}
	return now
}
