package contention

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	iceberg "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
)

// patience is how long processes may take in all: they are on a machine that may be busy with others, and a test that
// hangs should say where.
const patience = 20 * time.Minute

// racer is a process that takes part.
type racer struct {
	job    job
	cmd    *exec.Cmd
	input  io.WriteCloser
	output *bufio.Reader
	said   bytes.Buffer
}

func start(t *testing.T, ctx context.Context, j job) *racer {
	t.Helper()
	dir := t.TempDir()
	j.Out = filepath.Join(dir, "report.json")
	path := filepath.Join(dir, "job.json")
	content, err := json.Marshal(j)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	self, err := os.Executable()
	require.NoError(t, err)
	r := &racer{job: j, cmd: exec.CommandContext(ctx, self)}
	r.cmd.Env = append(os.Environ(), jobVariable+"="+path, "GOMAXPROCS=2")
	r.cmd.Stderr = &r.said
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r.input, err = r.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := r.cmd.StdoutPipe()
	require.NoError(t, err)
	r.output = bufio.NewReader(out)
	require.NoError(t, r.cmd.Start())
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() })
	return r
}

// ready waits until the process stands at the gate.
func (r *racer) ready(t *testing.T) {
	t.Helper()
	line, err := r.output.ReadString('\n')
	if err != nil || line != "ready\n" {
		_ = r.cmd.Wait()
		t.Fatalf("%s did not come to the gate: %q %v\n%s", r.job.Name, line, err, r.said.String())
	}
}

func (r *racer) open(t *testing.T) {
	t.Helper()
	_, err := io.WriteString(r.input, "go\n")
	require.NoError(t, err)
}

// stop tells it that nothing more is to be begun.
func (r *racer) stop() { _ = r.input.Close() }

// report waits for the process's end, which is to be a good one.
func (r *racer) report(t *testing.T) []done {
	t.Helper()
	_, _ = io.Copy(io.Discard, r.output)
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", r.job.Name, err, r.said.String())
	}
	content, err := os.ReadFile(r.job.Out)
	require.NoError(t, err)
	var out []done
	require.NoError(t, json.Unmarshal(content, &out))
	return out
}

// prepare makes the table with its first rows.
func prepare(t *testing.T, p place, w work) *tables.Lake {
	t.Helper()
	ctx := t.Context()
	lake, err := p.open(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lake.Close()) })
	def := tables.Definition{Name: table, Schema: columns, PartitionBy: []string{"p"}}
	if w.Files > 0 {
		def.PartitionBy = nil
		def.Properties = map[string]string{
			iceberg.WriteTargetFileSizeBytesKey: fmt.Sprint(w.Target), iceberg.ParquetRowGroupLimitKey: fmt.Sprint(w.Initial / w.Files),
		}
	}
	tbl, _, err := lake.Ensure(ctx, def)
	require.NoError(t, err)
	var staged []*tables.Staged
	step := w.Initial / max(w.Files, 1)
	for k := int64(0); k < w.Initial; k += step {
		staged = append(staged, stageInitial(t, tbl, w, k, k+step))
	}
	_, err = tbl.Append(ctx, tables.CommitOptions{ID: commit.ID{Writer: "initial", Token: "initial"}, Summary: map[string]string{idKey: "initial"}}, staged...)
	require.NoError(t, err)
	return lake
}

func stageInitial(t *testing.T, tbl *tables.Table, w work, from, to int64) *tables.Staged {
	t.Helper()
	var rows source
	for k := from; k < to; k++ {
		rows = append(rows, rowOf(k, w.initialValue(k)))
	}
	in, err := rows.appended()
	require.NoError(t, err)
	staged, err := tbl.Stage(t.Context(), in, tables.StageOptions{TargetFileSize: 1 << 30}) // one file
	require.NoError(t, err)
	return staged
}

// race is what became of a work.
type race struct {
	work      work
	reports   [][]done // by writer
	compactor []done
	wall      time.Duration // from the gate's opening to the last writer's end
	versions  *versions     // of the table's metadata
	history   *history
	rows      []string
}

// strategyOf lets both strategies meet in one table.
func strategyOf(writer int) merge.Strategy {
	if writer%2 == 0 {
		return merge.CopyOnWrite
	}
	return merge.MergeOnRead
}

// run lets the writers loose on a table, beside a compaction loop if asked for.
func run(t *testing.T, p place, w work, compaction bool, strategy func(int) merge.Strategy) *race {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lake := prepare(t, p, w)
	var all []*racer
	for i, changes := range w.Writers {
		all = append(all, start(t, ctx, job{Place: p, Name: writerName(i), Strategy: strategy(i), Changes: changes}))
	}
	var compactor *racer
	if compaction {
		compactor = start(t, ctx, job{Place: p, Name: "compaction", Compact: true})
		compactor.ready(t)
	}
	out := &race{work: w}
	out.begin(t, all, compactor)
	out.look(t, lake)
	return out
}

// begin opens the gate for the writers, and for who looks after the table beside them, and waits for their ends.
func (r *race) begin(t *testing.T, all []*racer, keeper *racer) {
	t.Helper()
	for _, w := range all {
		w.ready(t)
	}
	began := now()
	for _, w := range all {
		w.open(t)
	}
	if keeper != nil {
		keeper.open(t)
	}
	for _, w := range all {
		report := w.report(t)
		r.reports = append(r.reports, report)
		for _, d := range report {
			r.wall = max(r.wall, time.Duration(d.Ended-began))
		}
	}
	if keeper != nil {
		keeper.stop()
		r.compactor = keeper.report(t)
	}
}

func writerName(i int) string { return "writer-" + string('a'+rune(i)) }

// look takes the table's history and rows.
func (r *race) look(t *testing.T, lake *tables.Lake) {
	t.Helper()
	tbl, err := lake.Table(t.Context(), table)
	require.NoError(t, err)
	r.versions, err = versionsOf(tbl.Iceberg().MetadataLocation())
	require.NoError(t, err)
	r.history, err = r.versions.history()
	require.NoError(t, err)
	r.rows, err = texts(t.Context(), tbl)
	require.NoError(t, err)
}

// check fails the test for everything that is wrong.
func (r *race) check(t *testing.T) {
	t.Helper()
	for _, p := range r.problems() {
		t.Error(p)
	}
}

func few(rows []string) string { return strings.Join(rows[:min(len(rows), 20)], "\n") }
