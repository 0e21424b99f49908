package merge

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// lineageMeta is a table's metadata whose rows carry their ids with them.
type lineageMeta struct{ table.Metadata }

func (m lineageMeta) CurrentSchema() *iceberg.Schema {
	return iceberg.SchemaWithRowLineage(m.Metadata.CurrentSchema())
}

// writeSchema is the Arrow schema of the rows to write.
func (b *binding) writeSchema(lineage bool) *arrow.Schema {
	if !lineage {
		return b.target
	}
	return arrow.NewSchema(append(b.target.Fields(),
		arrow.Field{Name: iceberg.RowIDColumnName, Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		arrow.Field{Name: iceberg.LastUpdatedSequenceNumberColumnName, Type: arrow.PrimitiveTypes.Int64, Nullable: true}), nil)
}

var lineageColumns = []string{iceberg.RowIDColumnName, iceberg.LastUpdatedSequenceNumberColumnName}

// lineageOf gives the ids and sequence numbers of a block's rows. Rows that were
// never rewritten take them from their file's entry in the manifest. A row that
// was updated gets the sequence number of the coming snapshot: null, for now.
func lineageOf(f *targetFile, b block, updated func(i int) bool) (ids, sequence arrow.Array) {
	id, seq := array.NewInt64Builder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator)
	defer id.Release()
	defer seq.Release()
	oldID := b.column(targetScope + iceberg.RowIDColumnName).(*array.Int64)
	oldSeq := b.column(targetScope + iceberg.LastUpdatedSequenceNumberColumnName).(*array.Int64)
	for i, p := range b.positions {
		switch {
		case oldID.IsValid(i):
			id.Append(oldID.Value(i))
		case f.task.FirstRowID != nil:
			id.Append(*f.task.FirstRowID + int64(p))
		default:
			id.AppendNull()
		}
		switch {
		case updated(i):
			seq.AppendNull()
		case oldSeq.IsValid(i):
			seq.Append(oldSeq.Value(i))
		case f.task.DataSequenceNumber != nil:
			seq.Append(*f.task.DataSequenceNumber)
		default:
			seq.AppendNull()
		}
	}
	return id.NewArray(), seq.NewArray()
}
