// Package merge plans and carries out a MERGE into an Iceberg table: which
// rows of which files change, and the files that say so. What it makes is a
// commit.Change; committing it is tables/commit's business.
//
// A merge goes through five stages, each a function of values that can travel:
//
//	load    the source's keys into hash tables, sharded above the memory limit
//	prune   the table's files that cannot hold one of those keys
//	match   stream the key columns of each file group past the hash tables
//	write   the deletes and the new versions of changed rows
//	insert  the source rows that no group matched
package merge

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

// Plan is one MERGE of one source. Its Change is a commit.Planner: called again
// after the head of the table moved, it redoes only the file groups that
// conflict, and keeps the rest.
//
// A Plan owns its temporary files and, until they are committed, the data files
// it has written. Close removes the former; Abort the latter too.
type Plan struct {
	source Source
	opts   Options
	stats  Stats
}

// New checks what can be checked without the table.
func New(source Source, opts Options) (*Plan, error) {
	return &Plan{source: source, opts: opts}, nil
}

// Change computes what to commit on top of head; nil if nothing changes.
func (p *Plan) Change(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
	return nil, fmt.Errorf("%w: not written yet", ErrOptions)
}

// Stats is what the last call of Change came to.
func (p *Plan) Stats() Stats { return p.stats }

// Close removes temporary files. The files of the last Change stay.
func (p *Plan) Close() error { return nil }

// Abort is Close for a merge that is not committed: it also removes the files
// that Change has written.
func (p *Plan) Abort(ctx context.Context) error { return p.Close() }
