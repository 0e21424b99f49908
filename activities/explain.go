package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/tables"
)

// Explanation says what a run would do for one table, and why.
type Explanation struct {
	Table     string   `json:"table"`
	Builds    bool     `json:"builds"`          // false if nothing is new for it
	Reads     string   `json:"reads"`           // what would be read and why
	Writes    string   `json:"writes"`          // how rows would reach the table
	Files     int      `json:"files,omitempty"` // that would be read, as far as is known before the tables before it are built
	Bytes     int64    `json:"bytes,omitempty"`
	Changes   []string `json:"changes,omitempty"`   // that would be made to the table's definition
	Fallbacks []string `json:"fallbacks,omitempty"` // parts of expressions that have no vectorised kernel
	Warnings  []string `json:"warnings,omitempty"`
}

// Explain says what a run of the plan would do now. It changes nothing.
func (a *Activities) Explain(ctx context.Context, p *plan.Plan) ([]Explanation, error) {
	out := make([]Explanation, len(p.Tables))
	builds := make(map[string]bool)
	for i := range p.Tables {
		t := &p.Tables[i]
		e, err := a.explain(ctx, p, t, builds)
		if err != nil {
			return nil, fmt.Errorf("explain %s: %w", t.Name, err)
		}
		builds[t.Name] = e.Builds
		out[i] = e
	}
	return out, nil
}

func (a *Activities) explain(ctx context.Context, p *plan.Plan, t *plan.Table, builds map[string]bool) (Explanation, error) {
	e := Explanation{Table: t.Name, Writes: Writes(t)}
	if t.Dormant {
		e.Reads = fmt.Sprintf("no files match %s", t.Files.Glob)
		return e, nil
	}
	var err error
	if e.Fallbacks, err = compile.Fallbacks(t); err != nil {
		return e, err
	}
	j := &job{Build: wire.Build{Pipeline: p.Pipeline}, Table: *t}
	table, err := a.lake.Table(ctx, t.Name)
	switch {
	case errors.Is(err, tables.ErrNoSuchTable):
		table = nil
		e.Changes = []string{"created"}
	case err != nil:
		return e, err
	default:
		if e.Changes, err = newIn(table, t); err != nil {
			return e, err
		}
		if j.Base, err = table.Checkpoint(ctx, j.writer()); err != nil {
			return e, err
		}
	}
	var first []string
	for _, name := range t.After {
		if builds[name] {
			first = append(first, name)
		}
	}
	if len(first) > 0 {
		e.Builds, e.Reads = true, fmt.Sprintf("what %s will have, built before it", joined(first))
		return e, nil
	}
	what, err := a.discover(ctx, &pulse{}, table, j, func(sources.File) error { return nil })
	if err != nil {
		return e, err
	}
	e.Builds, e.Reads, e.Files, e.Bytes, e.Warnings = !what.unchanged, what.reason, what.files, what.bytes, what.warnings
	return e, nil
}

// newIn lists the columns that a build would add to a table.
func newIn(table *tables.Table, t *plan.Table) ([]string, error) {
	have, err := table.Schema()
	if err != nil {
		return nil, err
	}
	var added []string
	for _, c := range t.Columns {
		if !have.HasField(c.Name) {
			added = append(added, c.Name+" "+c.Type)
		}
	}
	if len(added) == 0 {
		return nil, nil
	}
	return []string{"columns added: " + strings.Join(added, ", ")}, nil
}

// Writes says in a line how a table's rows reach it.
func Writes(t *plan.Table) string {
	var b strings.Builder
	switch w := t.Write; {
	case w.CDC != nil:
		b.WriteString(explainCDC(t))
	case w.Merge != nil:
		on := strings.Join(w.Merge.On, ", ")
		if w.Merge.Predicate != "" {
			on = w.Merge.Predicate
		}
		fmt.Fprintf(&b, "merge on %s (%s)", on, w.Merge.Strategy)
	case w.Mode == "replace_partitions":
		b.WriteString("replace the partitions that it has rows for")
	case w.Where != "":
		fmt.Fprintf(&b, "replace the rows where %s", w.Where)
	default:
		b.WriteString(w.Mode)
	}
	if len(t.PartitionBy) > 0 {
		fmt.Fprintf(&b, ", partitioned by %s", strings.Join(t.PartitionBy, ", "))
	}
	if len(t.SortBy) > 0 {
		fmt.Fprintf(&b, ", sorted by %s", strings.Join(t.SortBy, ", "))
	}
	return b.String()
}
