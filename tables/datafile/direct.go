package datafile

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// ownWriter is how footers name the library that data files are written with here. Files of others may have statistics that
// readers go by in different ways.
const ownWriter = "parquet-go"

// Direct tells whether some other reader of Parquet finds the values of opts.Columns in a data file as a Reader gives them, by
// nothing but field ids: each column is in the file, once, at the top, with the very type it has in opts.Schema. What is
// deleted from the file is not considered.
func Direct(ctx context.Context, fs iceio.IO, df iceberg.DataFile, opts ReadOptions) (bool, error) {
	if df.FileFormat() != iceberg.ParquetFile || Remote(df.FilePath()) {
		return false, nil
	}
	schema, err := selectColumns(opts.Schema, opts.Columns)
	if err != nil {
		return false, err
	}
	wanted, err := table.SchemaToArrowSchema(schema, nil, false, false)
	if err != nil {
		return false, err
	}
	src := newSource(ctx, fs, df, opts)
	defer src.Close()
	foot, err := src.readFooter()
	if err != nil {
		return false, err
	}
	if foot.meta.WriterVersion().App != ownWriter || foot.meta.IsSetEncryptionAlgorithm() {
		return false, nil
	}
	direct := true
	err = protect(func() error {
		manifest, err := pqarrow.NewSchemaManifest(foot.meta.Schema, nil, &pqarrow.ArrowReadProperties{})
		if err != nil {
			return err
		}
		for i, f := range schema.Fields() {
			direct = direct && directType(f.Type) && holdsColumn(manifest, f.ID, wanted.Field(i).Type) && !misledByBloom(foot.meta, manifest, f)
		}
		return nil
	})
	return direct && err == nil, err
}

// holdsColumn says whether one field of the file, and only one, has the id, and the type.
func holdsColumn(manifest *pqarrow.SchemaManifest, id int, t arrow.DataType) bool {
	n := 0
	for i := range manifest.Fields {
		f := &manifest.Fields[i]
		if arrowFieldID(*f.Field) != id {
			continue
		}
		if !f.IsLeaf() || !arrow.TypeEqual(f.Field.Type, t) {
			return false
		}
		n++
	}
	return n == 1
}

// directType tells the types that all readers of Parquet mean the same by.
func directType(t iceberg.Type) bool {
	switch t.(type) {
	case iceberg.BooleanType, iceberg.Int32Type, iceberg.Int64Type, iceberg.Float32Type, iceberg.Float64Type, iceberg.DecimalType,
		iceberg.DateType, iceberg.TimestampType, iceberg.TimestampTzType, iceberg.StringType, iceberg.BinaryType, iceberg.UUIDType:
		return true
	}
	return false
}

// misledByBloom tells a column with a Bloom filter that DuckDB asks for another value than is looked for: it knows of one zero
// where there are two, and hashes the text of bytes in place of the bytes.
func misledByBloom(meta *metadata.FileMetaData, manifest *pqarrow.SchemaManifest, f iceberg.NestedField) bool {
	switch f.Type.(type) {
	case iceberg.Float32Type, iceberg.Float64Type, iceberg.BinaryType:
	default:
		return false
	}
	for i := range manifest.Fields {
		column := &manifest.Fields[i]
		if !column.IsLeaf() || arrowFieldID(*column.Field) != f.ID {
			continue
		}
		for g := range meta.NumRowGroups() {
			chunk, err := meta.RowGroup(g).ColumnChunk(column.ColIndex)
			if err != nil || chunk.BloomFilterOffset() > 0 {
				return true
			}
		}
	}
	return false
}
