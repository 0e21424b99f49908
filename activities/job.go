package activities

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/tables"
)

// job is what Prepare decided: what is read, and from where the build goes on. It is immutable and lies in the staging
// folder of the build; a build of a hundred thousand files has a small one all the same, since groups lie beside it.
type job struct {
	Build wire.Build `json:"build"`
	Round int        `json:"round,omitempty"`
	Table plan.Table `json:"table"`

	Groups int     `json:"groups"`
	Chunks []chunk `json:"chunks,omitempty"`

	// Snapshots pins the tables that are read, so that all that a build reads is of one moment. 0 is a table without rows.
	Snapshots map[string]int64 `json:"snapshots,omitempty"`
	// After is the writer's last token when the build was planned. Another one at the commit says that a run came first.
	After string `json:"after"`
	// Base is the checkpoint that the build goes on from; nil if there is none.
	Base *tables.Checkpoint `json:"base,omitempty"`
	// Next is the checkpoint to commit. It is nil for files that are loaded once each: theirs is made of the groups.
	Next *tables.Checkpoint `json:"next,omitempty"`

	uri string
}

// group is what one StageGroup reads: files, or tasks of a table's scan. A query is one group that names neither.
type group struct {
	Files []sources.File `json:"files,omitempty"`
	Tasks []scanTask     `json:"tasks,omitempty"`
}

// writer is the name under which a pipeline commits: it owns the checkpoint.
func (j *job) writer() string { return writerOf(j.Build) }

func writerOf(b wire.Build) string { return b.Pipeline }

// stagingRun names the staging folder of a build. A build that begins anew has another, in which nothing of an
// abandoned one can turn up.
func stagingRun(b wire.Build, round int) string {
	sum := sha256.Sum256([]byte(b.Run + "\x00" + b.Workflow + "\x00" + b.FirstRun))
	return fmt.Sprintf("%s-%s-%d", b.Pipeline, hex.EncodeToString(sum[:6]), round)
}

// token is the commit id of one step of a build. It is the same for every attempt, also after a reset or a
// continue-as-new, and another for every other build.
func (j *job) token(step string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%d\x00%s", j.Build.Run, j.Build.Workflow, j.Build.FirstRun, j.Table.Name, j.Round, step))
	return hex.EncodeToString(sum[:16])
}

// unique is a name that no other attempt uses.
func unique() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // it never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}

func (j *job) run() string { return stagingRun(j.Build, j.Round) }

// stage stores a JSON document in the build's staging folder.
func stage(ctx context.Context, t *tables.Table, run, name string, v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("stage %s: %w", name, err)
	}
	uri, err := t.WriteStaged(ctx, run, name, data)
	if err != nil {
		return "", fmt.Errorf("stage %s for %s: %w", name, t.Name(), err)
	}
	return uri, nil
}

// loadJob reads a job.
func (a *Activities) loadJob(ctx context.Context, uri string) (*job, error) {
	j := &job{}
	if err := a.load(ctx, uri, j); err != nil {
		return nil, err
	}
	j.uri = uri
	return j, nil
}

// load reads a document that was staged. Documents are immutable, so those that many activities read are kept.
func (a *Activities) load(ctx context.Context, uri string, v any) error {
	data, found := a.jobs.get(uri)
	if !found {
		var err error
		if data, err = a.lake.ReadStaged(ctx, uri); err != nil {
			return fmt.Errorf("read %s: %w", uri, err)
		}
		a.jobs.put(uri, data)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %s: %w", uri, err)
	}
	return nil
}

// group reads one of the job's groups.
func (a *Activities) group(ctx context.Context, j *job, n int) (group, error) {
	g, err := fromChunks[group](ctx, a, j.Chunks, n)
	if err != nil {
		return g, fmt.Errorf("job %s: %w", j.uri, err)
	}
	return g, nil
}

// cache keeps the last documents read.
type cache struct {
	mu    sync.Mutex
	docs  map[string][]byte
	order []string
	bytes int
}

const maxCached = 32 << 20

func (c *cache) get(uri string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, found := c.docs[uri]
	return data, found
}

func (c *cache) put(uri string, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.docs[uri]; found || len(data) > maxCached/4 {
		return
	}
	if c.docs == nil {
		c.docs = make(map[string][]byte)
	}
	c.docs[uri] = data
	c.order = append(c.order, uri)
	c.bytes += len(data)
	for c.bytes > maxCached {
		c.bytes -= len(c.docs[c.order[0]])
		delete(c.docs, c.order[0])
		c.order = c.order[1:]
	}
}
