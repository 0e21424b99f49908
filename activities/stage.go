package activities

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/merge"
)

// manifest says what one attempt at a group, at refining or at a group of a MERGE, has staged. It is written last, under a
// name of the attempt's own: what it names is whole, and what another attempt wrote it does not name.
type manifest struct {
	Group    int          `json:"group"`
	Staged   []byte       `json:"staged,omitempty"`   // data files in the table's layout
	Rows     []rowsFile   `json:"rows,omitempty"`     // or rows, still to be merged or deduplicated
	Rejected []rowsFile   `json:"rejected,omitempty"` // rows for the quarantine
	Found    *merge.Found `json:"found,omitempty"`    // or what came of a group of a MERGE
	Parts    []string     `json:"parts,omitempty"`    // or other manifests, in order

	// Of change data: the deletes to remember, if they are others than before, and the snapshot that was looked into.
	Tombstones *tombstones `json:"tombstones,omitempty"`
	Head       int64       `json:"head,omitempty"`
}

// staging is what one attempt writes: everything has its tag in the name.
type staging struct {
	a       *Activities
	j       *job
	table   *tables.Table
	pulse   *pulse
	tag     string
	collect *collector
	out     manifest
}

func (a *Activities) newStaging(ctx context.Context, p *pulse, j *job, tag string) (*staging, error) {
	table, err := a.lake.Table(ctx, j.Table.Name)
	if err != nil {
		return nil, err
	}
	s := &staging{a: a, j: j, table: table, pulse: p, tag: tag}
	s.collect = newCollector(j, func(name string, rows array.RecordReader) (rowsFile, error) {
		return s.writeRows(ctx, name, rows)
	})
	return s, nil
}

// stageGroup reads a group, takes it through the first segment of steps, and stages it: as data files if nothing is left
// to do but to commit them, else as rows.
func (a *Activities) stageGroup(ctx context.Context, p *pulse, in wire.StageRequest) (wire.Staged, error) {
	fault.Point(fault.StageBefore)
	j, err := a.loadJob(ctx, in.Job)
	if err != nil {
		return wire.Staged{}, err
	}
	g, err := a.group(ctx, j, in.Group)
	if err != nil {
		return wire.Staged{}, err
	}
	s, err := a.newStaging(ctx, p, j, fmt.Sprintf("%05d-%s", in.Group, unique()))
	if err != nil {
		return wire.Staged{}, err
	}
	defer s.collect.release()
	s.out.Group = in.Group
	p.at("reading and staging")
	rows, files, err := a.open(ctx, p, j, g, s.collect)
	if err != nil {
		return wire.Staged{}, fmt.Errorf("stage %s: %w", j.Table.Name, a.overtaken(ctx, j, g, err))
	}
	err = a.overtaken(ctx, j, g, s.through(ctx, rows, 0))
	if errors.Is(err, errNewColumns) {
		columns, err := files.rest()
		return wire.Staged{NewColumns: columns}, err
	}
	if err != nil {
		return wire.Staged{}, fmt.Errorf("stage %s: %w", j.Table.Name, err)
	}
	return s.finish(ctx)
}

// through takes rows through the segment n, and stages what leaves it. It takes over the reference to rows.
func (s *staging) through(ctx context.Context, rows array.RecordReader, n int) error {
	chain, err := chain(&s.j.Table, n, rows.Schema())
	if err != nil {
		rows.Release()
		return err
	}
	rows = chain.Apply(ctx, rows, s.collect.observer())
	last := n == len(segments(&s.j.Table))-1
	if last {
		err = s.final(ctx, rows)
	} else {
		err = s.between(ctx, rows, fmt.Sprintf("rows-%d", n))
	}
	s.collect.took(chain.Counts())
	return err
}

// final stages rows in the columns that the table takes.
func (s *staging) final(ctx context.Context, rows array.RecordReader) error {
	to, err := leaving(&s.j.Table)
	if err != nil {
		rows.Release()
		return err
	}
	rows, err = s.a.conformed(rows, to, s.collect)
	if err != nil {
		return err
	}
	if s.j.Table.Write.Merge != nil {
		return s.between(ctx, rows, "rows")
	}
	before := s.pulse.rows.Load()
	staged, err := s.table.Stage(ctx, rows, tables.StageOptions{
		Prefix: s.tag, MemoryLimit: s.a.cfg.share(), Parallelism: s.a.cfg.Parallelism,
		Progress: func(n int64) { s.pulse.rows.Store(before + n) },
	})
	if err != nil {
		return err
	}
	fault.Point(fault.StageRowsWritten)
	s.collect.counts.RowsStaged += staged.Rows
	s.out.Staged, err = staged.Encode()
	return err
}

// between stages rows as rows, for the next activity.
func (s *staging) between(ctx context.Context, rows array.RecordReader, name string) error {
	file, err := s.writeRows(ctx, name, &paced{RecordReader: rows, pulse: s.pulse})
	if err != nil {
		return err
	}
	fault.Point(fault.StageRowsWritten)
	s.collect.counts.RowsStaged += file.Rows
	if file.Rows > 0 {
		s.out.Rows = append(s.out.Rows, file)
	}
	return nil
}

// writeRows stages rows under a name of the attempt's own. It releases them.
func (s *staging) writeRows(ctx context.Context, name string, rows array.RecordReader) (rowsFile, error) {
	return writeRows(ctx, s.table, fmt.Sprintf("%s/%s-%s.parquet", s.table.Staging(s.j.run()), name, s.tag), rows)
}

// writeRows stages rows in the store of a table. It releases them.
func writeRows(ctx context.Context, t *tables.Table, uri string, rows array.RecordReader) (rowsFile, error) {
	defer rows.Release()
	store, err := t.FS(ctx)
	if err != nil {
		return rowsFile{}, err
	}
	out := rowsFile{}
	for _, f := range rows.Schema().Fields() {
		out.Columns = append(out.Columns, f.Name)
	}
	out.RowsFile, err = datafile.WriteRows(ctx, store, uri, rows)
	return out, err
}

// finish writes the manifest.
func (s *staging) finish(ctx context.Context) (wire.Staged, error) {
	if err := s.collect.flush(); err != nil {
		return wire.Staged{}, err
	}
	s.out.Rejected = s.collect.files
	if _, err := stage(ctx, s.table, s.j.run(), partName(s.tag), s.out); err != nil {
		return wire.Staged{}, err
	}
	fault.Point(fault.StageManifestStored)
	return wire.Staged{Part: s.tag, Counts: s.collect.counts, Warnings: s.collect.warnings}, nil
}

func partName(tag string) string { return "part-" + tag + ".json" }

// paced counts the rows that pass for the heartbeat.
type paced struct {
	array.RecordReader
	pulse *pulse
}

func (r *paced) Next() bool {
	if !r.RecordReader.Next() {
		return false
	}
	r.pulse.rows.Add(r.RecordBatch().NumRows())
	return true
}

// gather joins the manifests of a batch into one that names them.
func (a *Activities) gather(ctx context.Context, p *pulse, in wire.GatherRequest) (wire.Gathered, error) {
	p.at("gathering")
	j, err := a.loadJob(ctx, in.Job)
	if err != nil {
		return wire.Gathered{}, err
	}
	table, err := a.lake.Table(ctx, j.Table.Name)
	if err != nil {
		return wire.Gathered{}, err
	}
	tag := "batch-" + unique()
	_, err = stage(ctx, table, j.run(), partName(tag), manifest{Parts: in.Parts})
	fault.Point(fault.GatherStored)
	return wire.Gathered{Part: tag}, err
}

// manifests reads the manifests that parts name, those that gather joined taken apart again, in order.
func (a *Activities) manifests(ctx context.Context, p *pulse, j *job, table *tables.Table, parts []string) ([]manifest, error) {
	var out []manifest
	for _, part := range parts {
		var m manifest
		uri := table.Staging(j.run()) + "/" + partName(part)
		data, err := a.lake.ReadStaged(ctx, uri)
		if err != nil {
			return nil, fmt.Errorf("read what was staged: %w", err)
		}
		if err := unmarshal(data, &m); err != nil {
			return nil, fmt.Errorf("read %s: %w", uri, err)
		}
		if len(m.Parts) == 0 {
			p.files.Add(1)
			out = append(out, m)
			continue
		}
		inner, err := a.manifests(ctx, p, j, table, m.Parts)
		if err != nil {
			return nil, err
		}
		out = append(out, inner...)
	}
	return out, nil
}
