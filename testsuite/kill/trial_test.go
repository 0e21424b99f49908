package kill

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/workflows"
)

// Who is killed.
const (
	worker = "worker" // a worker beside a server that lives on
	server = "server" // the server, by its worker's doing, which lives on
	both   = "both"   // a worker and the server that it embeds, as one process
)

// trial is two deliveries into a new lake, by two runs, in which someone is killed once, and a third run that must find
// nothing new.
type trial struct {
	t      *testing.T
	on     *backend
	lab    *lab.Lab
	name   string // also of the task queue
	victim string
	at     string // the point, io:n or io/…; empty: nobody is killed
	// pipeline is a file of testdata; "orders" if left out.
	pipeline string
	server   *lab.Worker
	port     string // of the trial's own server, if it has one
	client   client.Client

	worker *lab.Worker
	killed bool
	last   side // where it was
	left   left // when it happened
}

// side is a line of a trace.
type side struct {
	number       int64
	when, op, at string
}

// String says what is done to which kind of file, or by a catalog.
func (s side) String() string {
	switch {
	case s.when == fault.SidePoint:
		return s.op
	case strings.HasPrefix(s.op, "catalog "):
		return s.op
	case strings.Contains(s.at, restMark):
		return restCall(s.op, s.at)
	case s.op == "GET" && strings.Contains(s.at, "list-type=2"):
		return "list " + kindOf(s.at)
	case s.op == "POST" && strings.Contains(s.at, "?delete"):
		return "DELETE many"
	case s.op == "POST" && strings.Contains(s.at, "?uploads"):
		return "begin upload of " + kindOf(s.at)
	case s.op == "PUT" && strings.Contains(s.at, "partNumber="):
		return "upload part of " + kindOf(s.at)
	case s.op == "POST" && strings.Contains(s.at, "uploadId="):
		return "complete upload of " + kindOf(s.at)
	}
	return s.op + " " + kindOf(s.at)
}

// restMark is in the paths of requests to a REST catalog.
const restMark = "/iceberg/v1/"

// restCall says what a request to a REST catalog is for: /v1/prefix/namespaces/name/tables/name and its beginnings.
func restCall(method, uri string) string {
	path, _, _ := strings.Cut(uri, "?")
	depth := strings.Count(path[strings.Index(path, "/v1/")+len("/v1/"):], "/")
	if method != "POST" {
		return "catalog " + []string{"configuration", "list namespaces", "look for namespace", "list tables", "load"}[min(depth, 4)]
	}
	return "catalog " + []string{"?", "create namespace", "?", "create", "commit"}[min(depth, 4)]
}

// flags are a worker's. One piece of work at a time makes the order of I/Os much the same each time; the MERGE of the
// second delivery is one in groups.
func (x *trial) flags() []string {
	return []string{"--parallelism", "1", "--memory", "512MB", "--fan-out", "1KB"}
}

// start starts the trial's processes. shared is a server that workers alone may join.
func (x *trial) start(bin string, shared *lab.Worker) {
	x.lab = lab.Empty(x.t, bin)
	x.on.prepare(x.t, x.lab, x.name)
	if x.pipeline == "" {
		x.pipeline = "orders"
	}
	pipeline, err := os.ReadFile("testdata/" + x.pipeline + ".yaml")
	require.NoError(x.t, err)
	x.lab.Write("pipelines/"+x.pipeline+".yaml", pipeline)
	x.lab.Env = []string{"VARVE_TRACE=" + x.lab.Path("trace"), "VARVE_HOLD=" + fault.CompileBefore + "=" + x.lab.Path("go")}
	if x.at != "" {
		x.lab.Env = append(x.lab.Env, "VARVE_FAULT="+x.at)
	}
	if x.victim != worker {
		x.port = freePort(x.t)
	}
	switch x.victim {
	case worker:
		x.server = shared
		x.worker = x.lab.JoinWorker(shared, x.flags()...)
	case server:
		x.server = x.ownServer()
		x.lab.Env = append(x.lab.Env, fmt.Sprintf("VARVE_VICTIM=%d", x.server.PID()))
		x.worker = x.lab.JoinWorker(x.server, x.flags()...)
	case both:
		x.worker = x.lab.StartWorker(append(x.flags(), "--port", x.port)...)
		x.server = x.worker
	}
	x.client, err = client.Dial(client.Options{HostPort: x.server.Address()})
	require.NoError(x.t, err)
	x.t.Cleanup(x.client.Close)
	x.lab.Env = nil
}

// ownServer is a server in a folder of its own. The binary that embeds it polls as well, a task queue where nothing is.
func (x *trial) ownServer() *lab.Worker {
	at := *x.lab
	at.Dir, at.Env = x.lab.Path("server"), nil
	require.NoError(x.t, os.MkdirAll(at.Dir, 0o755))
	return at.StartWorker("--port", x.port)
}

// restart starts again what was killed, at the same address.
func (x *trial) restart() {
	switch x.victim {
	case worker:
		x.worker = x.lab.JoinWorker(x.server, x.flags()...)
	case server:
		x.server = x.ownServer()
	case both:
		x.worker = x.lab.StartWorker(append(x.flags(), "--port", x.port)...)
		x.server = x.worker
	}
}

// ports are handed out from below those that systems give away by themselves, so that nobody takes one while its server is
// dead.
var ports = struct {
	sync.Mutex
	next int
}{next: 20000 + os.Getpid()%10000}

func freePort(t *testing.T) string {
	ports.Lock()
	defer ports.Unlock()
	for range 1000 {
		ports.next++
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ports.next))
		if err == nil {
			require.NoError(t, l.Close())
			return fmt.Sprint(ports.next)
		}
	}
	t.Fatal("no free port")
	return ""
}

// dying is the process that is to be killed.
func (x *trial) dying() *lab.Worker {
	if x.victim == server {
		return x.server
	}
	return x.worker
}

// run runs the pipeline, and starts again what dies in it.
func (x *trial) run(number int) workflows.RunResult {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), patience)
	defer cancel()
	_ = os.Remove(x.lab.Path("go"))
	id := fmt.Sprintf("%s-%d", x.name, number)
	in := workflows.RunInput{Pipeline: x.pipeline, Parameters: workflows.Parameters{"landing": x.on.landing(x.name)}}
	_, err := x.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: x.name, WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, workflows.RunPipelineName, in)
	require.NoError(x.t, err)
	x.lab.Write("go", nil)

	type end struct {
		result workflows.RunResult
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		var e end
		e.result, e.err = x.await(ctx, id)
		ended <- e
	}()
	for {
		var death <-chan struct{}
		if !x.killed {
			death = x.dying().Ended()
		}
		select {
		case <-death:
			require.True(x.t, x.dying().KilledItself(), "it ended, but not by kill -9:\n%s", x.dying().Log())
			x.killed = true
			x.left = x.on.left(x.t, x.lab)
			x.last = last(x.t, x.lab.Path("trace"), x.at)
			x.restart()
		case e := <-ended:
			require.NoError(x.t, e.err, "the run %s", id)
			return e.result
		}
	}
}

// await waits for a run's end, through times without a server.
func (x *trial) await(ctx context.Context, id string) (out workflows.RunResult, err error) {
	for {
		err = x.client.GetWorkflow(ctx, id, "").Get(ctx, &out)
		var failed *temporal.WorkflowExecutionError
		if err == nil || ctx.Err() != nil || errors.As(err, &failed) {
			return out, err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// complete goes through the trial and gives what the tables then hold.
func (x *trial) complete() seen {
	x.t.Helper()
	for i, delivery := range deliveries() {
		x.on.deliver(x.t, x.lab, x.name, fmt.Sprintf("%d.csv", i+1), csv(delivery))
		for _, table := range x.run(i + 1).Tables {
			require.Equal(x.t, wire.StateBuilt, table.State, "%s of run %d: %s", table.Table, i+1, table.Reason)
		}
	}
	for _, table := range x.run(len(deliveries()) + 1).Tables {
		require.Equal(x.t, wire.StateUnchanged, table.State, "nothing is new, but %s: %s", table.Table, table.Reason)
	}
	return x.on.look(x.t, x.lab, x.name)
}

// trace reads the sides that a process came by.
func trace(t *testing.T, path string) (out []side) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var s side
		fields := strings.SplitN(lines.Text(), "\t", 4)
		require.Len(t, fields, 4, lines.Text())
		_, err := fmt.Sscan(fields[0], &s.number)
		require.NoError(t, err)
		s.when, s.op, s.at = fields[1], fields[2], fields[3]
		out = append(out, s)
	}
	require.NoError(t, lines.Err())
	return out
}

// last is the side of a trace, or the point, at which someone was killed.
func last(t *testing.T, path, at string) side {
	t.Helper()
	name, text, _ := strings.Cut(at, ":")
	if !strings.HasPrefix(name, fault.IO) {
		return side{when: fault.SidePoint, op: at}
	}
	number, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err, at)
	n := int64(0)
	for _, s := range trace(t, path) {
		if fault.Matches(name, s.when, s.op, s.at) {
			n++
		}
		if n == number || name == fault.IO && s.number == number {
			return s
		}
	}
	t.Fatalf("%s is not in the trace", at)
	return side{}
}

// rowsOf are the sorted rows of a snapshot, a row's values joined by bars.
func rowsOf(t *testing.T, table *tables.Table, snapshot int64, columns []string) (out []string) {
	t.Helper()
	rows, err := table.Scan(t.Context(), tables.ScanOptions{Version: tables.Version{SnapshotID: &snapshot}, Columns: columns})
	require.NoError(t, err, "%s at snapshot %d", table.Name(), snapshot)
	defer rows.Release()
	for rows.Next() {
		batch := rows.RecordBatch()
		for i := range int(batch.NumRows()) {
			values := make([]string, batch.NumCols())
			for c := range values {
				values[c] = batch.Column(c).ValueStr(i)
			}
			out = append(out, strings.Join(values, "|"))
		}
	}
	require.NoError(t, rows.Err(), "%s at snapshot %d", table.Name(), snapshot)
	slices.Sort(out)
	return out
}
