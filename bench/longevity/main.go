// Command longevity goes through LST-Bench's longevity pattern (arXiv 2305.01120) on TPC-H's tables: phases of changes, and between
// some of them the same queries. It does so on two copies, one whose files are maintained after each phase and one that is left alone,
// and beside a third that nothing changes, so that what the machine does meanwhile can be told from what the changes did.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/varve-lake/varve/internal/lakesql"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/transforms/sql"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: longevity DATA WORK OUT.json  (PHASES, EVERY, RUNS, POLICY)")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "longevity:", err)
		os.Exit(1)
	}
}

// The copies of the tables, each a namespace.
const (
	control    = "unchanged"  // nothing changes it
	maintained = "maintained" // changed, and maintained after each phase
	left       = "neglected"  // changed, and left alone
)

var copies = []string{control, maintained, left}

// bench is the lake with its copies.
type bench struct {
	lake    *tables.Lake
	engine  *sql.Engine
	commits int
	runs    int
	target  int64
	strict  bool // no delete is left

	rowsOfLineitem int64
}

func number(name string, otherwise int) (int, error) {
	text := os.Getenv(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s=%q: want a number from 1 on", name, text)
	}
	return n, nil
}

func run(ctx context.Context, data, work, out string) (err error) {
	var phases, every, runs int
	for _, n := range []struct {
		to        *int
		name      string
		otherwise int
	}{{&phases, "PHASES", 20}, {&every, "EVERY", 5}, {&runs, "RUNS", 5}} {
		if *n.to, err = number(n.name, n.otherwise); err != nil {
			return err
		}
	}
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(work, 0o755)); err != nil {
		return err
	}
	b := &bench{runs: runs, strict: os.Getenv("POLICY") == "strict"}
	cfg := tables.Local(work)
	cfg.TempDir = work
	if b.lake, err = tables.OpenLake(ctx, cfg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.lake.Close()) }()
	if b.engine, err = sql.Open(sql.Options{TempDir: work, Folders: lakesql.Folders(b.lake)}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.engine.Close()) }()
	if err := b.load(ctx, data); err != nil {
		return err
	}
	var all []*measured
	for phase := 0; ; phase++ {
		m := &measured{Phase: phase}
		if phase > 0 {
			if err := b.change(ctx, phase, m); err != nil {
				return fmt.Errorf("phase %d: %w", phase, err)
			}
		}
		if phase%every == 0 || phase == phases {
			if err := b.measure(ctx, m); err != nil {
				return fmt.Errorf("after phase %d: %w", phase, err)
			}
			all = append(all, m)
			fmt.Println(m.line(all[0]))
		} else {
			fmt.Printf("phase %2d: changed in %.1f s, maintained in %.1f s\n", phase, m.ChangeSeconds, m.MaintainSeconds)
		}
		if phase == phases {
			break
		}
	}
	return report(out, b.rowsOfLineitem, all)
}

// report writes the figures, and says in the end by how much queries have become slower.
func report(out string, rows int64, all []*measured) error {
	first, last := all[0], all[len(all)-1]
	fmt.Println(table(all))
	fmt.Printf("query time after %d phases, of that of the first: %.3f with maintenance, %.3f without\n", last.Phase, last.ratio(maintained)/first.ratio(maintained), last.ratio(left)/first.ratio(left))
	text, err := json.MarshalIndent(map[string]any{"rows": rows, "phases": all}, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(out, text, 0o644)
}

func table(all []*measured) string {
	var b strings.Builder
	b.WriteString("\n| after phase | of the first's time, maintained | left alone | seconds of all queries: unchanged copy, maintained, left alone | data files | delete files |\n|---|---|---|---|---|---|\n")
	for _, m := range all {
		fmt.Fprintf(&b, "| %d | %.2f | %.2f | %.2f, %.2f, %.2f | %d, %d, %d | %d, %d, %d |\n", m.Phase, m.ratio(maintained)/all[0].ratio(maintained), m.ratio(left)/all[0].ratio(left),
			m.total(control), m.total(maintained), m.total(left), m.Files[control], m.Files[maintained], m.Files[left], m.Deletes[control], m.Deletes[maintained], m.Deletes[left])
	}
	return b.String()
}

func since(start time.Time) float64 { return time.Since(start).Seconds() }
