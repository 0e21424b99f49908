package main

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/internal/lakesql"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// sets is into how many parts orders are divided: each phase takes another one away, brings as much anew, and changes one more.
const sets = 100

// streams is in how many commits a phase's new rows come.
const streams = 4

// change is one phase, the same for both copies, after TPC-H's refresh functions: new orders and their lines in some commits, as
// many old ones deleted, and the comments of others changed, the last two by MERGE, merge-on-read. New orders have a free key
// each and are else like those deleted, so that rows stay as many, and queries' answers what they were.
func (b *bench) change(ctx context.Context, phase int, m *measured) error {
	for _, t := range []struct{ name, key, comment string }{{"orders", "o_orderkey", "o_comment"}, {"lineitem", "l_orderkey", "l_comment"}} {
		for part := range streams {
			rows, err := b.rows(ctx, fmt.Sprintf("SELECT * REPLACE (%[1]s + 8 AS %[1]s) FROM unchanged.%[2]s WHERE (%[1]s // 32) %% %[3]d = %[4]d AND %[1]s %% %[5]d = %[6]d", t.key, t.name, sets, phase, streams, part))
			if err != nil {
				return err
			}
			if err := b.append(ctx, t.name, rows, m); err != nil {
				return err
			}
		}
		gone, err := b.rows(ctx, fmt.Sprintf("SELECT DISTINCT %[1]s FROM unchanged.%[2]s WHERE (%[1]s // 32) %% %[3]d = %[4]d", t.key, t.name, sets, phase))
		if err != nil {
			return err
		}
		if err := b.merge(ctx, t.name, gone, merge.Options{On: []string{t.key}, Matched: []merge.Clause{{Action: merge.Delete}}}, m); err != nil {
			return err
		}
		changed, err := b.rows(ctx, fmt.Sprintf("SELECT DISTINCT %[1]s, 'changed in phase %[4]d' AS %[5]s FROM unchanged.%[2]s WHERE (%[1]s // 32) %% %[3]d = %[6]d", t.key, t.name, sets, phase, t.comment, sets/2+phase%(sets/2)))
		if err != nil {
			return err
		}
		comment := merge.Assign{Column: t.comment, Value: compiled("s."+t.comment, changed.schema)}
		if err := b.merge(ctx, t.name, changed, merge.Options{On: []string{t.key}, Matched: []merge.Clause{{Action: merge.Update, Set: []merge.Assign{comment}}}}, m); err != nil {
			return err
		}
	}
	start := time.Now()
	for _, name := range changing {
		if err := b.maintain(ctx, maintained+"."+name); err != nil {
			return err
		}
	}
	m.MaintainSeconds = since(start)
	return nil
}

// both does something to a table of both copies that change.
func (b *bench) both(ctx context.Context, name string, m *measured, do func(*tables.Table, tables.CommitOptions) (tables.Result, error)) error {
	for _, of := range []string{maintained, left} {
		t, err := b.lake.Table(ctx, of+"."+name)
		if err != nil {
			return err
		}
		start := time.Now()
		if _, err := do(t, tables.CommitOptions{ID: b.id()}); err != nil {
			return err
		}
		m.ChangeSeconds += since(start)
	}
	return nil
}

func (b *bench) append(ctx context.Context, name string, rows *source, m *measured) error {
	return b.both(ctx, name, m, func(t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
		in, err := rows.Open(ctx, nil)
		if err != nil {
			return tables.Result{}, err
		}
		staged, err := t.Stage(ctx, in, tables.StageOptions{})
		if err != nil {
			return tables.Result{}, err
		}
		return t.Append(ctx, opts, staged)
	})
}

func (b *bench) merge(ctx context.Context, name string, rows *source, o merge.Options, m *measured) error {
	o.Strategy = merge.MergeOnRead
	return b.both(ctx, name, m, func(t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
		return t.Merge(ctx, opts, o, rows)
	})
}

// maintain is what MaintainTable does by a policy of compact: {}, merge_deletes: {}, remove_dangling_deletes: {}, rewrite_manifests: {} and
// expire_snapshots: {}, all of them with their defaults, after each phase. With the strict policy it is delete_files: 1 instead, so that no
// reader ever has a delete to apply, and expire_snapshots: {keep_last: 1}.
func (b *bench) maintain(ctx context.Context, name string) error {
	compact, expire := maintain.CompactOptions{TargetFileBytes: b.target, CleanBytes: 4_000_000_000}, maintain.ExpireOptions{OlderThan: 7 * 24 * time.Hour, KeepLast: 20}
	if b.strict {
		compact.MaxDeleteFiles, expire = 1, maintain.ExpireOptions{OlderThan: time.Nanosecond, KeepLast: 1}
	}
	for _, step := range []func(*tables.Table, tables.CommitOptions) error{
		func(t *tables.Table, o tables.CommitOptions) error { return second(t.Compact(ctx, o, compact)) },
		func(t *tables.Table, o tables.CommitOptions) error {
			return second(t.MergeDeletes(ctx, o, maintain.MergeDeletesOptions{}))
		},
		func(t *tables.Table, o tables.CommitOptions) error {
			return second(t.RemoveDanglingDeletes(ctx, o, maintain.DanglingOptions{MinFiles: 5}))
		},
		func(t *tables.Table, o tables.CommitOptions) error {
			return second(t.RewriteManifests(ctx, o, maintain.ManifestOptions{}))
		},
		func(t *tables.Table, o tables.CommitOptions) error { return second(t.Expire(ctx, o, expire)) },
	} {
		t, err := b.lake.Table(ctx, name)
		if err != nil {
			return err
		}
		if err := step(t, tables.CommitOptions{ID: b.id()}); err != nil {
			return err
		}
	}
	return nil
}

func second[T any](_ T, err error) error { return err }

// source is rows in memory, as appends and merges read them.
type source struct {
	schema  *arrow.Schema
	batches []arrow.RecordBatch
}

// rows are a query's.
func (b *bench) rows(ctx context.Context, query string) (*source, error) {
	r, err := b.engine.Run(ctx, query, lakesql.New(b.lake, nil))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", query, err)
	}
	defer r.Release()
	s := &source{schema: r.Schema()}
	for r.Next() {
		batch := r.RecordBatch()
		batch.Retain()
		s.batches = append(s.batches, batch)
	}
	return s, r.Err()
}

// Schema implements merge.Source.
func (s *source) Schema() *arrow.Schema { return s.schema }

// Open implements merge.Source.
func (s *source) Open(_ context.Context, names []string) (array.RecordReader, error) {
	if names == nil {
		return array.NewRecordReader(s.schema, s.batches)
	}
	var at []int
	var fields []arrow.Field
	for _, name := range names {
		i := s.schema.FieldIndices(name)[0]
		at, fields = append(at, i), append(fields, s.schema.Field(i))
	}
	schema := arrow.NewSchema(fields, nil)
	var out []arrow.RecordBatch
	for _, b := range s.batches {
		var columns []arrow.Array
		for _, i := range at {
			columns = append(columns, b.Column(i))
		}
		out = append(out, array.NewRecordBatch(schema, columns, b.NumRows()))
	}
	return array.NewRecordReader(schema, out)
}
