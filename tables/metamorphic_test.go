package tables_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/internal/validity"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// TestTablesAreTheirModel runs random operations on a table and on a map in memory, with commits that get lost, processes
// that die and writers that come between. After each, the table's rows are the map's, an earlier snapshot's rows are what
// they were, each row has kept its id, and every file of the table is what its metadata say.
func TestTablesAreTheirModel(t *testing.T) {
	w := newMachines(t, t.TempDir())
	random.Seeds(t, 110, func(t *testing.T, run *random.Run) { w.run(t, run, fmt.Sprint("ns.t", run.Seed)) })
}

// machines are what the machines of a test share.
type machines struct {
	lake, others *tables.Lake
	through      *fateful
}

func newMachines(t *testing.T, dir string) *machines {
	ctx := context.Background()
	lake, err := tables.OpenLake(ctx, tables.Local(dir))
	require.NoError(t, err)
	others, err := tables.OpenLake(ctx, lake.Config())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, errors.Join(others.Close(), lake.Close())) })
	w := &machines{lake: lake, others: others, through: &fateful{Catalog: lake.Catalog()}}
	lake.CommitThrough(w.through)
	return w
}

// run has a machine with a new table make some steps.
func (w *machines) run(t *testing.T, run *random.Run, name string) *machine {
	m := &machine{
		Run: run, t: t, lake: w.lake, others: w.others, through: w.through, name: name,
		valid: validity.New(), past: map[int64]*moment{},
	}
	m.create()
	for range 4 + run.IntN(10) {
		m.step()
	}
	return m
}

// moment is a snapshot's state.
type moment struct {
	model   *model
	lineage map[int64]lineage
}

// lineage is a row's id, and the sequence number of the snapshot that last changed it.
type lineage struct{ id, updated int64 }

// machine is the table beside its model.
type machine struct {
	*random.Run
	t            *testing.T
	lake, others *tables.Lake
	through      *fateful
	name         string
	valid        *validity.Checker
	commits      int
	columns      int // ever

	def     tables.Definition
	parts   []part
	now     moment
	past    map[int64]*moment // by snapshot
	version int
	done    upkeepDone // by steps
	// reserved are rows on their way, whose keys another writer must not take.
	reserved [][]any
}

// create makes the table, empty.
func (m *machine) create() {
	m.now.model = &model{columns: []modelColumn{{keyID, random.Column{Name: "k", Kind: random.KindNamed("long")}}}, rows: map[int64]map[int]any{}}
	m.columns = 1
	for range 1 + m.IntN(5) {
		m.addColumn()
	}
	m.version = 2 + m.IntN(2)
	m.def = tables.Definition{Name: m.name, Evolve: true, FormatVersion: m.version, Properties: map[string]string{}}
	if m.IntN(2) == 0 {
		m.def.Identifier = []string{"k"}
	}
	if m.IntN(2) == 0 {
		m.def.Properties["write.parquet.row-group-limit"] = fmt.Sprint(1 + m.IntN(12))
		m.def.Properties["read.split.target-size"] = "300" // files are planned in parts, as large ones are
	}
	m.repartition()
	m.ensure()
}

func (m *machine) addColumn() {
	c := random.Column{Name: fmt.Sprint("c", m.columns), Kind: m.Kind(false)}
	m.now.model.columns = append(m.now.model.columns, modelColumn{m.columns, c})
	m.columns++
}

// repartition chooses another partitioning and order.
func (m *machine) repartition() {
	m.def.PartitionBy, m.def.SortBy, m.parts = nil, nil, nil
	decimal := false // of which a partitioning can have one
	for _, c := range m.now.model.columns {
		if n := len(c.Kind.Transforms); n > 0 && m.IntN(4) == 0 {
			text := c.Kind.Transforms[m.IntN(n)]
			is := strings.HasPrefix(c.Kind.Name, "decimal") && !strings.HasPrefix(text, "bucket")
			if text == "void" || is && decimal {
				continue
			}
			decimal = decimal || is
			transform, err := iceberg.ParseTransform(text)
			require.NoError(m.t, err)
			m.def.PartitionBy = append(m.def.PartitionBy, term(text, c.Name))
			m.parts = append(m.parts, part{c.id, transform})
		}
		if c.Kind.Key && m.IntN(8) == 0 {
			m.def.SortBy = append(m.def.SortBy, c.Name)
		}
	}
}

// term is a partition transform as a definition writes it.
func term(transform, column string) string {
	name, argument, _ := strings.Cut(strings.TrimSuffix(transform, "]"), "[")
	switch name {
	case "identity":
		return column
	case "bucket", "truncate":
		return fmt.Sprintf("%s(%s, %s)", name, argument, column)
	}
	return fmt.Sprintf("%ss(%s)", name, column)
}

func (m *machine) ensure() {
	m.def.Schema = random.Schema(m.now.model.random(), "k")
	m.Note("ensure %s, partitioned by %v, sorted by %v, identified by %v, format %d, %v", random.Describe(m.now.model.random()),
		m.def.PartitionBy, m.def.SortBy, m.def.Identifier, m.def.FormatVersion, m.def.Properties)
	_, _, err := m.lake.Ensure(context.Background(), m.def)
	require.NoError(m.t, err)
}

func (m *machine) table() *tables.Table {
	tbl, err := m.lake.Table(context.Background(), m.name)
	require.NoError(m.t, err)
	return tbl
}

// step is one operation, on both, and the comparison.
func (m *machine) step() {
	before := moment{m.now.model.clone(), maps.Clone(m.now.lineage)}
	stays := true // whether a row with the same key is the same row afterwards
	switch m.IntN(17) {
	case 0, 1:
		m.append()
	case 2:
		stays = m.replace()
	case 3:
		stays = m.replacePartitions()
	case 4:
		stays = m.rollback()
	case 5:
		m.evolve()
	case 6:
		m.deleteWhere()
	case 7:
		m.compact()
	case 8:
		m.expire()
	case 9:
		m.retain()
	case 10:
		m.orphans()
	case 11:
		m.minor(1 + m.IntN(3))
	default:
		m.merge()
	}
	m.check(before, stays)
}

// do runs an operation with one of the fates, again with the same commit id if the process died.
func (m *machine) do(what string, op func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error)) (tables.Result, error) {
	m.commits++
	opts := tables.CommitOptions{ID: commit.ID{Writer: "model", Token: fmt.Sprint(m.commits)}}
	if m.IntN(3) == 0 {
		m.through.next = fate(m.IntN(int(fates)))
	}
	m.Note("%s, which %s", what, m.through.next)
	fate := m.through.next
	ctx, die := context.WithCancel(context.Background())
	defer die()
	m.through.die, m.through.overtake = die, m.overtake
	result, err := op(ctx, m.table(), opts)
	m.through.next = lands
	if ctx.Err() == nil {
		return result, err
	}
	require.Error(m.t, err, "the process died")
	result, err = op(context.Background(), m.table(), opts)
	require.Equal(m.t, err == nil && fate == diesAfter, result.AlreadyCommitted)
	return result, err
}

// overtake is another writer's append.
func (m *machine) overtake() {
	rows := m.fresh(1 + m.IntN(4))
	m.Note("  another writer appends %d rows", len(rows))
	t, err := m.others.Table(context.Background(), m.name)
	require.NoError(m.t, err)
	m.commits++
	_, err = t.Append(context.Background(), tables.CommitOptions{ID: commit.ID{Writer: "other", Token: fmt.Sprint(m.commits)}}, m.stage(t, rows))
	require.NoError(m.t, err)
	m.now.model.put(rows)
}

// fresh makes rows whose keys are not in the table.
func (m *machine) fresh(n int) [][]any {
	rows := random.Rows(m.Rand, m.now.model.random(), n)
	taken := maps.Clone(m.now.model.rows)
	for _, row := range m.reserved {
		taken[row[0].(int64)] = nil
	}
	return slices.DeleteFunc(rows, func(row []any) bool {
		key := int64(m.IntN(60))
		row[0] = key
		_, ok := taken[key]
		taken[key] = nil
		return ok
	})
}

func (m *machine) stage(t *tables.Table, rows [][]any) *tables.Staged {
	columns := m.now.model.random()
	batch := random.Batch(columns, rows)
	r, err := array.NewRecordReader(batch.Schema(), []arrow.RecordBatch{batch})
	require.NoError(m.t, err)
	staged, err := t.Stage(context.Background(), r, tables.StageOptions{})
	require.NoError(m.t, err)
	return staged
}

func (m *machine) append() {
	rows := m.fresh(m.IntN(30))
	staged := m.stage(m.table(), rows)
	before := m.now.model
	m.now.model = before.clone()
	m.now.model.put(rows) // so that another writer takes none of these keys
	_, err := m.do(fmt.Sprintf("append %d rows", len(rows)), func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
		return t.Append(ctx, opts, staged)
	})
	require.NoError(m.t, err)
}

func (m *machine) replace() bool {
	rows := random.Rows(m.Rand, m.now.model.random(), m.IntN(20))
	for i, row := range rows {
		row[0] = int64(i * 2)
	}
	staged := m.stage(m.table(), rows)
	_, err := m.do(fmt.Sprintf("replace by %d rows", len(rows)), func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
		return t.Replace(ctx, opts, staged)
	})
	require.NoError(m.t, err)
	m.now.model = m.now.model.clone()
	m.now.model.rows = map[int64]map[int]any{}
	m.now.model.put(rows)
	return false
}

// replacePartitions replaces those that some fresh rows lie in. Where a file of an older partitioning has rows inside and
// outside of them, nothing may happen.
func (m *machine) replacePartitions() bool {
	rows := m.fresh(1 + m.IntN(8))
	m.reserved = rows
	defer func() { m.reserved = nil }()
	staged := m.stage(m.table(), rows)
	_, err := m.do(fmt.Sprintf("replace the partitions of %d rows", len(rows)), func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
		return t.ReplacePartitions(ctx, opts, nil, staged)
	})
	if err != nil && (len(m.parts) == 0 || errors.Is(err, tables.ErrIncompatible)) {
		require.ErrorIs(m.t, err, tables.ErrIncompatible)
		m.Note("  %v", err)
		return true
	}
	require.NoError(m.t, err)
	m.now.model = m.now.model.clone()
	m.now.model.replacePartitions(rows, m.parts)
	return false
}

// rollback goes to any earlier snapshot.
func (m *machine) rollback() bool {
	if len(m.past) == 0 {
		return true
	}
	id := m.anySnapshot()
	_, err := m.do(fmt.Sprintf("roll back to snapshot %d", id), func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
		return t.Rollback(ctx, opts, tables.Version{SnapshotID: &id})
	})
	require.NoError(m.t, err)
	then := m.past[id]
	m.now.model = &model{columns: m.now.model.columns, rows: maps.Clone(then.model.rows)}
	return false
}

func (m *machine) anySnapshot() int64 {
	ids := slices.Sorted(maps.Keys(m.past)) // in the order of ids, which are random: only the number drawn is replayed
	order := m.table().Snapshots()
	var known []int64
	for _, s := range order {
		if slices.Contains(ids, s.ID) {
			known = append(known, s.ID)
		}
	}
	return known[m.IntN(len(known))]
}

// evolve changes columns, partitioning, order or format.
func (m *machine) evolve() {
	m.now.model = m.now.model.clone()
	switch m.IntN(4) {
	case 0:
		m.addColumn()
	case 1:
		c := &m.now.model.columns[m.IntN(len(m.now.model.columns))]
		if c.Kind.Promoted != "" { // also one that the table is, or was, partitioned by
			c.Kind = random.KindNamed(c.Kind.Promoted)
		}
	case 2:
		m.repartition()
	default:
		// A table with delete files must be compacted before it is upgraded.
		info, err := m.table().Info(context.Background())
		require.NoError(m.t, err)
		if m.version == 2 && info.DeleteFiles == 0 {
			m.version, m.def.FormatVersion = 3, 3
		}
	}
	m.ensure()
}

// source is rows for a merge, one for a key. Some keys are in the table.
func (m *machine) source(n int) *random.Source {
	s := &random.Source{Batch: 1 + m.IntN(20), Columns: []random.Column{m.now.model.columns[0].Column}}
	for _, c := range m.now.model.columns[1:] {
		if m.IntN(4) > 0 {
			s.Columns = append(s.Columns, c.Column)
		}
	}
	seen := map[int64]bool{}
	for _, row := range random.Rows(m.Rand, s.Columns, n) {
		key := int64(m.IntN(60))
		if row[0] = key; !seen[key] {
			s.Rows = append(s.Rows, row)
		}
		seen[key] = true
	}
	return s
}

func (m *machine) strategy() merge.Strategy {
	return []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead}[m.IntN(2)]
}

func (m *machine) merge() {
	source := m.source(m.IntN(40))
	opts := merge.Options{On: []string{"k"}, Strategy: m.strategy(), TempDir: m.t.TempDir()}
	m.Limits(&opts)
	clauses := random.Clauses{Run: m.Run, Target: m.now.model.random(), Source: source.Columns, Required: "k"}
	clauses.All(&opts)
	m.run("merge", source, opts)
}

// deleteWhere deletes by a condition: with Delete, or as rows that no source row matches, of a source without any.
func (m *machine) deleteWhere() {
	columns := m.now.model.random()
	source := &random.Source{Columns: columns[:1]}
	where := random.Condition(m.Rand, map[string][]random.Column{"t": columns})
	opts := merge.Options{
		On: []string{"k"}, Strategy: m.strategy(), TempDir: m.t.TempDir(),
		NotMatchedBySource: []merge.Clause{{If: where, Action: merge.Delete}},
	}
	if m.IntN(2) == 0 {
		m.run("merge nothing, delete where "+where.SQL, source, opts)
		return
	}
	_, err := m.do(fmt.Sprintf("delete where %s, %s", where.SQL, opts.Strategy), func(ctx context.Context, t *tables.Table, commit tables.CommitOptions) (tables.Result, error) {
		return t.Delete(ctx, commit, tables.Rows{Where: where, Strategy: opts.Strategy})
	})
	require.NoError(m.t, err)
	m.now.model = m.now.model.clone()
	m.now.model.merge(source, opts)
}

// compact rewrites files: in one process, or group by group as if by others. No row changes.
func (m *machine) compact() {
	opts := m.compactOptions()
	doors := m.IntN(2) == 0
	_, err := m.do(fmt.Sprintf("compact by %s %v, doors %v, all %v", opts.Strategy, opts.Columns, doors, opts.RewriteAll), func(ctx context.Context, t *tables.Table, commit tables.CommitOptions) (tables.Result, error) {
		if doors {
			return m.compactInGroups(ctx, t, commit, opts)
		}
		r, err := t.Compact(ctx, commit, opts)
		return r.Result, err
	})
	require.NoError(m.t, err)
}

// expire forgets all snapshots but the last few.
func (m *machine) expire() {
	opts := maintain.ExpireOptions{OlderThan: time.Nanosecond, KeepLast: 1 + m.IntN(3), Now: func() time.Time { return time.Now().Add(time.Hour) }}
	_, err := m.do("expire", func(ctx context.Context, t *tables.Table, commit tables.CommitOptions) (tables.Result, error) {
		r, err := t.Expire(ctx, commit, opts)
		return r.Result, err
	})
	require.NoError(m.t, err)
	m.forget()
}

// forget lets the moments go whose snapshots have gone.
func (m *machine) forget() {
	tbl := m.table()
	for id := range m.past {
		if _, err := tbl.At(tables.Version{SnapshotID: &id}); errors.Is(err, tables.ErrNoSuchSnapshot) {
			delete(m.past, id)
		}
	}
}

func (m *machine) run(what string, source *random.Source, opts merge.Options) {
	files := m.IntN(4) // of a group; 0 is a merge by one process
	if files > 0 {
		what = fmt.Sprintf("%s in groups of %d files", what, files)
	}
	_, err := m.do(fmt.Sprintf("%s, %s, %d rows", what, opts.Strategy, len(source.Rows)), func(ctx context.Context, t *tables.Table, commit tables.CommitOptions) (tables.Result, error) {
		if files == 0 {
			return t.Merge(ctx, commit, opts, source)
		}
		return m.inGroups(ctx, t, commit, opts, source, files)
	})
	require.NoError(m.t, err)
	m.now.model = m.now.model.clone()
	m.now.model.merge(source, opts)
}

// inGroups is a merge whose files are looked through group by group, as if by other processes; now and then another writer
// comes before what they found is committed.
func (m *machine) inGroups(ctx context.Context, t *tables.Table, opts tables.CommitOptions, o merge.Options, source *random.Source, files int) (tables.Result, error) {
	fan := merge.Fanout{Above: 1, Redo: true, GroupBytes: 1, GroupFiles: files}
	for round := 0; ; round++ {
		result, division, err := t.MergeInGroups(ctx, opts, o, source, fan)
		if err != nil || division == nil {
			return result, err
		}
		done := division.Done()
		for _, g := range division.Groups {
			found, err := m.table().MatchGroup(ctx, o, source, fan, *division, g)
			if err != nil {
				return result, err
			}
			text, err := json.Marshal(found)
			require.NoError(m.t, err)
			travelled := &merge.Found{}
			require.NoError(m.t, json.Unmarshal(text, travelled))
			done.Found = append(done.Found, travelled)
		}
		fan.Done = append(fan.Done, done)
		m.Note("  %d groups", len(division.Groups))
		if round == 0 && m.IntN(4) == 0 {
			m.overtake()
		}
		if t, err = t.Refresh(ctx); err != nil {
			return result, err
		}
	}
}
