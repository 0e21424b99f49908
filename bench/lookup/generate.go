package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
)

const (
	fileRows    = 100_000
	rowsPerUser = 100
	usersInFile = fileRows / rowsPerUser
	filesAtOnce = 25 // in a commit
)

var columns = arrow.NewSchema([]arrow.Field{
	{Name: "transaction_id", Type: arrow.BinaryTypes.String},
	{Name: "user_id", Type: arrow.PrimitiveTypes.Int64},
	{Name: "amount", Type: &arrow.Decimal128Type{Precision: 18, Scale: 2}},
	{Name: "currency", Type: arrow.BinaryTypes.String},
	{Name: "status", Type: arrow.BinaryTypes.String},
	{Name: "ts", Type: &arrow.TimestampType{Unit: arrow.Microsecond}},
}, nil)

// define is a table as maintenance leaves one that is sorted by user_id: each file holds the rows of a thousand users, and a
// Bloom filter of the transactions' random ids, which are in no order.
func define() tables.Definition {
	return tables.Definition{
		Name: table, Schema: columns, Identifier: []string{"transaction_id"}, SortBy: []string{"user_id"},
		Properties: map[string]string{"write.parquet.bloom-filter-enabled.column.transaction_id": "true"},
	}
}

// transaction is the id of a row, the same in every run.
func transaction(file, row int) string {
	r := rand.New(rand.NewPCG(uint64(file), uint64(row)))
	var id [16]byte
	binary.LittleEndian.PutUint64(id[:], r.Uint64())
	binary.LittleEndian.PutUint64(id[8:], r.Uint64())
	x := hex.EncodeToString(id[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// rowsOf makes a file's rows.
func rowsOf(file int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, columns)
	defer b.Release()
	b.Reserve(fileRows)
	r := rand.New(rand.NewPCG(uint64(file), 1<<32))
	for i := range fileRows {
		b.Field(0).(*array.StringBuilder).Append(transaction(file, i))
		b.Field(1).(*array.Int64Builder).Append(int64(file*usersInFile + i/rowsPerUser))
		_ = b.Field(2).(*array.Decimal128Builder).AppendValueFromString(fmt.Sprintf("%d.%02d", r.IntN(10_000), r.IntN(100)))
		b.Field(3).(*array.StringBuilder).Append([]string{"EUR", "USD", "GBP", "CHF"}[r.IntN(4)])
		b.Field(4).(*array.StringBuilder).Append([]string{"settled", "pending", "failed"}[r.IntN(3)])
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(1_700_000_000_000_000 + r.Int64N(2_592_000_000_000)))
	}
	return b.NewRecordBatch()
}

// generate makes the table, unless it is there.
func generate(ctx context.Context, lake *tables.Lake, files int) (*tables.Table, error) {
	t, _, err := lake.Ensure(ctx, define())
	if err != nil {
		return nil, err
	}
	for from := len(t.Snapshots()) * filesAtOnce; from < files; from += filesAtOnce {
		var staged []*tables.Staged
		for f := from; f < min(from+filesAtOnce, files); f++ {
			batch := rowsOf(f)
			r, err := array.NewRecordReader(columns, []arrow.RecordBatch{batch})
			if err != nil {
				return nil, err
			}
			s, err := t.Stage(ctx, r, tables.StageOptions{})
			r.Release()
			batch.Release()
			if err != nil {
				return nil, err
			}
			staged = append(staged, s)
		}
		id := commit.ID{Writer: "bench", Token: fmt.Sprint(from)}
		if _, err := t.Append(ctx, tables.CommitOptions{ID: id}, staged...); err != nil {
			return nil, err
		}
		if t, err = t.Refresh(ctx); err != nil {
			return nil, err
		}
	}
	return t, nil
}
