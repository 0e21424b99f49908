package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/transforms"
)

func unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// staged is rows that were staged: what is deduplicated or merged reads them more than once.
type staged struct {
	table  *tables.Table
	files  []rowsFile
	schema *arrow.Schema
}

func (s *staged) Schema() *arrow.Schema { return s.schema }

// bytes is the size of the rows as they are stored.
func (s *staged) bytes() (n int64) {
	for _, f := range s.files {
		n += f.Bytes
	}
	return n
}

// Open reads the files one after the other. Those of groups that were staged before files brought new columns lack
// these: they are null there.
func (s *staged) Open(ctx context.Context, columns []string) (array.RecordReader, error) {
	to, err := project(s.schema, columns)
	if err != nil {
		return nil, err
	}
	if len(s.files) == 0 {
		return array.NewRecordReader(to, nil)
	}
	store, err := s.table.FS(ctx)
	if err != nil {
		return nil, err
	}
	var whole []datafile.RowsFile
	for _, f := range s.files {
		if f.hasAll(to) {
			whole = append(whole, f.RowsFile)
		}
	}
	if len(whole) == len(s.files) {
		return datafile.OpenRows(ctx, store, whole, columns)
	}
	out := &sequence{schema: to}
	out.refs.Store(1)
	for _, f := range s.files {
		out.parts = append(out.parts, func() (array.RecordReader, error) { return f.open(ctx, store, to) })
	}
	return out, nil
}

// project is a schema of some columns, or of all if none are named.
func project(schema *arrow.Schema, columns []string) (*arrow.Schema, error) {
	if columns == nil {
		return schema, nil
	}
	fields := make([]arrow.Field, len(columns))
	for i, name := range columns {
		at := schema.FieldIndices(name)
		if len(at) == 0 {
			return nil, fmt.Errorf("no column %q is staged", name)
		}
		fields[i] = schema.Field(at[0])
	}
	return arrow.NewSchema(fields, nil), nil
}

// rowsFile is a staged file of rows with the names of its columns.
type rowsFile struct {
	datafile.RowsFile
	Columns []string `json:"columns"`
}

func (f rowsFile) hasAll(schema *arrow.Schema) bool {
	return !slices.ContainsFunc(schema.Fields(), func(c arrow.Field) bool { return !slices.Contains(f.Columns, c.Name) })
}

// open reads the file in the columns of a schema.
func (f rowsFile) open(ctx context.Context, store iceio.IO, to *arrow.Schema) (array.RecordReader, error) {
	have := []string{}
	for _, c := range to.Fields() {
		if slices.Contains(f.Columns, c.Name) {
			have = append(have, c.Name)
		}
	}
	if len(have) == 0 {
		have = f.Columns[:1] // for the number of rows
	}
	rows, err := datafile.OpenRows(ctx, store, []datafile.RowsFile{f.RowsFile}, have)
	if err != nil {
		return nil, err
	}
	out, err := transforms.Conform(rows, to, transforms.ConformOptions{})
	if err != nil {
		rows.Release()
	}
	return out, err
}

// rowsOf are the rows that manifests name, in order.
func rowsOf(manifests []manifest) []rowsFile {
	var out []rowsFile
	for _, m := range manifests {
		out = append(out, m.Rows...)
	}
	return out
}

// refine deduplicates the rows of all groups, takes them through the steps that follow, and resolves change data.
func (a *Activities) refine(ctx context.Context, p *pulse, in wire.RefineRequest) (wire.Staged, error) {
	fault.Point(fault.RefineBefore)
	j, err := a.loadJob(ctx, in.Job)
	if err != nil {
		return wire.Staged{}, err
	}
	s, err := a.newStaging(ctx, p, j, "refined-"+unique())
	if err != nil {
		return wire.Staged{}, err
	}
	defer s.collect.release()
	p.at("reading what was staged")
	manifests, err := a.manifests(ctx, p, j, s.table, in.Parts)
	if err != nil {
		return wire.Staged{}, err
	}
	if err := s.refine(ctx, rowsOf(manifests)); err != nil {
		return wire.Staged{}, fmt.Errorf("refine %s: %w", j.Table.Name, err)
	}
	fault.Point(fault.RefineRowsWritten)
	return s.finish(ctx)
}

// refine takes rows through the segments after the first, each of which begins with a removal of duplicates.
func (s *staging) refine(ctx context.Context, files []rowsFile) error {
	all := segments(&s.j.Table)
	for n := 1; n < len(all); n++ {
		by := all[n-1].dedupe
		schema, err := schemaAfter(&s.j.Table, n-1)
		if err != nil {
			return err
		}
		s.pulse.at("removing duplicates by " + joined(by.By))
		s.out.Rows, s.collect.counts.RowsStaged = nil, 0 // of the segment before
		options := transforms.DedupeOptions{MemoryLimit: s.a.cfg.share(), TempDir: s.a.cfg.WorkDir}
		rows, counts, err := transforms.Dedupe(ctx, &staged{s.table, files, schema}, by.By, by.Keep, by.OrderBy, options)
		if err != nil {
			return fmt.Errorf("remove duplicates by %s: %w", joined(by.By), err)
		}
		s.collect.counts.Duplicates += counts.Duplicates
		if err := s.through(ctx, rows, n); err != nil {
			return err
		}
		files = s.out.Rows
	}
	if s.j.Table.Write.CDC != nil {
		return s.resolveChanges(ctx, files)
	}
	return nil
}

// schemaAfter is the schema of the rows that leave a segment. It is found from the plan, since there may be no rows.
func schemaAfter(t *plan.Table, segment int) (*arrow.Schema, error) {
	schema, err := compile.Schema(t.Input)
	if err != nil {
		return nil, err
	}
	for n := 0; n <= segment; n++ {
		c, err := chain(t, n, schema)
		if err != nil {
			return nil, err
		}
		schema = c.Schema()
	}
	return schema, nil
}
