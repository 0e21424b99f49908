package tables_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/internal/peers"
	"github.com/varve-lake/varve/tables/internal/random"
)

// TestPeersReadTheModelsTables: what is left behind by random appends, replacements, MERGEs, deletes, compactions, expiry,
// rollback and evolution, with commits that got lost and processes that died, and at last by one kind of maintenance, is the
// model's rows to PyIceberg, to Spark and to DuckDB's iceberg extension.
func TestPeersReadTheModelsTables(t *testing.T) {
	p := peers.Install(t, filepath.Join(".."))
	w := newMachines(t, p.Dir)
	var all, sparks []peers.Table
	done := &upkeepDone{}
	leave := func(t *testing.T, run *random.Run, name string) peers.Table {
		m := w.run(t, run, name)
		m.maintainLast(done)
		return peers.Table{Name: name, Columns: m.now.model.random(), Rows: m.now.model.normal()}
	}
	random.Seeds(t, 40, func(t *testing.T, run *random.Run) {
		run.Allowed = func(k *random.Kind) bool { return k.Spark != "" }
		table := leave(t, run, fmt.Sprint("ns.spark", run.Seed))
		all, sparks = append(all, table), append(sparks, table)
	})
	random.Seeds(t, 40, func(t *testing.T, run *random.Run) { all = append(all, leave(t, run, fmt.Sprint("ns.t", run.Seed))) })
	t.Logf("%d bytes of row groups were joined as bytes, %d rows written anew, %d snapshots expired, %d orphans removed; %d delete files merged, %d manifests rewritten, %d dangling deletes removed",
		done.copied, done.rows, done.snapshots, done.orphans, done.merged, done.manifests, done.dangling)
	if len(all) >= len(lastUpkeep) { // and not one seed, replayed
		require.True(t, done.copied > 0 && done.rows > 0 && done.snapshots > 0 && done.orphans > 0 && done.merged > 0 && done.manifests > 0 && done.dangling > 0, "maintenance had something to do: %+v", done)
	}
	t.Run("spark", func(t *testing.T) { p.Read(t, "spark", sparks) })
	for _, peer := range []string{"pyiceberg", "duckdb"} {
		t.Run(peer, func(t *testing.T) { p.Read(t, peer, all) })
	}
}

// normal are the rows as a peer's are compared: as text, sorted.
func (m *model) normal() []string {
	var out []string
	for key := range m.rows {
		var row random.List
		for _, c := range m.columns {
			row = append(row, random.Normal(m.rows[key][c.id], c.Kind))
		}
		out = append(out, random.Text(row))
	}
	slices.Sort(out)
	return out
}
