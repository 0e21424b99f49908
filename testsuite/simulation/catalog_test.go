package simulation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/fault"
)

var ident = table.Identifier{"lake", "t"}

// registry is a catalog of one table, whose commits are compare-and-swaps on the requirements that they bring. It keeps
// every version, for stale reads.
type registry struct {
	sim      *sim
	mu       sync.Mutex
	versions []table.Metadata
	// currentOnly makes it show, and keep, the current snapshot only, as Nessie does.
	currentOnly bool
	// followed, when set, is told of each commit that it lets in.
	followed func(r *request, base, next table.Metadata)
}

func (c *registry) current() table.Metadata {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.versions[len(c.versions)-1]
}

// request is a commit as it travels.
type request struct {
	p       *process
	reqs    []table.Requirement
	updates []table.Update
}

// apply is the catalog's side of a commit. It runs between the programs' steps, so that it is one step by itself.
func (c *registry) apply(r *request) error {
	base := c.current()
	for _, req := range r.reqs {
		if err := req.Validate(base); err != nil {
			return fault.New(fault.ErrConflict, "commit", fmt.Errorf("%w: %w", table.ErrCommitFailed, err))
		}
	}
	next, err := table.UpdateTableMetadata(base, r.updates, locationOf(len(c.versions)-1))
	if err == nil && c.currentOnly {
		next, err = forgetful(next)
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	c.mu.Lock()
	c.versions = append(c.versions, next)
	c.mu.Unlock()
	if c.followed != nil {
		c.followed(r, base, next)
	}
	if claims(r.updates) {
		c.sim.model.asBefore()
	} else {
		c.sim.model.landed(r.p, base, next)
	}
	return nil
}

// claims tells whether a commit asks for a turn, or takes that back, and does nothing else.
func claims(updates []table.Update) bool {
	for _, u := range updates {
		var keys []string
		switch fields := reflect.ValueOf(u).Elem(); u.Action() {
		case table.UpdateSetProperties:
			keys = slices.Collect(maps.Keys(fields.FieldByName("Updates").Interface().(iceberg.Properties)))
		case table.UpdateRemoveProperties:
			keys = fields.FieldByName("Removals").Interface().([]string)
		default:
			return false
		}
		if slices.ContainsFunc(keys, func(k string) bool { return !strings.HasPrefix(k, commit.ClaimPrefix) }) {
			return false
		}
	}
	return true
}

func forgetful(meta table.Metadata) (table.Metadata, error) {
	var old []int64
	for _, s := range meta.Snapshots() {
		if s.SnapshotID != meta.CurrentSnapshot().SnapshotID {
			old = append(old, s.SnapshotID)
		}
	}
	if len(old) == 0 {
		return meta, nil
	}
	return table.UpdateTableMetadata(meta, []table.Update{table.NewRemoveSnapshotsUpdate(old, false)}, "")
}

func locationOf(version int) string {
	return fmt.Sprintf("%s/metadata/v%d.metadata.json", location, version)
}

func (c *registry) table(p *process, version int) *table.Table {
	c.mu.Lock()
	meta := c.versions[version]
	c.mu.Unlock()
	if p != nil && p.op != nil && p.op.sees != nil {
		meta = p.op.sees(meta)
	}
	return c.tableOf(p, meta, locationOf(version))
}

func (c *registry) tableOf(p *process, meta table.Metadata, location string) *table.Table {
	fs := view{c.sim.store, p}
	return table.New(ident, meta, location, func(context.Context) (iceio.IO, error) { return fs, nil }, &client{p: p, c: c})
}

// client is the catalog as a process has it. What it does not implement it is never asked for.
type client struct {
	icebergcatalog.Catalog
	p *process
	c *registry
}

// LoadTable implements table.CatalogIO.
func (c *client) LoadTable(context.Context, table.Identifier) (*table.Table, error) {
	f := c.p.io("load", "table", loadFates)
	if f == stale && c.p.op.kind == "sweep" { // which asks for the catalog's last word
		f = happens
	}
	c.c.mu.Lock()
	version := len(c.c.versions) - 1
	c.c.mu.Unlock()
	switch f {
	case dead, diesBefore, diesAfter:
		return nil, errDead
	case fails:
		return nil, fault.New(fault.ErrPassing, "load", errBusy)
	case stale:
		version = max(0, version-1-c.p.rng.IntN(3))
	}
	c.p.base = min(c.p.base, version)
	return c.c.table(c.p, version), nil
}

// CommitTable implements table.CatalogIO.
func (c *client) CommitTable(_ context.Context, _ table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if c.p.op.sends != nil {
		reqs, updates = c.p.op.sends(reqs, updates)
	}
	r := &request{c.p, slices.Clone(reqs), slices.Clone(updates)}
	s := c.p.sim
	f := c.p.io("commit", "table", commitFates)
	lost := fault.New(fault.ErrUnknownOutcome, "commit", io.ErrUnexpectedEOF)
	switch f {
	case dead, diesBefore:
		return nil, "", errDead
	case diesAfter:
		_ = c.c.apply(r)
		return nil, "", errDead
	case fails:
		return nil, "", fault.New(fault.ErrPassing, "commit", errBusy)
	case lostBefore:
		return nil, "", lost
	case late:
		s.late = append(s.late, r)
		return nil, "", lost
	case overtaken:
		s.late = append(s.late, r)
		return nil, "", c.refuse()
	case lostAfter:
		if err := c.c.apply(r); errors.Is(err, fault.ErrConflict) && c.p.rng.IntN(2) == 0 {
			return nil, "", err
		}
		return nil, "", lost
	case twice:
		_ = c.c.apply(r)
	case echoed:
		s.late = append(s.late, r)
	}
	if err := c.c.apply(r); err != nil {
		return nil, "", err
	}
	c.c.mu.Lock()
	version := len(c.c.versions) - 1
	c.c.mu.Unlock()
	return c.c.current(), locationOf(version), nil
}

// refuse is an answer that says nothing of another copy of the request.
func (c *client) refuse() error {
	err := []error{
		fault.New(fault.ErrPassing, "commit", errBusy), fault.New(fault.ErrDenied, "commit", errors.New("403 forbidden")), errors.New("400 bad request"),
	}[c.p.rng.IntN(3)]
	if c.p.op.believes {
		return fault.Final(err)
	}
	return err
}
