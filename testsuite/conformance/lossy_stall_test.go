package conformance

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/store"
	"github.com/varve-lake/varve/testsuite/servers"
)

// TestLossyThirtySeconds has commits and files meet stalls that last half a minute: of callers who wait for that long,
// and of callers who have given up by then, and whose requests take effect after they have sent them again.
func TestLossyThirtySeconds(t *testing.T) {
	t.Parallel()
	const stall = 30 * time.Second
	rest := lossyREST(t)
	clear := Subject{}.open(t, rest.config)
	var wg sync.WaitGroup
	for name, given := range map[string]time.Duration{"waits": 0, "gives_up": stall / 5} { // zero is the default, a minute
		for _, f := range []servers.Fault{servers.StallBefore, servers.StallAfter, servers.StallMidway} {
			wg.Go(func() { stalledCommit(t, rest, clear, name, given, stall, f) })
			for _, kind := range []string{"put", "get"} {
				wg.Go(func() { stalledFile(t, rest, kind, name, given, stall, f) })
			}
		}
	}
	wg.Wait()
}

// proxied starts a proxy that stalls the first request of a kind.
func proxied(t testing.TB, uri string, protocol servers.Protocol, kind string, f servers.Fault, stall time.Duration) *servers.FaultProxy {
	var choose func(*http.Request) servers.Fault
	choose, met := protocol.First(kind, f)
	p := servers.NewFaultProxy(t, uri, servers.FaultOptions{Choose: choose, Refuse: protocol.Refuse, Stall: stall})
	t.Cleanup(func() { require.True(t, met()) })
	return p
}

func stalledCommit(t *testing.T, s lossySubject, clear *tables.Lake, name string, given, stall time.Duration, f servers.Fault) {
	table := "stalls." + name + "_" + map[servers.Fault]string{servers.StallBefore: "before", servers.StallAfter: "after", servers.StallMidway: "midway"}[f]
	_, _, err := clear.Ensure(ctx, tables.Definition{Name: table, Schema: columns})
	require.NoError(t, err)
	p := proxied(t, s.config.URI, servers.RESTProtocol, "commit", f, stall)
	cfg := s.config
	cfg.URI, cfg.Patience = p.URI, given
	lake := Subject{}.open(t, cfg)
	tbl, err := lake.Table(ctx, table)
	require.NoError(t, err)
	for n := range 2 { // the second one meets nothing
		r, err := tbl.Append(ctx, by("w", n), stage(t, tbl, row{name, int64(n)}))
		require.NoError(t, err)
		require.True(t, r.Committed)
		if given == 0 {
			require.Zero(t, r.UnknownOutcomes, "%s: it was waited for", f)
		}
	}
	p.Settle() // what was held back has taken effect, or was refused
	tbl, err = clear.Table(ctx, table)
	require.NoError(t, err)
	require.Equal(t, texts(row{name, 0}, row{name, 1}), contents(t, tbl, tables.Version{}), "%s, %s", name, f)
	requireWhole(t, tbl)
	_, found := commit.Find(tbl.Iceberg().Metadata(), commit.ID{Writer: "w", Token: "1"})
	require.True(t, found)
}

func stalledFile(t *testing.T, s lossySubject, kind, name string, given, stall time.Duration, f servers.Fault) {
	op := storeOperations[kind]
	p := proxied(t, s.store.endpoint, s.store.protocol, kind, f, stall)
	cfg := s.store.config(p.URI)
	cfg.Patience = given
	through, clear := store.NewStores(cfg), store.NewStores(s.store.config(s.store.endpoint))
	defer through.Close()
	defer clear.Close()
	uri := "s3://lake/stalls/" + kind + "/" + name + "/" + string(f)
	beside, err := clear.FS(ctx, uri)
	require.NoError(t, err)
	made, err := through.FS(ctx, uri)
	require.NoError(t, err)
	content := noise(op.size)
	if op.there {
		require.NoError(t, beside.(files).WriteFile(uri, content))
	}
	require.NoError(t, op.do(made.(files), uri, content), "%s: %s, %s", kind, name, f)
	p.Settle()
	op.check(t, beside.(files), uri, content, true)
}
