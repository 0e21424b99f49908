// Command scan is Varve's side of the scan benchmark: it answers queries, a line each, with a line of JSON, by what `trigger query`
// runs them by.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/internal/lakesql"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/transforms/sql"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: scan FOLDER  (of bench-lookup's table); PROFILE=FILE for a CPU profile")
		os.Exit(2)
	}
	if err := serve(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "scan:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, folder string) (err error) {
	if path := os.Getenv("PROFILE"); path != "" {
		f, err := os.Create(path)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	lake, err := tables.OpenLake(ctx, tables.Config{
		Catalog: catalog.Config{Type: "sql", URI: filepath.Join(folder, "catalog.db"), Warehouse: filepath.Join(folder, "warehouse")},
		TempDir: folder,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lake.Close()) }()
	engine, err := sql.Open(sql.Options{TempDir: folder, Folders: lakesql.Folders(lake)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		start := time.Now()
		rows, err := query(ctx, engine, lakesql.New(lake, nil), in.Text())
		if err != nil {
			return fmt.Errorf("%s: %w", in.Text(), err)
		}
		if err := out.Encode(map[string]any{"seconds": time.Since(start).Seconds(), "rows": rows}); err != nil {
			return err
		}
	}
	return in.Err()
}

// query gives the result's cells as text, a row each.
func query(ctx context.Context, engine *sql.Engine, in sql.Input, text string) ([]string, error) {
	rows, err := engine.Run(ctx, text, in)
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	return texts(rows)
}

func texts(rows array.RecordReader) (out []string, err error) {
	for rows.Next() {
		batch := rows.RecordBatch()
		for i := range int(batch.NumRows()) {
			var cells []string
			for _, c := range batch.Columns() {
				cells = append(cells, c.ValueStr(i))
			}
			out = append(out, strings.Join(cells, "|"))
		}
	}
	return out, rows.Err()
}
