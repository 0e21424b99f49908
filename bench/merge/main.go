// Command merge is Varve's side of the MERGE benchmark: it answers the same commands as bench/merge/peers.py.
package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/varve-lake/varve/activities"
	"github.com/varve-lake/varve/bench/internal/commands"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/transforms/expression"
)

const table = "bench.t"

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: merge cow|mor DATA WORK")
		os.Exit(2)
	}
	b := &bench{strategy: map[string]merge.Strategy{"cow": merge.CopyOnWrite, "mor": merge.MergeOnRead}[os.Args[1]], data: os.Args[2], work: os.Args[3]}
	profiled, err := profile(os.Getenv("PROFILE"))
	if err == nil {
		err = errors.Join(b.serve(context.Background()), profiled())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "merge:", err)
		os.Exit(1)
	}
}

// profile writes a CPU profile of all commands to a file, where one is named.
func profile(path string) (end func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

type bench struct {
	strategy   merge.Strategy
	data, work string
	lake       *tables.Lake
	limit      int64 // of the memory of a merge
	commits    int
}

// mergeMemory is the memory of a merge: 400 MB, or what a worker gives one of the MEMORY that it has itself, in MB. Go's heap then
// keeps to what a worker's does.
func mergeMemory() (int64, error) {
	text := os.Getenv("MEMORY")
	if text == "" {
		return 400 << 20, nil
	}
	mb, err := strconv.ParseInt(text, 10, 64)
	if err != nil || mb < 1 {
		return 0, fmt.Errorf("MEMORY=%s: want a number of megabytes", text)
	}
	debug.SetMemoryLimit((activities.Config{Memory: mb << 20}).Heap())
	return (mb << 20) / 4, nil
}

func (b *bench) serve(ctx context.Context) (err error) {
	if b.limit, err = mergeMemory(); err != nil {
		return err
	}
	if b.lake, err = commands.OpenLake(ctx, b.work, b.limit); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.lake.Close()) }()
	return commands.Serve(map[string]commands.Command{
		"prepare": commands.Done(func() error { return b.prepare(ctx) }),
		"reset":   commands.Done(func() error { return b.reset(ctx) }),
		"merge":   func(args ...string) (map[string]any, error) { return b.merge(ctx, args[0]) },
		"check":   func(...string) (map[string]any, error) { return b.check(ctx) },
		"floor":   func(args ...string) (map[string]any, error) { return b.floor(ctx, args[0]) },
	})
}

// parquetRows is a source of rows in one Parquet file.
type parquetRows struct {
	path   string
	schema *arrow.Schema
}

func openParquet(path string) (*parquetRows, error) {
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	s, err := r.Schema()
	return &parquetRows{path, s}, err
}

func (p *parquetRows) Schema() *arrow.Schema { return p.schema }

func (p *parquetRows) Open(ctx context.Context, columns []string) (array.RecordReader, error) {
	f, err := file.OpenParquetFile(p.path, false, file.WithReadProps(parquet.NewReaderProperties(memory.DefaultAllocator)))
	if err != nil {
		return nil, err
	}
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{Parallel: true, BatchSize: 64 << 10}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	var indices []int
	for _, c := range columns {
		indices = append(indices, p.schema.FieldIndices(c)...)
	}
	return r.GetRecordReader(ctx, indices, nil)
}

func (b *bench) id() commit.ID {
	b.commits++
	return commit.ID{Writer: "bench", Token: fmt.Sprintf("%d-%d", os.Getpid(), b.commits)}
}

func (b *bench) prepare(ctx context.Context) error {
	source, err := openParquet(filepath.Join(b.data, "target.parquet"))
	if err != nil {
		return err
	}
	t, _, err := b.lake.Ensure(ctx, tables.Definition{Name: table, Schema: commands.Plain(source.schema), PartitionBy: []string{"days(ts)"}})
	if err != nil {
		return err
	}
	rows, err := source.Open(ctx, nil)
	if err != nil {
		return err
	}
	staged, err := t.Stage(ctx, rows, tables.StageOptions{})
	if err != nil {
		return err
	}
	_, err = t.Append(ctx, tables.CommitOptions{ID: b.id()}, staged)
	return err
}

func (b *bench) merge(ctx context.Context, name string) (map[string]any, error) {
	began := time.Now()
	on := []string{key}
	name, pruned := strings.CutSuffix(name, "+ts")
	if pruned { // a time in ON lets whole days be left out; the workload's updates keep it
		on = append(on, "ts")
	}
	source, err := openParquet(filepath.Join(b.data, name+".parquet"))
	if err != nil {
		return nil, err
	}
	t, err := b.lake.Table(ctx, table)
	if err != nil {
		return nil, err
	}
	target, err := t.Schema()
	if err != nil {
		return nil, err
	}
	newer, err := expression.Compile("t.updated_at < s.updated_at", expression.Scope{"s": source.schema, "t": target})
	if err != nil {
		return nil, err
	}
	result, err := t.Merge(ctx, tables.CommitOptions{ID: b.id()}, merge.Options{
		On: on, Strategy: b.strategy,
		Matched:     []merge.Clause{{If: newer, Action: merge.Update, All: true}},
		NotMatched:  []merge.Clause{{Action: merge.Insert, All: true}},
		MemoryLimit: b.limit, TempDir: b.work,
	}, source)
	if err != nil {
		return nil, err
	}
	seconds := time.Since(began).Seconds()
	rss, err := commands.Peak()
	if err != nil {
		return nil, err
	}
	stages := map[string]float64{}
	for k, v := range result.Stages {
		stages[k] = v.Seconds()
	}
	return map[string]any{"seconds": seconds, "peak_rss_mb": rss, "detail": map[string]any{
		"files_scanned": result.FilesScanned, "files_pruned": result.FilesPruned, "inserted": result.Inserted, "updated": result.Updated, "unchanged": result.Unchanged, "stages": stages,
		"bytes_read": result.BytesRead, "bytes_written": result.BytesWritten, "files_added": result.FilesAdded, "files_removed": result.FilesRemoved,
	}}, nil
}

// check computes what bench/merge/peers.py computes, from the rows that Scan gives.
func (b *bench) check(ctx context.Context) (map[string]any, error) {
	t, err := b.lake.Table(ctx, table)
	if err != nil {
		return nil, err
	}
	rows, err := t.Scan(ctx, tables.ScanOptions{Columns: []string{"transaction_id", "user_id", "amount", "currency", "status"}})
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	var n, users, cents, settled, euros int64
	first, last := "~", ""
	for rows.Next() {
		r := rows.RecordBatch()
		id, user, amount := r.Column(0).(*array.String), r.Column(1).(*array.Int64), r.Column(2).(*array.Decimal128)
		currency, status := r.Column(3).(*array.String), r.Column(4).(*array.String)
		for i := range int(r.NumRows()) {
			n++
			users += user.Value(i)
			cents += int64(amount.Value(i).LowBits())
			if status.Value(i) == "settled" {
				settled++
			}
			if currency.Value(i) == "EUR" {
				euros++
			}
			if v := id.Value(i); v < first {
				first = strings.Clone(v)
			} else if v > last {
				last = strings.Clone(v)
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	line := fmt.Sprintf("%d|%d|%d.%02d|%d|%d|%s|%s", n, users, cents/100, cents%100, settled, euros, first, last)
	sum := md5.Sum([]byte(line))
	return map[string]any{"rows": n, "checksum": hex.EncodeToString(sum[:8])}, nil
}

// reset goes back to the table's first snapshot.
func (b *bench) reset(ctx context.Context) error {
	t, err := b.lake.Table(ctx, table)
	if err != nil {
		return err
	}
	base := t.Snapshots()[0].ID
	_, err = t.Rollback(ctx, tables.CommitOptions{ID: b.id()}, tables.Version{SnapshotID: &base})
	return err
}
