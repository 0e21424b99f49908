package activities

import (
	"context"
	"fmt"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/transforms"
)

// quarantineKey identifies a rejected row; see keyOf.
const quarantineKey = "_key"

// ensureQuarantine makes the table of a table's rejected rows.
func (a *Activities) ensureQuarantine(ctx context.Context, t *plan.Table) (*tables.Table, error) {
	schema, err := compile.Schema(plan.QuarantineColumns)
	if err != nil {
		return nil, err
	}
	q, _, err := a.lake.Ensure(ctx, tables.Definition{
		Name: t.Quarantine, Schema: schema, Identifier: []string{quarantineKey}, FormatVersion: t.FormatVersion,
		Doc: fmt.Sprintf("Rows that %s did not take, with the reason and where they came from.", t.Name), Owner: t.Owner, Evolve: true,
	})
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.Quarantine, err)
	}
	return q, nil
}

// commitRejected adds rejected rows to the quarantine, those that it does not have yet.
func (a *Activities) commitRejected(ctx context.Context, p *pulse, j *job, manifests []manifest) error {
	var files []rowsFile
	for _, m := range manifests {
		files = append(files, m.Rejected...)
	}
	if len(files) == 0 {
		return nil
	}
	p.at("committing quarantined rows")
	q, err := a.ensureQuarantine(ctx, &j.Table)
	if err != nil {
		return err
	}
	source, err := a.distinct(ctx, j, q, files)
	if err != nil {
		return fmt.Errorf("quarantined rows of %s: %w", j.Table.Name, err)
	}
	options := j.commitOptions("quarantine", nil)
	options.ID.After = nil // rows that are there already are not added again, whoever came first
	merged, err := q.Merge(ctx, options, merge.Options{
		On: []string{quarantineKey}, Strategy: merge.MergeOnRead,
		NotMatched:  []merge.Clause{{Action: merge.Insert, All: true}},
		MemoryLimit: a.cfg.share(), TempDir: a.cfg.WorkDir, Parallelism: a.cfg.Parallelism,
	}, source)
	count(ctx, metricRedone, q.Name(), merged.GroupsRedone)
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return nil
}

// distinct stages rejected rows with each key once: a MERGE inserts every row that nothing in the table matches.
func (a *Activities) distinct(ctx context.Context, j *job, q *tables.Table, files []rowsFile) (*staged, error) {
	schema, err := compile.Schema(plan.QuarantineColumns)
	if err != nil {
		return nil, err
	}
	table, err := a.lake.Table(ctx, j.Table.Name) // its staging folder is the one that is cleaned up
	if err != nil {
		return nil, err
	}
	options := transforms.DedupeOptions{MemoryLimit: a.cfg.share(), TempDir: a.cfg.WorkDir}
	rows, _, err := transforms.Dedupe(ctx, &staged{table, files, schema}, []string{quarantineKey}, "earliest", nil, options)
	if err != nil {
		return nil, err
	}
	file, err := writeRows(ctx, table, fmt.Sprintf("%s/quarantine-%s.parquet", table.Staging(j.run()), unique()), rows)
	if err != nil {
		return nil, err
	}
	return &staged{table: table, files: []rowsFile{file}, schema: schema}, nil
}
