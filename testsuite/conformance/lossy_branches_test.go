package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/testsuite/servers"
)

// branchWork is what one cell does on a branch of its own: a table there, with one row, which no other branch has.
type branchWork struct {
	clear       *tables.Lake
	table       string
	from, into  string
	atBeginning string // where the branch to merge into stood
}

func (w *branchWork) catalog() *catalog.Catalog { return w.clear.Catalog() }

func (w *branchWork) hash(t testing.TB, name string) string {
	refs, err := w.catalog().References(ctx)
	require.NoError(t, err)
	for _, r := range refs {
		if r.Name == name {
			return r.Hash
		}
	}
	return ""
}

// newBranchWork makes a branch to merge from, with a table and a row, and one to merge into: of the default branch, or for "point
// branch" one to which nothing was ever committed, as a server's first branch is.
func newBranchWork(t testing.TB, clear *tables.Lake, name, kind string) *branchWork {
	w := &branchWork{clear: clear, table: "branches." + name, from: name + "/from", into: name + "/into"}
	c := w.catalog()
	base := c.Configured()
	if kind == "point branch" {
		base = neverCommitted
	}
	for _, b := range []string{w.from, w.into} {
		if kind == "create branch" && b == w.from {
			continue
		}
		made, err := c.CreateBranch(ctx, b, base)
		require.NoError(t, err)
		require.True(t, made)
	}
	if kind != "create branch" {
		w.append(t)
	}
	w.atBeginning = w.hash(t, w.into)
	return w
}

func (w *branchWork) on(branch string) context.Context { return catalog.OnBranch(ctx, branch) }

func (w *branchWork) append(t testing.TB) {
	at := w.on(w.from)
	tbl, _, err := w.clear.Ensure(at, tables.Definition{Name: w.table, Schema: columns, FormatVersion: 2})
	require.NoError(t, err)
	_, err = tbl.Append(at, by("w", 1), stage(t, tbl, row{"a", 1}))
	require.NoError(t, err)
}

// operation sends a kind of request through a catalog that a fault may befall.
func (w *branchWork) operation(t testing.TB, kind string, c *catalog.Catalog, seen string) error {
	switch kind {
	case "list branches":
		refs, err := c.References(ctx)
		if err == nil && !slices.ContainsFunc(refs, func(r catalog.Reference) bool { return r.Name == w.from }) {
			return fmt.Errorf("%s is not among %v", w.from, refs)
		}
		return err
	case "create branch":
		_, err := c.CreateBranch(ctx, w.from, w.into)
		return err
	case "delete branch":
		return c.DropBranch(ctx, w.from, seen)
	case "history":
		n := 0
		for _, err := range c.Revisions(w.on(w.from), strings.Split(w.table, ".")) {
			if err != nil {
				return err
			}
			n++
		}
		if n != 2 { // its creation and the row
			return fmt.Errorf("%s has %d revisions", w.table, n)
		}
		return nil
	}
	_, err := c.MergeBranch(ctx, w.from, w.into, seen)
	return err
}

// check holds the branches to what the operation, done once, makes of them.
func (w *branchWork) check(t testing.TB, kind string) {
	switch kind {
	case "create branch":
		require.Equal(t, w.hash(t, w.into), w.hash(t, w.from))
	case "delete branch":
		require.Empty(t, w.hash(t, w.from))
	case "merge", "point branch", "look for branch":
		tbl, err := w.clear.Table(w.on(w.into), w.table)
		require.NoError(t, err)
		require.Equal(t, texts(row{"a", 1}), contents(t, tbl, tables.Version{}))
		commits := 0
		for _, err := range w.catalog().Revisions(w.on(w.into), strings.Split(w.table, ".")) {
			require.NoError(t, err)
			commits++
		}
		if kind == "point branch" {
			require.Equal(t, w.hash(t, w.from), w.hash(t, w.into))
		} else {
			require.Equal(t, 1, commits, "merged once")
		}
		return
	}
	require.Equal(t, w.atBeginning, w.hash(t, w.into))
}

const neverCommitted = "never-committed"

// branchCell has one operation on branches of its own meet a fault.
func branchCell(s lossySubject, clear *tables.Lake) cell {
	return func(t testing.TB, kind string, f servers.Fault, try int) (string, bool) {
		name := strings.ToLower(strings.ReplaceAll(fmt.Sprint(kind, "_", f, "_", try), " ", "_"))
		w := newBranchWork(t, clear, name, kind)
		seen := w.hash(t, w.from)
		cfg, met := s.first(t, kind, f)
		cfg.Patience = shortPatience
		operation := func() error {
			c, err := catalog.Open(ctx, cfg)
			if err != nil {
				return err
			}
			defer c.Close()
			return w.operation(t, kind, c, seen)
		}
		err := operation()
		outcome := outcomeOf(err)
		if err != nil {
			t.Logf("%s: %s: %v", kind, f, err)
			require.NoError(t, operation(), "%s: %s: the same again", kind, f)
		}
		w.check(t, kind)
		return outcome, met()
	}
}

// TestLossyBranches has faults befall Nessie's own protocol, which makes, merges and deletes branches.
func TestLossyBranches(t *testing.T) {
	t.Parallel()
	s3 := servers.VersityGW(t)
	s := overHTTP("Nessie's branches", restSubject(servers.Nessie(t, s3), s3).Config, servers.NessieProtocol,
		"list branches", "look for branch", "create branch", "history", "merge", "point branch", "delete branch")
	clear := Subject{}.open(t, s.config)
	made, err := clear.Catalog().CreateBranch(ctx, neverCommitted, clear.Catalog().Configured())
	require.NoError(t, err)
	require.True(t, made)
	_, _, err = clear.Ensure(ctx, tables.Definition{Name: "branches.first", Schema: columns})
	require.NoError(t, err)
	m := &matrix{name: s.name, kinds: s.kinds, atOnce: s.atOnce}
	m.run(t, servers.Faults, branchCell(s, clear))
}
