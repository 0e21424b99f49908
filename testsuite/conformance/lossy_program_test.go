package conformance

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/tables/store"
	"github.com/varve-lake/varve/testsuite/servers"
)

// program is writers and maintenance at one table, each behind proxies that do something to any request by chance. Each
// writer has keys of its own, of which it alone knows the rows, and some that all insert; compaction brings the rows of all
// into the same files.
type program struct {
	seed    uint64
	subject lossySubject
	clear   *tables.Lake // past the proxies
	table   string
	chance  *chance

	mu     sync.Mutex
	want   map[string]row
	errors map[string]int // what operations said before they were done, by class
	doubts int            // commits whose answer was lost
}

const (
	programWriters = 3
	programSteps   = 6 // of each writer
	programRounds  = 3 // of maintenance
	sharedKeys     = 5
)

// chance decides about requests. Two seeds differ in what befalls whom; which request comes first is the scheduler's.
type chance struct {
	mu     sync.Mutex
	rng    *rand.Rand
	befell map[servers.Fault]int
}

const (
	storeChance   = 0.04 // of a fault, for a request to the store
	sendChance    = 0.01 // for what is sent on a connection to one
	catalogChance = 0.15 // for one to the catalog; there are fewer of them
	stallChance   = 0.05 // of a stall, among faults: each costs the patience
)

var (
	quick = []servers.Fault{
		servers.LostAnswer, servers.Refused500, servers.Refused503, servers.Refused409, servers.Refused412,
		servers.TornRequest, servers.TornAnswer, servers.ShortAnswer,
	}
	stalls = []servers.Fault{servers.StallBefore, servers.StallAfter, servers.StallMidway, servers.DeliveredLate}
)

func (c *chance) ofCatalog() servers.Fault { return c.choose(catalogChance) }

func (c *chance) ofStore() servers.Fault { return c.choose(storeChance) }

func (c *chance) ofSending() servers.Fault { return c.choose(sendChance) }

func (c *chance) choose(probability float64) servers.Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rng.Float64() >= probability {
		return servers.NoFault
	}
	among := quick
	if c.rng.Float64() < stallChance {
		among = stalls
	}
	f := among[c.rng.IntN(len(among))]
	c.befell[f]++
	return f
}

// lake is the subject behind proxies of its own, both of the catalog and of the store.
func (p *program) lake(t testing.TB) *tables.Lake {
	cfg := p.subject.often(t, p.chance.ofCatalog, 0)
	cfg.Store = p.subject.files(t, p.chance)
	cfg.Patience, cfg.Store.Patience = shortPatience, shortPatience
	var lake *tables.Lake
	p.until(t, "open", func() (err error) {
		lake, err = tables.OpenLake(ctx, tables.Config{
			Catalog: cfg, TempDir: t.TempDir(), Parallelism: 2,
			Commit: commit.Options{MaxElapsed: 5 * time.Minute, MaxAttempts: 500, MaxDelay: 500 * time.Millisecond},
		})
		return err
	})
	t.Cleanup(func() { _ = lake.Close() })
	return lake
}

// until does something again, as an activity does, until it is known to be done.
func (p *program) until(t testing.TB, what string, do func() error) {
	for range 200 {
		err := do()
		if err == nil {
			return
		}
		p.mu.Lock()
		p.errors[outcomeOf(err)]++
		p.mu.Unlock()
	}
	t.Errorf("seed %d: %s: not done in 200 tries", p.seed, what)
}

// write does one operation of a writer with its commit id until it is known to be in the table.
func (p *program) write(t testing.TB, lake *tables.Lake, id tables.CommitOptions, do func(*tables.Table) (tables.Result, error)) {
	p.until(t, id.ID.Token, func() error {
		tbl, err := lake.Table(ctx, p.table)
		if err != nil {
			return err
		}
		r, err := do(tbl)
		p.mu.Lock()
		p.doubts += r.UnknownOutcomes
		p.mu.Unlock()
		if err != nil && commit.Safe(err) {
			p.requireAbsent(t, id, err)
		}
		return err
	})
}

// requireAbsent holds an error to its word that nothing was committed.
func (p *program) requireAbsent(t testing.TB, id tables.CommitOptions, err error) {
	now, loadErr := p.clear.Table(ctx, p.table)
	if loadErr != nil {
		t.Errorf("seed %d: past the proxies: %v", p.seed, loadErr)
		return
	}
	if _, found := commit.Find(now.Iceberg().Metadata(), id.ID); found {
		t.Errorf("seed %d: %s was committed, and its error says that it was not: %v", p.seed, id.ID.Token, err)
	}
}

func (p *program) expect(rows []row, gone []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range rows {
		p.want[r.id] = r
	}
	for _, id := range gone {
		delete(p.want, id)
	}
}

// writer is one writer's steps.
func (p *program) writer(t testing.TB, n int) {
	rng := rand.New(rand.NewPCG(p.seed, uint64(100+n)))
	lake := p.lake(t)
	var own []string
	for step := range programSteps {
		id := by(fmt.Sprint("w", n), fmt.Sprintf("w%d-%d", n, step))
		id.Checkpoint = &tables.Checkpoint{Kind: "n", Body: json.RawMessage(strconv.Itoa(step))}
		switch dice := rng.IntN(10); {
		case dice < 3 || len(own) == 0:
			rows := []row{{fmt.Sprintf("w%d-%d-a", n, step), rng.Int64N(1000)}, {fmt.Sprintf("w%d-%d-b", n, step), rng.Int64N(1000)}}
			p.write(t, lake, id, func(tbl *tables.Table) (tables.Result, error) { return appended(tbl, id, rows) })
			p.expect(rows, nil)
			own = append(own, rows[0].id, rows[1].id)
		case dice < 6:
			rows := []row{{own[rng.IntN(len(own))], rng.Int64N(1000)}, {fmt.Sprintf("w%d-%d-c", n, step), rng.Int64N(1000)}}
			p.merge(t, lake, id, rng, merge.Options{
				Matched:    []merge.Clause{{Action: merge.Update, All: true}},
				NotMatched: []merge.Clause{{Action: merge.Insert, All: true}},
			}, rows)
			p.expect(rows, nil)
			own = append(own, rows[1].id)
		case dice < 8:
			i := rng.IntN(len(own))
			p.merge(t, lake, id, rng, merge.Options{Matched: []merge.Clause{{Action: merge.Delete}}}, []row{{own[i], 0}})
			p.expect(nil, own[i:i+1])
			own = slices.Delete(own, i, i+1)
		default: // who is first inserts it
			key := rng.IntN(sharedKeys)
			rows := []row{{fmt.Sprint("shared-", key), int64(key)}}
			p.merge(t, lake, id, rng, merge.Options{NotMatched: []merge.Clause{{Action: merge.Insert, All: true}}}, rows)
			p.expect(rows, nil)
		}
	}
}

// appended stages rows anew for each try, as an activity does that was lost.
func appended(tbl *tables.Table, id tables.CommitOptions, rows []row) (tables.Result, error) {
	staged, err := staging(tbl, rows)
	if err != nil {
		return tables.Result{}, err
	}
	r, err := tbl.Append(ctx, id, staged)
	if err != nil && commit.Safe(err) || r.AlreadyCommitted && !r.Sent {
		_ = tbl.Discard(ctx, staged) // what is left is an orphan
	}
	return r, err
}

func (p *program) merge(t testing.TB, lake *tables.Lake, id tables.CommitOptions, rng *rand.Rand, m merge.Options, rows []row) {
	m.On, m.Parallelism = []string{"id"}, 1
	m.Strategy = []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead}[rng.IntN(2)]
	p.write(t, lake, id, func(tbl *tables.Table) (tables.Result, error) { return tbl.Merge(ctx, id, m, rowSource(rows)) })
}

// maintenance compacts and expires beside the writers.
func (p *program) maintenance(t testing.TB) {
	lake := p.lake(t)
	for n := range programRounds {
		id := by("maintenance", fmt.Sprint("compact-", n))
		p.write(t, lake, id, func(tbl *tables.Table) (tables.Result, error) {
			r, err := tbl.Compact(ctx, id, maintain.CompactOptions{MinInputFiles: 2, MaxDeleted: 0.1})
			return r.Result, err
		})
		if p.subject.headOnly {
			continue // its files are its history's
		}
		id = by("maintenance", fmt.Sprint("expire-", n))
		p.write(t, lake, id, func(tbl *tables.Table) (tables.Result, error) {
			r, err := tbl.Expire(ctx, id, maintain.ExpireOptions{OlderThan: time.Second, KeepLast: 2})
			return r.Result, err
		})
	}
}

// runProgram runs a seed's program, and looks past the proxies at what it has left.
func runProgram(t *testing.T, s lossySubject, seed uint64) {
	p := &program{
		seed: seed, subject: s, table: fmt.Sprintf("programs.p%d", seed), clear: Subject{}.open(t, s.config),
		chance: &chance{rng: rand.New(rand.NewPCG(seed, 1)), befell: map[servers.Fault]int{}},
		want:   map[string]row{}, errors: map[string]int{},
	}
	_, _, err := p.clear.Ensure(ctx, tables.Definition{Name: p.table, Schema: columns, FormatVersion: 2 + int(seed%2)})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for n := range programWriters {
		wg.Go(func() { p.writer(t, n) })
	}
	wg.Go(func() { p.maintenance(t) })
	wg.Wait()
	t.Logf("seed %d: faults %v; %d answers of commits lost; errors before success %v", seed, p.chance.befell, p.doubts, p.errors)
	p.check(t)
}

func (p *program) check(t *testing.T) {
	tbl, err := p.clear.Table(ctx, p.table)
	require.NoError(t, err)
	var want []row
	for _, r := range p.want {
		want = append(want, r)
	}
	require.Equal(t, texts(want...), contents(t, tbl, tables.Version{}), "seed %d", p.seed)
	requireWhole(t, tbl)
	for n := range programWriters {
		c, err := tbl.Checkpoint(ctx, fmt.Sprint("w", n))
		require.NoError(t, err)
		require.JSONEq(t, strconv.Itoa(programSteps-1), string(c.Body), "seed %d: writer %d", p.seed, n)
	}
	if p.subject.peer != nil && tbl.Iceberg().Metadata().Version() == 2 {
		properties, err := json.Marshal(p.subject.peer)
		require.NoError(t, err)
		require.Equal(t, texts(want...), servers.PyIceberg(t, catalog.Name, string(properties), p.table), "seed %d: PyIceberg", p.seed)
	}
}

// seeds are those to run: VARVE_SEED names one, VARVE_SEEDS says how many.
func seeds(t *testing.T, usual uint64) []uint64 {
	if s := os.Getenv("VARVE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		return []uint64{n}
	}
	if s := os.Getenv("VARVE_SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		usual = n
	}
	var out []uint64
	for n := range usual {
		out = append(out, n)
	}
	return out
}

func testLossyPrograms(t *testing.T, s lossySubject) {
	for _, seed := range seeds(t, 2) {
		runProgram(t, s, seed)
	}
}

func TestLossyProgramIcebergREST(t *testing.T) { t.Parallel(); testLossyPrograms(t, lossyREST(t)) }

func TestLossyProgramNessie(t *testing.T) { t.Parallel(); testLossyPrograms(t, lossyNessie(t)) }

func TestLossyProgramGlue(t *testing.T) { t.Parallel(); testLossyPrograms(t, lossyGlue(t)) }

// TestLossyProgramHDFS has its catalog in a file too. Faults befall what is sent on a connection, not requests.
func TestLossyProgramHDFS(t *testing.T) {
	t.Parallel()
	node := servers.HDFS(t)
	reach := store.HDFS{NameNode: node, User: "lake"}
	cfg := catalog.Config{
		Type: "sql", URI: t.TempDir() + "/catalog.db", Warehouse: "hdfs://" + node + "/lake", Store: &store.Config{HDFS: reach},
	}
	testLossyPrograms(t, lossySubject{
		name: "HDFS", config: cfg,
		often: func(testing.TB, func() servers.Fault, time.Duration) catalog.Config { return cfg },
		dialed: func(choose func() servers.Fault) *store.Config {
			faulty := reach
			faulty.Dial = servers.FaultyDial(choose)
			return &store.Config{HDFS: faulty}
		},
	})
}

// TestLossyProgramGCS has its catalog in a file, which no fault befalls.
func TestLossyProgramGCS(t *testing.T) {
	t.Parallel()
	gcs := servers.FakeGCS(t)
	cfg := catalog.Config{
		Type: "sql", URI: t.TempDir() + "/catalog.db", Warehouse: "gs://" + gcs.Bucket + "/lake", Store: &store.Config{GCS: store.GCS{Endpoint: gcs.Endpoint}},
	}
	testLossyPrograms(t, lossySubject{
		name: "GCS", config: cfg, store: onGCS(t, gcs),
		often: func(testing.TB, func() servers.Fault, time.Duration) catalog.Config { return cfg },
	})
}

func TestLossyProgramPostgreSQL(t *testing.T) { t.Parallel(); testLossyPrograms(t, lossyPostgres(t)) }
