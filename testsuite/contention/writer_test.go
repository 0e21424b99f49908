package contention

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	iceberg "github.com/apache/iceberg-go/table"
	"golang.org/x/sys/unix"

	"github.com/varve-lake/varve/internal/rowfilter"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// jobVariable names the job of a process that is a writer and no test.
const jobVariable = "VARVE_CONTENTION_JOB"

// TestMain is also the writers': each is this binary, started again, so that writers share no memory.
func TestMain(m *testing.M) {
	path := os.Getenv(jobVariable)
	if path == "" {
		os.Exit(m.Run())
	}
	if err := runJob(context.Background(), path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// place is where a lake is.
type place struct{ Type, URI, Warehouse, Credential string }

func (p place) open(ctx context.Context) (*tables.Lake, error) {
	// Two cores for sixteen processes: each writes one file at a time. How often a commit is tried, and how long, is the
	// protocol's own default.
	return tables.OpenLake(ctx, tables.Config{Parallelism: 1, Catalog: catalog.Config{
		Type: p.Type, URI: p.URI, Warehouse: p.Warehouse, Credential: p.Credential,
	}})
}

// job is what one process does.
type job struct {
	Place    place
	Name     string
	Strategy merge.Strategy
	Changes  []change
	// Restless goes on until told to stop, or until nothing is left to do; others do all.
	Restless bool
	// Rest, if not 0, is how long a writer rests on average after each commit.
	Rest time.Duration
	// Compact, instead of changes, compacts until told to stop, and once more.
	Compact bool
	// Maintain, instead of changes, is all of a maintenance until told to stop, and once more.
	Maintain *upkeep
	Out      string // where the report goes
}

// done is one commit of a report. Times are of the machine's clock that never goes back, so that processes can be
// compared.
type done struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Began  int64  `json:"began"` // ns
	Ended  int64  `json:"ended"`
	Error  string `json:"error,omitempty"`
	Nobody bool   `json:"nobody,omitempty"` // changed nothing

	Attempts  int `json:"attempts,omitempty"`
	Tries     int `json:"tries,omitempty"`  // attempts, and plans that were given up unsent since the head had moved
	Claims    int `json:"claims,omitempty"` // of a turn
	Groups    int `json:"groups,omitempty"`
	Redone    int `json:"redone,omitempty"`
	Compacted int `json:"compacted,omitempty"` // groups

	// Heads are the metadata files that the commit was tried on, the last the one that it came on top of.
	Heads []string `json:"heads,omitempty"`
	// Shape is how a maintenance found the table, and left it.
	Shape *shapes `json:"shape,omitempty"`
}

func (d done) took() time.Duration { return time.Duration(d.Ended - d.Began) }

func now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// worker is a process at its job.
type worker struct {
	job
	tbl     *tables.Table
	gate    sync.Once
	opened  int64 // when the gate was
	input   *bufio.Reader
	stopped chan struct{}
	report  []done
	heads   []string // of the commit under way
}

func runJob(ctx context.Context, path string) error {
	w := &worker{input: bufio.NewReader(os.Stdin), stopped: make(chan struct{})}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, &w.job); err != nil {
		return err
	}
	lake, err := w.Place.open(ctx)
	if err != nil {
		return err
	}
	defer lake.Close()
	if w.tbl, err = lake.Table(ctx, table); err != nil {
		return err
	}
	if w.Compact || w.Restless || w.Maintain != nil {
		_ = w.await(ctx, w.tbl.Iceberg())
		go func() { _, _ = io.Copy(io.Discard, w.input); close(w.stopped) }()
	}
	switch {
	case w.Compact:
		err = w.compact(ctx)
	case w.Maintain != nil:
		err = w.maintain(ctx)
	default:
		err = w.write(ctx)
	}
	report, jsonErr := json.Marshal(w.report)
	return errors.Join(err, jsonErr, os.WriteFile(w.Out, report, 0o600))
}

// await says that this process is ready and waits until all are. A writer does so when it has loaded the head that its
// first commit is tried on, so that all first commits but one meet a conflict, however fast or slow the machine is.
func (w *worker) await(_ context.Context, head *iceberg.Table) error {
	w.heads = append(w.heads, head.MetadataLocation())
	w.gate.Do(func() {
		fmt.Println("ready")
		_, _ = w.input.ReadString('\n')
		w.opened = now()
	})
	return nil
}

func (w *worker) stop() bool {
	select {
	case <-w.stopped:
		return true
	default:
		return false
	}
}

func (w *worker) write(ctx context.Context) error {
	for _, c := range w.Changes {
		if w.Restless && w.stop() {
			return nil
		}
		before := now()
		w.heads = nil
		result, err := w.commit(ctx, c)
		d := done{
			ID: c.ID, Kind: c.Kind, Began: max(before, w.opened), Ended: now(), Nobody: err == nil && !result.Committed,
			Attempts: result.Attempts, Tries: max(result.Attempts, result.Conflicts+1), Claims: result.Claims, Groups: result.GroupsWritten, Redone: result.GroupsRedone,
			Heads: w.heads,
		}
		if err != nil {
			d.Error = err.Error()
		}
		w.report = append(w.report, d)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", w.Name, c.ID, err)
		}
		time.Sleep(time.Duration(2 * rand.Float64() * float64(w.Rest)))
	}
	return nil
}

func (w *worker) commit(ctx context.Context, c change) (tables.Result, error) {
	opts := tables.CommitOptions{
		ID: commit.ID{Writer: w.Name, Token: c.ID}, Summary: map[string]string{idKey: c.ID}, Require: w.await,
	}
	switch c.Kind {
	case appends:
		rows, err := source(c.Rows).appended()
		if err != nil {
			return tables.Result{}, err
		}
		staged, err := w.tbl.Stage(ctx, rows, tables.StageOptions{})
		if err != nil {
			return tables.Result{}, err
		}
		return w.tbl.Append(ctx, opts, staged)
	case merges:
		m, err := mergeOf(w.Strategy)
		if err != nil {
			return tables.Result{}, err
		}
		return w.tbl.Merge(ctx, opts, m, source(c.Rows))
	case deletes:
		filter, err := rowfilter.Compile(condition(c.Rows), columns)
		if err != nil {
			return tables.Result{}, err
		}
		return w.tbl.Delete(ctx, opts, tables.Rows{Where: filter, May: filter.May, Rest: filter.Rest, Strategy: w.Strategy})
	}
	return tables.Result{}, fmt.Errorf("a change of kind %q", c.Kind)
}

// condition names the rows of a delete as a user would.
func condition(rows []changed) string {
	var keys, in []string
	for _, r := range rows {
		keys, in = append(keys, fmt.Sprint(r.K)), append(in, fmt.Sprint(r.P))
	}
	slices.Sort(in)
	return fmt.Sprintf("p in [%s] and k in [%s]", strings.Join(slices.Compact(in), ", "), strings.Join(keys, ", "))
}

// compact is a maintenance that never rests but for a moment: it compacts what has come since, and at last what is left.
func (w *worker) compact(ctx context.Context) error {
	for i := 0; ; i++ {
		last := w.stop()
		id := commit.ID{Writer: w.Name, Token: fmt.Sprint(i)}
		before := now()
		r, err := w.tbl.Compact(ctx, tables.CommitOptions{ID: id}, maintain.CompactOptions{MinInputFiles: 4, MaxDeleteFiles: 2})
		if err != nil {
			return fmt.Errorf("compaction %d: %w", i, err)
		}
		w.report = append(w.report, done{
			ID: id.Token, Kind: "compact", Began: before, Ended: now(), Nobody: !r.Committed,
			Attempts: r.Attempts, Tries: r.Conflicts + 1, Redone: r.GroupsDropped, Compacted: r.Groups,
		})
		if last {
			return nil
		}
		select {
		case <-w.stopped:
		case <-time.After(pause):
		}
	}
}

// pause is how long compaction rests.
const pause = 200 * time.Millisecond
