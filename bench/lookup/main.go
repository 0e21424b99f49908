// Command lookup is Varve's side of the lookup benchmark: it makes the table and answers commands of bench.py, a line each, with a
// line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/store"
)

const table = "gold.transactions"

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: lookup WORK FILES  (S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY: the table lies there)")
		os.Exit(2)
	}
	files, err := strconv.Atoi(os.Args[2])
	if err == nil {
		err = serve(context.Background(), &bench{work: os.Args[1], files: files})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lookup:", err)
		os.Exit(1)
	}
}

type bench struct {
	work  string
	files int
	lake  *tables.Lake
	t     *tables.Table
}

// config is a lake in the work folder, or in a bucket.
func (b *bench) config() tables.Config {
	cfg := catalog.Config{Type: "sql", URI: filepath.Join(b.work, "catalog.db"), Warehouse: filepath.Join(b.work, "warehouse")}
	if endpoint := os.Getenv("S3_ENDPOINT"); endpoint != "" {
		cfg.Warehouse = "s3://" + os.Getenv("S3_BUCKET") + "/lookup"
		cfg.Store = &store.Config{S3: store.S3{Region: "us-east-1", Endpoint: endpoint, PathStyle: true,
			AccessKey: os.Getenv("S3_ACCESS_KEY"), SecretKey: os.Getenv("S3_SECRET_KEY")}}
	}
	return tables.Config{Catalog: cfg, TempDir: b.work}
}

func (b *bench) open(ctx context.Context) (err error) {
	if b.lake != nil {
		if err := b.lake.Close(); err != nil {
			return err
		}
	}
	b.lake, err = tables.OpenLake(ctx, b.config())
	return err
}

func serve(ctx context.Context, b *bench) (err error) {
	if err := os.MkdirAll(b.work, 0o755); err != nil {
		return err
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.lake.Close()) }()
	if b.t, err = generate(ctx, b.lake, b.files); err != nil {
		return err
	}
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		answer, err := b.answer(ctx, strings.Fields(in.Text()))
		if err != nil {
			return fmt.Errorf("%s: %w", in.Text(), err)
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return in.Err()
}

func (b *bench) answer(ctx context.Context, words []string) (any, error) {
	number := func(i int) int { n, _ := strconv.Atoi(words[i]); return n }
	switch words[0] {
	case "check": // the rows of a key, as text: check COLUMN VALUE
		return b.rows(ctx, map[string]any{words[1]: words[2]})
	case "transaction": // the id of a row: transaction FILE ROW
		return transaction(number(1), number(2)), nil
	case "warm": // COLUMN N SEED: N lookups one after the other
		return b.several(ctx, words[1], number(2), uint64(number(3)), func(int) error { return nil })
	case "cold": // COLUMN N SEED: each with nothing in memory, in a lake that is opened for it
		return b.several(ctx, words[1], number(2), uint64(number(3)), func(int) (err error) {
			if err = b.open(ctx); err == nil {
				b.t, err = b.lake.Table(ctx, table)
			}
			return err
		})
	case "callers": // COLUMN N SECONDS: N callers, each asks every two seconds
		return b.callers(ctx, words[1], number(2), time.Duration(number(3))*time.Second)
	case "metadata":
		return b.t.Iceberg().MetadataLocation(), nil
	}
	return nil, fmt.Errorf("unknown command")
}

// key is that of a random row.
func (b *bench) key(column string, r *rand.Rand) map[string]any {
	if column == "transaction_id" {
		return map[string]any{column: transaction(r.IntN(b.files), r.IntN(fileRows))}
	}
	return map[string]any{column: r.IntN(b.files * usersInFile)}
}

// find looks a key up and counts its rows, all columns of which are read.
func (b *bench) find(ctx context.Context, key map[string]any) (int64, error) {
	rows, err := b.t.Lookup(ctx, key, tables.LookupOptions{})
	if err != nil {
		return 0, err
	}
	defer rows.Release()
	n := int64(0)
	for rows.Next() {
		n += rows.RecordBatch().NumRows()
	}
	return n, rows.Err()
}

func (b *bench) rows(ctx context.Context, key map[string]any) ([]string, error) {
	rows, err := b.t.Lookup(ctx, key, tables.LookupOptions{})
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	out := []string{}
	for rows.Next() {
		batch := rows.RecordBatch()
		for i := range int(batch.NumRows()) {
			var cells []string
			for c := range int(batch.NumCols()) {
				cells = append(cells, cell(batch.Column(c), i))
			}
			out = append(out, strings.Join(cells, "|"))
		}
	}
	slices.Sort(out)
	return out, rows.Err()
}

func cell(a arrow.Array, i int) string {
	switch a := a.(type) {
	case *array.Timestamp:
		return strconv.FormatInt(int64(a.Value(i)), 10)
	case *array.Decimal128:
		return a.Value(i).ToString(a.DataType().(*arrow.Decimal128Type).Scale)
	}
	return a.ValueStr(i)
}

// summary is what a series of lookups took, in milliseconds.
type summary struct {
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
	Count int     `json:"count"`
	Late  int     `json:"late,omitempty"` // lookups that began late, since the one before was not done
}

func summarise(took []time.Duration) summary {
	slices.Sort(took)
	at := func(p float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return float64(took[min(int(math.Ceil(p*float64(len(took)))), len(took))-1].Microseconds()) / 1000
	}
	return summary{P50: at(0.5), P99: at(0.99), Max: at(1), Count: len(took)}
}

func (b *bench) several(ctx context.Context, column string, n int, seed uint64, before func(i int) error) (summary, error) {
	r := rand.New(rand.NewPCG(seed, 9))
	took := make([]time.Duration, 0, n)
	for i := range n {
		key, start := b.key(column, r), time.Now()
		if err := before(i); err != nil {
			return summary{}, err
		}
		found, err := b.find(ctx, key)
		if err != nil {
			return summary{}, err
		}
		if want := map[string]int64{"user_id": rowsPerUser, "transaction_id": 1}[column]; found != want {
			return summary{}, fmt.Errorf("%v: %d rows, not %d", key, found, want)
		}
		took = append(took, time.Since(start))
	}
	return summarise(took), nil
}

// callers ask at fixed times; what a caller waits is counted from when it meant to ask.
func (b *bench) callers(ctx context.Context, column string, n int, during time.Duration) (summary, error) {
	const every = 2 * time.Second
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	late := 0
	var all sync.WaitGroup
	begin := time.Now()
	for c := range n {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 5))
			for at := begin.Add(every * time.Duration(c) / time.Duration(n)); at.Sub(begin) < during; at = at.Add(every) {
				wait := time.Until(at)
				time.Sleep(wait)
				_, err := b.find(ctx, b.key(column, r))
				mu.Lock()
				took = append(took, time.Since(at))
				failed = errors.Join(failed, err)
				if wait < 0 {
					late++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	out := summarise(took)
	out.Late = late
	return out, failed
}
