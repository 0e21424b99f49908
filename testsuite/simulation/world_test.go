package simulation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/fault"
	"github.com/varve-lake/varve/tables/merge"
)

const location = "sim://lake/t"

// sim is one run.
type sim struct {
	*scheduler
	seed       uint64
	catalog    *registry
	store      *store
	model      *model
	references *references

	format    int
	strategy  merge.Strategy
	faultless bool
	mutant    string

	alive      int
	processes  []*process
	stopped    bool
	actors     int
	commits    int
	violations []string
	most       int // attempts of a commit
	records    int64
}

// entropy gives uuids, and so the names of files and the ids of snapshots, from the seed.
type entropy struct{ rng *rand.Rand }

func (e entropy) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e.rng.Uint32())
	}
	return len(p), nil
}

// newSim makes the world of a seed: the table, in either format, and how much goes wrong.
func newSim(seed uint64, mutant string) *sim { return newSimOf(seed, mutant, 0) }

// newSimOf makes it with a table of a format, or of either if that is 0.
func newSimOf(seed uint64, mutant string, format int) *sim {
	s := &sim{scheduler: newScheduler(seed), seed: seed, store: &store{files: map[string]*object{}}, mutant: mutant}
	s.model = newModel(s)
	s.catalog = &registry{sim: s}
	s.references = newReferences(s.store)
	s.store.removing = s.checkRemoval
	uuid.SetRand(entropy{rand.New(rand.NewPCG(seed, 2))})
	s.format = 2 + s.rng.IntN(2)
	if format != 0 {
		s.format = format
	}
	s.strategy = []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead}[s.rng.IntN(2)]
	s.faultRate = []float64{0, 0.01, 0.03, 0.08}[s.rng.IntN(4)]
	s.faultless = s.faultRate == 0
	s.catalog.currentOnly = s.rng.IntN(8) == 0
	props := iceberg.Properties{
		table.PropertyFormatVersion:       fmt.Sprint(s.format),
		"write.parquet.compression-codec": "uncompressed",
		table.ManifestMergeEnabledKey:     fmt.Sprint(s.rng.IntN(2) == 0),
		table.ManifestMinMergeCountKey:    "3",
		// The library's own retries, which the protocol never enters.
		table.CommitNumRetriesKey:     "5",
		table.CommitMinRetryWaitMsKey: "1",
		table.CommitMaxRetryWaitMsKey: "5",
	}
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "k", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "p", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 3, Name: "v", Type: iceberg.PrimitiveTypes.Int64})
	meta, err := table.NewMetadata(schema, s.partitioning(), table.UnsortedSortOrder, location, props)
	if err != nil {
		panic(err)
	}
	s.catalog.versions = []table.Metadata{meta}
	return s
}

// partitioning is none, by a column that a row keeps, or by a range of one that changes, as a table with a retention has it.
func (s *sim) partitioning() *iceberg.PartitionSpec {
	spec := *iceberg.UnpartitionedSpec
	switch s.rng.IntN(4) {
	case 0:
		spec = iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "p", Transform: iceberg.IdentityTransform{}})
	case 1:
		spec = iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{3}, FieldID: 1000, Name: "v_range", Transform: iceberg.TruncateTransform{Width: rangeWidth}})
	}
	return &spec
}

// result is what is left of a run.
type result struct {
	violations     []string
	trace          string
	lines          []string
	steps, commits int
	most           int // attempts of a commit
	counts         counts
}

// simulate runs a seed in a bubble of its own.
func simulate(t *testing.T, seed uint64, mutant string, keep bool) (out result) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		s := newSim(seed, mutant)
		s.keep = keep
		s.programs()
		s.run()
		s.settle()
		s.check()
		out = result{s.violations, s.trace(), s.lines, s.steps, s.commits, s.most, s.counts}
	})
	return out
}

// spawn runs a program of the simulation.
func (s *sim) spawn(rng *rand.Rand, program func()) {
	s.mu.Lock()
	s.alive++
	s.mu.Unlock()
	go func() {
		time.Sleep(time.Duration(rng.Int64N(int64(50 * time.Millisecond))))
		program()
		s.mu.Lock()
		s.alive--
		s.mu.Unlock()
	}()
}

// process begins a life.
func (s *sim) process(op *operation, rng *rand.Rand) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	op.lives++
	p := &process{sim: s, id: len(s.processes), op: op, rng: rng, died: s.stopped, base: math.MaxInt}
	p.name = fmt.Sprintf("%s (life %d)", op, op.lives)
	s.processes = append(s.processes, p)
	return p
}

// lake is the lake as a process sees it: the library itself, on the simulated catalog and store.
func (p *process) lake() *tables.Lake {
	return tables.LakeOn(catalog.Wrap(&client{p: p, c: p.sim.catalog}, "sim://lake"), tables.Config{
		Parallelism: 1, MemoryLimit: 1 << 24, Commit: p.options(),
	})
}

func (p *process) options() commit.Options {
	o := commit.Options{Random: p.rng.Float64, Now: p.op.now}
	if !p.sim.faultless {
		o.MaxAttempts = 8
	}
	return o
}

func (p *process) table() (*tables.Table, error) {
	return p.lake().Table(context.Background(), "lake.t")
}

// perform brings an operation to its end, as a workflow does with an activity: a life that dies is followed by another,
// an error that may pass is tried again, and sometimes two lives overlap.
func (s *sim) perform(op *operation, rng *rand.Rand) {
	op.began = len(s.model.history) - 1
	defer func() { op.ended = time.Now() }()
	if !s.faultless && rng.IntN(8) == 0 { // a worker that was given up runs on
		twin := rand.New(rand.NewPCG(rng.Uint64(), 4))
		s.spawn(twin, func() {
			p := s.process(op, twin)
			p.twin = true
			s.live(op, p)
		})
	}
	for range 6 {
		if s.live(op, s.process(op, rng)) {
			return
		}
		time.Sleep(time.Duration(rng.Int64N(int64(200 * time.Millisecond))))
	}
	if !op.unsure && op.lives == 6 {
		op.refused = true
	}
}

// prepared carries out the operation on what its writer's last commit was when it was prepared, which a life finds out
// when none has before it. It is what keeps a life that was taken for dead from committing after the writer has moved on.
func (p *process) prepared() (committed bool, err error) {
	if p.op.after == nil {
		t, err := p.table()
		if err != nil {
			return false, err
		}
		last := t.LastToken(p.op.writer)
		p.op.after = &last
	}
	p.after = p.op.after
	return p.op.do(p)
}

// live is one life of an operation. It tells whether the operation has come to its end.
func (s *sim) live(op *operation, p *process) bool {
	p.began = time.Now()
	committed, err := p.prepared()
	p.ended = time.Now()
	switch {
	case p.died:
		op.unsure = true
	case err == nil:
		op.acknowledged = true
		if !committed && op.applied+op.still == 0 && op.effect != nil && !p.sawPast && !s.model.idle(op) {
			s.violate("%s: acknowledged as nothing to do, and there was", p.name)
		}
		if committed && op.applied+op.still == 0 {
			s.violate("%s: acknowledged as committed, and was not", p.name)
		}
		return true
	case !commit.Safe(err):
		op.unsure = true
	case errors.Is(err, commit.ErrSuperseded): // by a rollback, or prepared on a stale read: the build begins anew
		op.after, op.rounds = nil, nil
	case s.faultless && fault.Class(err) == nil:
		s.violate("%s: %v", p.name, err)
	}
	return false
}
