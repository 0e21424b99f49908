package activities

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

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
	files  []datafile.RowsFile
	schema *arrow.Schema
}

func (s *staged) Schema() *arrow.Schema { return s.schema }

func (s *staged) Open(ctx context.Context, columns []string) (array.RecordReader, error) {
	if len(s.files) == 0 {
		return none(s.schema, columns)
	}
	store, err := s.table.FS(ctx)
	if err != nil {
		return nil, err
	}
	return datafile.OpenRows(ctx, store, s.files, columns)
}

// none is a stream without rows.
func none(schema *arrow.Schema, columns []string) (array.RecordReader, error) {
	if columns == nil {
		return array.NewRecordReader(schema, nil)
	}
	fields := make([]arrow.Field, len(columns))
	for i, name := range columns {
		at := schema.FieldIndices(name)
		if len(at) == 0 {
			return nil, fmt.Errorf("no column %q is staged", name)
		}
		fields[i] = schema.Field(at[0])
	}
	return array.NewRecordReader(arrow.NewSchema(fields, nil), nil)
}

// rowsOf are the rows that manifests name, in order.
func rowsOf(manifests []manifest) []datafile.RowsFile {
	var out []datafile.RowsFile
	for _, m := range manifests {
		out = append(out, m.Rows...)
	}
	return out
}

// refine deduplicates the rows of all groups and takes them through the steps that follow.
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
func (s *staging) refine(ctx context.Context, files []datafile.RowsFile) error {
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
