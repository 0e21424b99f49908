// Command maintain is Varve's side of the maintenance benchmark: it answers the same commands as bench/maintain/peers.py.
package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/varve-lake/varve/activities"
	"github.com/varve-lake/varve/bench/internal/commands"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
)

const (
	name   = "bench.t"
	worker = 800 << 20 // bytes: the memory of the worker that the compaction is as if run by
	target = 64 << 20  // of the clustered files, so that there are some
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: maintain DATA WORK")
		os.Exit(2)
	}
	b := &bench{data: os.Args[1], work: os.Args[2]}
	if err := b.serve(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "maintain:", err)
		os.Exit(1)
	}
}

type bench struct {
	data, work string
	lake       *tables.Lake
	commits    int
}

func (b *bench) serve(ctx context.Context) (err error) {
	debug.SetMemoryLimit((activities.Config{Memory: worker}).Heap())
	if b.lake, err = commands.OpenLake(ctx, b.work, worker/4); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.lake.Close()) }()
	return commands.Serve(map[string]commands.Command{
		"prepare": commands.Done(func() error { return b.prepare(ctx) }),
		"reset":   commands.Done(func() error { return b.reset(ctx) }),
		"compact": func(args ...string) (map[string]any, error) { return b.compact(ctx, args[0]) },
		"copy":    func(...string) (map[string]any, error) { return b.copy() },
		"check":   func(...string) (map[string]any, error) { return b.check(ctx) },
	})
}

func (b *bench) id() commit.ID {
	b.commits++
	return commit.ID{Writer: "bench", Token: fmt.Sprintf("%d-%d", os.Getpid(), b.commits)}
}

// prepare makes the table: a data file of each file of the workload.
func (b *bench) prepare(ctx context.Context) error {
	paths, err := filepath.Glob(filepath.Join(b.data, "part-*.parquet"))
	if err != nil {
		return err
	}
	var t *tables.Table
	var all []*tables.Staged
	for _, path := range paths {
		staged, err := b.stage(ctx, &t, path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, staged)
	}
	_, err = t.Append(ctx, tables.CommitOptions{ID: b.id()}, all...)
	return err
}

func (b *bench) stage(ctx context.Context, t **tables.Table, path string) (*tables.Staged, error) {
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{Parallel: true, BatchSize: 64 << 10}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	if *t == nil {
		schema, err := r.Schema()
		if err != nil {
			return nil, err
		}
		if *t, _, err = b.lake.Ensure(ctx, tables.Definition{Name: name, Schema: commands.Plain(schema)}); err != nil {
			return nil, err
		}
	}
	rows, err := r.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	return (*t).Stage(ctx, rows, tables.StageOptions{})
}

// compact rewrites all files.
func (b *bench) compact(ctx context.Context, how string) (map[string]any, error) {
	o := maintain.CompactOptions{RewriteAll: true, Strategy: maintain.Strategy(how)}
	switch o.Strategy {
	case maintain.Sort:
		o.Columns, o.TargetFileBytes = []string{"user_id"}, target
	case maintain.ZOrder:
		o.Columns, o.TargetFileBytes = []string{"user_id", "ts"}, target
	}
	began := time.Now()
	t, err := b.lake.Table(ctx, name)
	if err != nil {
		return nil, err
	}
	r, err := t.Compact(ctx, tables.CommitOptions{ID: b.id()}, o)
	if err != nil {
		return nil, err
	}
	seconds := time.Since(began).Seconds()
	rss, err := commands.Peak()
	return map[string]any{"seconds": seconds, "peak_rss_mb": rss, "detail": map[string]any{
		"files_added": r.FilesAdded, "files_removed": r.FilesRemoved, "bytes_read": r.BytesRead, "bytes_written": r.BytesWritten, "bytes_copied": r.BytesCopied,
	}}, err
}

// copy copies the table's data files into one, and waits until it is on disk, as the compaction does.
func (b *bench) copy() (_ map[string]any, err error) {
	began := time.Now()
	to, err := os.Create(filepath.Join(b.work, "copy"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.Close(), os.Remove(to.Name())) }()
	paths, err := filepath.Glob(filepath.Join(b.work, "warehouse", "*", "*", "data", "*.parquet"))
	if err != nil {
		return nil, err
	}
	bytes := int64(0)
	for _, path := range paths {
		from, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		n, err := io.Copy(to, from)
		if err = errors.Join(err, from.Close()); err != nil {
			return nil, err
		}
		bytes += n
	}
	if err := to.Sync(); err != nil {
		return nil, err
	}
	return map[string]any{"seconds": time.Since(began).Seconds(), "bytes": bytes}, nil
}

// check computes what bench/maintain/peers.py computes, from the rows that Scan gives.
func (b *bench) check(ctx context.Context) (map[string]any, error) {
	t, err := b.lake.Table(ctx, name)
	if err != nil {
		return nil, err
	}
	rows, err := t.Scan(ctx, tables.ScanOptions{Columns: []string{"transaction_id", "user_id", "amount", "ts"}})
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	var n, users, cents, crossed int64
	first, last := "~", ""
	for rows.Next() {
		r := rows.RecordBatch()
		id, user, amount, ts := r.Column(0).(*array.String), r.Column(1).(*array.Int64), r.Column(2).(*array.Decimal128), r.Column(3).(*array.Timestamp)
		for i := range int(r.NumRows()) {
			n++
			users += user.Value(i)
			cents += int64(amount.Value(i).LowBits())
			crossed += user.Value(i) % 1000 * (int64(ts.Value(i)) / 1_000_000 % 1000)
			v := id.Value(i)
			if v < first {
				first = strings.Clone(v)
			}
			if v > last {
				last = strings.Clone(v)
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	line := fmt.Sprintf("%d|%d|%d.%02d|%d|%s|%s", n, users, cents/100, cents%100, crossed, first, last)
	sum := md5.Sum([]byte(line))
	return map[string]any{"rows": n, "checksum": hex.EncodeToString(sum[:8])}, nil
}

// reset goes back to the table's first snapshot, and removes what the compaction wrote.
func (b *bench) reset(ctx context.Context) error {
	t, err := b.lake.Table(ctx, name)
	if err != nil {
		return err
	}
	base := t.Snapshots()[0].ID
	if _, err := t.Rollback(ctx, tables.CommitOptions{ID: b.id()}, tables.Version{SnapshotID: &base}); err != nil {
		return err
	}
	if t, err = b.lake.Table(ctx, name); err != nil {
		return err
	}
	_, err = t.Expire(ctx, tables.CommitOptions{ID: b.id()}, maintain.ExpireOptions{
		OlderThan: time.Nanosecond, KeepLast: 1, Now: func() time.Time { return time.Now().Add(time.Hour) },
	})
	return err
}
