package catalog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/fault"
)

// ErrNoBranches says that a catalog has no branches of its own: only Nessie has branches of a whole catalog.
var ErrNoBranches = errors.New("only Nessie has branches of a whole catalog, and this catalog is not one")

// Reference is a branch or tag of the whole catalog.
type Reference struct {
	Name string `json:"name"`
	Hash string `json:"hash"`          // of the commit that it names
	Tag  bool   `json:"tag,omitempty"` // it does not move
}

// Revision is one commit of the catalog's that changed a table.
type Revision struct {
	Hash       string
	Time       time.Time
	SnapshotID int64 // what became the table's current snapshot; -1 is none, as of a table without rows
	Dropped    bool
}

// Merged says what of a branch another one has now.
type Merged struct {
	Hash    string // of the branch's commit up to which it was merged: what came to it later was not
	Changed bool   // there was something to merge
}

// CommitOf is the commit of the catalog's branch at which a table was read, or which its commit made; "" where there are none.
func CommitOf(meta table.Metadata) string { return meta.Properties()[nessieCommit] }

type branchKey struct{}

// OnBranch makes requests go to a branch, or a tag, or the state at a commit as branch@hash, instead of the configured
// branch.
func OnBranch(ctx context.Context, name string) context.Context {
	if name == "" {
		return ctx
	}
	return context.WithValue(ctx, branchKey{}, name)
}

// Branch is the branch that requests with ctx go to; "" where there are none.
func (c *Catalog) Branch(ctx context.Context) string {
	if name, ok := ctx.Value(branchKey{}).(string); ok {
		return name
	}
	return c.Configured()
}

// Configured is the branch that the configuration names, or else the server's default; "" where there are none.
func (c *Catalog) Configured() string {
	if c.api == nil {
		return ""
	}
	return c.api.branch()
}

// Knows is fault.ErrAbsent if there is no such branch, tag, or commit as branch@hash.
func (c *Catalog) Knows(ctx context.Context, ref string) error {
	if c.api == nil {
		return ErrNoBranches
	}
	_, err := c.api.fresh(ctx, ref)
	return c.classed("look for branch or tag "+ref, err)
}

// References lists branches and tags.
func (c *Catalog) References(ctx context.Context) ([]Reference, error) {
	if c.api == nil {
		return nil, ErrNoBranches
	}
	out, err := c.api.references(ctx)
	return out, c.classed("list branches", err)
}

// CreateBranch makes a branch of where another branch or tag stands. One that is there stays as it is; then it is false.
func (c *Catalog) CreateBranch(ctx context.Context, name, from string) (bool, error) {
	if c.api == nil {
		return false, ErrNoBranches
	}
	made, err := c.api.create(ctx, name, from)
	return made, c.classed("create branch "+name, err)
}

// DropBranch removes a branch if it still stands at a hash, such as the one that was merged, and is fault.ErrConflict if
// others have committed to it since; "" is wherever it stands. That it is not there is no error.
func (c *Catalog) DropBranch(ctx context.Context, name, hash string) error {
	if c.api == nil {
		return ErrNoBranches
	}
	return c.classed("delete branch "+name, c.api.drop(ctx, name, hash))
}

// MergeBranch makes what was committed to a branch since it was made the other one's, in one commit: up to the newest of some commits
// of the branch, which somebody has seen, or without any, up to where it stands. If both have changed a table it is
// fault.ErrConflict, and nothing is merged; so it is if the branch's history has none of the commits. Merging what is merged already
// changes nothing, so that it may be asked for again when an answer was lost.
func (c *Catalog) MergeBranch(ctx context.Context, from, into string, seen ...string) (Merged, error) {
	if c.api == nil {
		return Merged{}, ErrNoBranches
	}
	merged, err := c.api.merge(ctx, from, into, seen)
	return merged, c.classed(fmt.Sprintf("merge branch %s into %s", from, into), err)
}

// Revisions are the commits that changed a table, on the branch that ctx names, the newest first.
func (c *Catalog) Revisions(ctx context.Context, ident table.Identifier) iter.Seq2[Revision, error] {
	return func(yield func(Revision, error) bool) {
		if c.api == nil {
			yield(Revision{}, ErrNoBranches)
			return
		}
		for r, err := range c.api.log(ctx, c.Branch(ctx), ident) {
			if !yield(r, c.classed("history of "+dotted(ident), err)) {
				return
			}
		}
	}
}

// classed gives an error its class: none of these requests may have changed something that asking again would double.
func (c *Catalog) classed(op string, err error) error {
	if err == nil {
		return nil
	}
	var said *fault.Error
	if errors.As(err, &said) {
		return &fault.Error{Class: said.Class, Op: op, Err: said.Err}
	}
	return c.classify(op, err, false)
}
