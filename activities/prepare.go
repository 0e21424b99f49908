package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/tables"
)

// The kinds of checkpoints beside sources.FilesKind.
const (
	kindTable   = "table"   // a table read since, or as of, a snapshot
	kindTables  = "tables"  // the snapshots that a query read
	kindFileset = "fileset" // a whole set of files
)

// found is what is new for a table.
type found struct {
	groups    []group // of tables' files, or of a query; those of listed files are staged already
	files     int
	bytes     int64
	reason    string
	unchanged bool
	next      *tables.Checkpoint // what to commit; nil for files that are loaded once each
	moved     bool               // next is another checkpoint than the table's although no row is new
	snapshots map[string]int64
	warnings  []string
}

// prepare makes the table what its definition says, finds what is new for it, and stages the job of the build.
func (a *Activities) prepare(ctx context.Context, p *pulse, in wire.PrepareRequest) (wire.Prepared, error) {
	fault.Point(fault.PrepareBefore)
	t, err := a.table(ctx, in.Table)
	if err != nil {
		return wire.Prepared{}, err
	}
	if t.Dormant {
		return wire.Prepared{Unchanged: true, Reason: fmt.Sprintf("no files match %s", t.Files.Glob)}, nil
	}
	p.at("creating or evolving the table")
	table, changes, err := a.ensure(ctx, t)
	if err != nil {
		return wire.Prepared{}, err
	}
	fault.Point(fault.PrepareEnsured)
	p.at("looking for what is new")
	out := wire.Prepared{Changes: changes}
	if head, ok := table.Head(); ok {
		out.Snapshot = head.ID
	}
	j := &job{Build: in.Build, Round: in.Round, Table: *t, After: table.LastToken(writerOf(in.Build))}
	if j.Base, err = table.Checkpoint(ctx, j.writer()); err != nil {
		return wire.Prepared{}, fmt.Errorf("checkpoint of %s: %w", t.Name, err)
	}
	groups := a.newGrouping(ctx, table, j)
	what, err := a.discover(ctx, p, table, j, groups.file)
	if err != nil {
		return wire.Prepared{}, fmt.Errorf("what is new for %s: %w", t.Name, err)
	}
	out.Reason, out.Files, out.Bytes, out.Warnings = what.reason, what.files, what.bytes, what.warnings
	if what.unchanged {
		out.Unchanged = true
		err := a.advance(ctx, table, j, what)
		out.Commit = table.CatalogCommit()
		return out, err
	}
	j.Next, j.Snapshots = what.next, what.snapshots
	p.at("staging the job")
	if err := a.stageJob(ctx, table, j, groups, what.groups); err != nil {
		return wire.Prepared{}, err
	}
	out.Job, out.Groups, out.Refine = j.uri, j.Groups, together(t)
	return out, nil
}

// discover finds what is new for the table since the job's base, and hands out the files that it lists and that are to be read.
func (a *Activities) discover(ctx context.Context, p *pulse, table *tables.Table, j *job, take func(sources.File) error) (*found, error) {
	switch t := &j.Table; {
	case t.Files != nil && t.Write.Mode == "replace":
		return a.newFileset(ctx, p, j, take)
	case t.Files != nil:
		return a.newFiles(ctx, p, table, j, take)
	case t.From != nil:
		return a.newRows(ctx, j)
	case t.SQL != nil:
		return a.newSnapshots(ctx, j)
	}
	return nil, fmt.Errorf("the plan of %s names nothing to read", j.Table.Name)
}

// advance commits a checkpoint that moved on without rows, so that what it names can be expired.
func (a *Activities) advance(ctx context.Context, table *tables.Table, j *job, what *found) error {
	if !what.moved {
		return nil
	}
	_, err := table.SetCheckpoint(ctx, j.commitOptions("checkpoint", what.next))
	if err != nil {
		return fmt.Errorf("checkpoint of %s: %w", table.Name(), err)
	}
	return nil
}

// ensure makes the table and its quarantine what the plan says.
func (a *Activities) ensure(ctx context.Context, t *plan.Table) (*tables.Table, []string, error) {
	schema, err := compile.Schema(t.Columns)
	if err != nil {
		return nil, nil, fmt.Errorf("plan of %s: %w", t.Name, err)
	}
	if t.Quarantine != "" { // first, so that the table's commit of the catalog is the later one
		if _, err := a.ensureQuarantine(ctx, t); err != nil {
			return nil, nil, err
		}
	}
	table, changes, err := a.lake.Ensure(ctx, tables.Definition{
		Name: t.Name, Schema: schema, Identifier: t.Identifier, PartitionBy: t.PartitionBy, SortBy: t.SortBy,
		Properties: t.Properties, FormatVersion: t.FormatVersion, Doc: t.Doc, Owner: t.Owner,
		Evolve: true, // what may not evolve, the compilation has refused
	})
	if err != nil {
		return nil, nil, fmt.Errorf("table %s: %w", t.Name, err)
	}
	return table, describe(changes), nil
}

// describe says what was changed of a table.
func describe(c tables.Changes) []string {
	if c.Created {
		return []string{"created"}
	}
	var out []string
	list := func(what string, names []string) {
		if len(names) > 0 {
			out = append(out, what+" "+strings.Join(names, ", "))
		}
	}
	list("columns added:", c.Added)
	list("columns widened:", c.Widened)
	list("columns made optional:", c.Relaxed)
	list("docs changed:", c.Documented)
	list("properties set:", c.Properties)
	for _, flag := range []struct {
		set  bool
		what string
	}{{c.SortOrder, "sort order changed"}, {c.Partition, "partitioning changed"}, {c.Identifier, "identifier changed"}, {c.Format, "format version raised"}} {
		if flag.set {
			out = append(out, flag.what)
		}
	}
	return out
}

// stageJob stores what is left of the groups, and then the job that names them.
func (a *Activities) stageJob(ctx context.Context, table *tables.Table, j *job, staged *grouping, groups []group) error {
	var err error
	if j.Chunks, j.Groups, err = staged.end(groups); err != nil {
		return err
	}
	fault.Point(fault.PrepareGroupsStored)
	uri, err := stage(ctx, table, j.run(), "job-"+staged.name+".json", j)
	if err != nil {
		return err
	}
	fault.Point(fault.PrepareJobStored)
	j.uri = uri
	return nil
}

func checkpointOf(kind string, body any) (*tables.Checkpoint, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return &tables.Checkpoint{Kind: kind, Body: data}, nil
}

// same tells whether two checkpoints say the same.
func same(a, b *tables.Checkpoint) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Kind == b.Kind && compactJSON(a.Body) == compactJSON(b.Body)
}

// compactJSON is a document without the order of its keys.
func compactJSON(data json.RawMessage) string {
	var v any
	if len(data) == 0 || json.Unmarshal(data, &v) != nil {
		return string(data)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return string(data)
	}
	return string(out)
}

// extend adds columns that files brought to the job and to the table.
func (a *Activities) extend(ctx context.Context, p *pulse, in wire.ExtendRequest) (wire.Extended, error) {
	p.at("adding columns")
	j, err := a.loadJob(ctx, in.Job)
	if err != nil {
		return wire.Extended{}, err
	}
	if err := addColumns(&j.Table, in.Columns); err != nil {
		return wire.Extended{}, err
	}
	table, changes, err := a.ensure(ctx, &j.Table)
	if err != nil {
		return wire.Extended{}, err
	}
	uri, err := stage(ctx, table, j.run(), "job-"+unique()+".json", j)
	return wire.Extended{Job: uri, Changes: changes}, err
}
