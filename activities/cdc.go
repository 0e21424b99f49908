package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/transforms/changes"
	"github.com/varve-lake/varve/transforms/expression"
)

// resolution turns the events of a build into rows to merge.
//
// Both what the table holds and its tombstones are read from the head that is loaded when it begins. The commit finds out
// whether they still are what they were: of the pipeline's own commits and of rollbacks by the job's token, and where a
// history was read, of those of others too (unmoved).
type resolution struct {
	*staging
	cdc    *plan.CDC
	def    changes.Definition
	events *staged
	held   *staged // nil if the table has nothing that matters
}

// resolveChanges stages what the events in files come to, and the deletes to remember.
func (s *staging) resolveChanges(ctx context.Context, files []rowsFile) error {
	s.pulse.at("ordering events")
	r := &resolution{staging: s, cdc: s.j.Table.Write.CDC}
	schema, err := compile.Schema(r.cdc.Events)
	if err != nil {
		return err
	}
	r.events = &staged{table: s.table, files: files, schema: schema}
	if r.def, err = changesOf(r.cdc, schema); err != nil {
		return err
	}
	if err := r.holds(ctx); err != nil {
		return err
	}
	known, err := loadTombstones(ctx, s.table, s.j)
	if err != nil {
		return err
	}
	in := changes.Input{Events: r.events, Tombstones: known.rows(s.table, s.j)}
	if r.held != nil {
		in.Table, in.TableRows = r.held, r.held.rows()
	}
	decisions, err := r.decide(ctx, in)
	if err != nil {
		return err
	}
	s.out.Rows, s.collect.counts.RowsStaged = nil, 0 // of the events
	if err := r.merged(ctx, in, decisions); err != nil {
		return err
	}
	s.out.Tombstones, err = r.remember(ctx, in, decisions, known)
	return err
}

// changesOf is a plan's definition in the terms of package changes.
func changesOf(c *plan.CDC, events *arrow.Schema) (changes.Definition, error) {
	out := changes.Definition{
		Keys: c.Keys, Sequence: c.SequenceBy, Kept: c.Kept, Ties: c.Ties, History: c.History,
		ValidTo: plan.ValidTo, IsCurrent: plan.IsCurrent, Deleted: plan.DeletedColumn,
	}
	origin := []string{sources.SourceFileColumn, sources.SourceRowColumn, sources.LoadedAtColumn}
	for _, f := range events.Fields() {
		if c.Written(f.Name) && !slices.Contains(c.Keys, f.Name) && !slices.Contains(c.SequenceBy, f.Name) && !slices.Contains(origin, f.Name) {
			out.Content = append(out.Content, f.Name)
		}
	}
	if c.DeleteWhen == "" {
		return out, nil
	}
	program, err := expression.Compile(c.DeleteWhen, expression.Scope{"": events})
	if err != nil {
		return out, fmt.Errorf("delete_when %q: %w", c.DeleteWhen, err)
	}
	out.Delete = program
	return out, nil
}

// rows is how many there are.
func (s *staged) rows() (n int64) {
	for _, f := range s.files {
		n += f.Rows
	}
	return n
}

// holds stages what the table holds of the events: of a history all states of their keys, otherwise the rows that have
// their key and their sequence too, by which the same event is known again. If the first one counts there is no need.
func (r *resolution) holds(ctx context.Context) error {
	head, any := r.table.Head()
	if r.out.Head = head.ID; !any || r.events.rows() == 0 || !r.cdc.History && r.cdc.Ties == changes.First {
		return nil
	}
	on := merge.Options{On: r.cdc.Keys, MemoryLimit: r.a.cfg.share(), TempDir: r.a.cfg.WorkDir, Parallelism: r.a.cfg.Parallelism}
	want := slices.Concat(r.cdc.Keys, r.cdc.Kept, r.def.Content)
	if r.cdc.History {
		want = names(r.j.Table.Rows)
	} else {
		for i, column := range r.cdc.SequenceBy {
			on.OnPairs = append(on.OnPairs, merge.Pair{Source: column, Target: r.cdc.Kept[i]})
		}
	}
	have, err := r.table.Schema()
	if err != nil {
		return err
	}
	want = slices.DeleteFunc(want, func(c string) bool { return !have.HasField(c) })
	rows, err := r.table.Matching(ctx, on, r.events, want)
	if err != nil {
		return err
	}
	file, err := r.writeRows(ctx, "held", rows)
	if err != nil {
		return err
	}
	fields := make([]arrow.Field, len(want))
	for i, column := range want {
		at := have.FieldIndices(column)
		fields[i] = have.Field(at[0])
		fields[i].Nullable = true
	}
	r.held = &staged{table: r.table, files: nonEmpty(file), schema: arrow.NewSchema(fields, nil)}
	return nil
}

func nonEmpty(f rowsFile) []rowsFile {
	if f.Rows == 0 {
		return nil
	}
	return []rowsFile{f}
}

func names(columns []plan.Column) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.Name
	}
	return out
}

// decide stages the decisions, which are read once for the rows to merge and once for tombstones.
func (r *resolution) decide(ctx context.Context, in changes.Input) (rowsFile, error) {
	engine, err := r.a.sql()
	if err != nil {
		return rowsFile{}, err
	}
	decisions, err := changes.Decide(ctx, engine, r.def, in)
	if err != nil {
		return rowsFile{}, err
	}
	return r.writeRows(ctx, "decisions", decisions)
}

func (r *resolution) read(ctx context.Context, decisions rowsFile) (array.RecordReader, error) {
	store, err := r.table.FS(ctx)
	if err != nil {
		return nil, err
	}
	return datafile.OpenRows(ctx, store, []datafile.RowsFile{decisions.RowsFile}, nil)
}

// merged stages the rows to merge.
func (r *resolution) merged(ctx context.Context, in changes.Input, decisions rowsFile) error {
	if decisions.Rows == 0 {
		return nil
	}
	to, err := target(&r.j.Table)
	if err != nil {
		return err
	}
	read, err := r.read(ctx, decisions)
	if err != nil {
		return err
	}
	return r.between(ctx, changes.Rows(ctx, r.def, in, read, to), "changes")
}

// explainCDC says what the short form expands to.
func explainCDC(t *plan.Table) string {
	c := t.Write.CDC
	what := "the last event of each key, unless a newer delete is remembered"
	if c.History {
		what = "the states of each key that are new, have ended or are gone"
	}
	return fmt.Sprintf("change data (%s): %s, by %s, in a %s", map[bool]string{false: "scd1", true: "scd2"}[c.History], what,
		strings.Join(c.SequenceBy, ", "), mergeText(t.Write.Merge))
}

// mergeText writes a MERGE in a line.
func mergeText(m *plan.Merge) string {
	var b strings.Builder
	fmt.Fprintf(&b, "merge on %s (%s)", strings.Join(m.On, ", "), m.Strategy)
	for _, list := range []struct {
		name    string
		clauses []plan.Clause
	}{{"when matched", m.WhenMatched}, {"when not matched", m.WhenNotMatched}} {
		for _, c := range list.clauses {
			fmt.Fprintf(&b, "; %s", list.name)
			if c.If != "" {
				fmt.Fprintf(&b, " and %s", c.If)
			}
			fmt.Fprintf(&b, " then %s", c.Action)
		}
	}
	return b.String()
}

// memoryOfTombstones names what the table remembers for the pipeline.
const memoryOfTombstones = "tombstones"

// withChanges adds to a commit what belongs to change data.
func (j *job) withChanges(options *tables.CommitOptions, manifests []manifest) error {
	if j.Table.Write.CDC == nil {
		return nil
	}
	resolved := manifests[len(manifests)-1]
	if resolved.Tombstones != nil {
		c, err := checkpointOf(memoryOfTombstones, resolved.Tombstones)
		if err != nil {
			return err
		}
		options.Memory = map[string]tables.Checkpoint{memoryOfTombstones: *c}
	}
	if j.Table.Write.CDC.History {
		options.Require = unmoved(j.Table.Name, resolved.Head)
	}
	return nil
}
