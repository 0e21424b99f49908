package tables_test

import (
	"context"
	"errors"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/fault"
)

// fate is what becomes of a commit on its way to the catalog and back.
type fate int

const (
	lands fate = iota
	lostBefore
	lostAfter
	diesBefore // and the process with it
	diesAfter
	overtaken // by another writer
	fates
)

func (f fate) String() string {
	return [...]string{"lands", "is lost on its way", "lands, and the answer is lost", "is never sent: the process dies", "lands, and the process dies", "is overtaken"}[f]
}

// fateful is a catalog that deals one fate, to the next commit.
type fateful struct {
	*catalog.Catalog
	next fate
	// die ends the process that commits: its context.
	die func()
	// overtake is another writer's commit.
	overtake func()
}

// CommitTable implements commit.Catalog.
func (f *fateful) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	now := f.next
	f.next = lands
	switch now {
	case diesBefore:
		f.die()
		return nil, "", fault.New(fault.ErrUnknownOutcome, "commit", context.Canceled)
	case lostBefore:
		return nil, "", fault.New(fault.ErrUnknownOutcome, "commit", errors.New("no answer"))
	case overtaken:
		f.overtake()
	}
	meta, location, err := f.Catalog.CommitTable(ctx, ident, reqs, updates)
	switch {
	case err != nil:
	case now == lostAfter:
		return nil, "", fault.New(fault.ErrUnknownOutcome, "commit", errors.New("no answer"))
	case now == diesAfter:
		f.die()
		return nil, "", fault.New(fault.ErrUnknownOutcome, "commit", context.Canceled)
	}
	return meta, location, err
}
