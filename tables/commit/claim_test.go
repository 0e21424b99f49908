package commit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/fault"
)

// crowded is a catalog in memory, of one table, for writers at once in a bubble of fake time. A request takes 5 ms before it
// has its effect, so that whoever is quick is always in between.
type crowded struct {
	t     *testing.T
	fs    iceio.WriteFileIO
	mu    sync.Mutex
	meta  table.Metadata
	moves int
	order []string // tokens in which snapshots came
}

const requestTakes = 5 * time.Millisecond

func newCrowded(t *testing.T) *crowded {
	t.Helper()
	fs, err := iceio.LoadFS(context.Background(), nil, "file://"+t.TempDir())
	require.NoError(t, err)
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	meta, err := table.NewMetadata(schema, iceberg.UnpartitionedSpec, table.UnsortedSortOrder, "file://"+t.TempDir(),
		iceberg.Properties{table.PropertyFormatVersion: "2", table.ManifestMergeEnabledKey: "true"})
	require.NoError(t, err)
	return &crowded{t: t, fs: fs.(iceio.WriteFileIO), meta: meta}
}

// LoadTable implements commit.Catalog.
func (c *crowded) LoadTable(_ context.Context, ident table.Identifier) (*table.Table, error) {
	time.Sleep(requestTakes)
	c.mu.Lock()
	defer c.mu.Unlock()
	return table.New(ident, c.meta, fmt.Sprintf("%d.json", c.moves), func(context.Context) (iceio.IO, error) { return c.fs, nil }, nil), nil
}

// CommitTable implements commit.Catalog.
func (c *crowded) CommitTable(_ context.Context, _ table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	time.Sleep(requestTakes)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range reqs {
		if err := r.Validate(c.meta); err != nil {
			return nil, "", fault.New(fault.ErrConflict, "commit", err)
		}
	}
	next, err := table.UpdateTableMetadata(c.meta, updates, "")
	if err != nil {
		return nil, "", err
	}
	before := c.meta.CurrentSnapshot()
	c.meta, c.moves = next, c.moves+1
	if s := next.CurrentSnapshot(); s != nil && (before == nil || s.SnapshotID != before.SnapshotID) {
		c.order = append(c.order, s.Summary.Properties[commit.TokenKey])
	}
	return next, fmt.Sprintf("%d.json", c.moves), nil
}

func (c *crowded) claims() (out []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.meta.Properties() {
		if writer, ok := strings.CutPrefix(key, commit.ClaimPrefix); ok {
			out = append(out, writer)
		}
	}
	slices.Sort(out)
	return out
}

// restless starts writers who append one file after another, each plan in 20 ms, until told to stop. They see the
// catalog as see does.
func (c *crowded) restless(n int, see commit.Catalog, opts commit.Options) (stop func() (commits int, longest time.Duration)) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	done, commits, longest := make(chan struct{}), 0, time.Duration(0)
	for w := range n {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				id := commit.ID{Writer: fmt.Sprintf("small-%d", w), Token: fmt.Sprintf("small-%d-%d", w, i)}
				began := time.Now()
				out, err := commit.Commit(context.Background(), see, table.Identifier{"ns", "t"}, id, taking(20*time.Millisecond, id.Token), opts)
				if err != nil || !out.Committed {
					c.t.Errorf("%s: %v", id.Token, err)
					return
				}
				mu.Lock()
				commits, longest = commits+1, max(longest, time.Since(began))
				mu.Unlock()
			}
		})
	}
	return func() (int, time.Duration) {
		close(done)
		wg.Wait()
		return commits, longest
	}
}

// taking is a planner that takes its time for each plan.
func taking(d time.Duration, name string) commit.Planner {
	return func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
		time.Sleep(d)
		return appending(name)(ctx, head, attempt)
	}
}

// large commits what takes long at each head that it is planned on, and counts the plans.
func (c *crowded) large(name string, d time.Duration, opts commit.Options) (plans int, out commit.Outcome, err error) {
	opts.CatchUp = true
	plan := taking(d, name)
	out, err = commit.Commit(context.Background(), c, table.Identifier{"ns", "t"}, commit.ID{Writer: name, Token: name},
		func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
			plans++
			if plans > 12 {
				return nil, errors.New("it never gets through")
			}
			return plan(ctx, head, attempt)
		}, opts)
	return plans, out, err
}

// mostPlans is what a writer needs who is between others who never rest, and to whom they give way: three that lose; after
// the claim one that loses to a commit that was under way; and one more.
const mostPlans = 5

// A writer whose every plan takes far longer than the whole commits of others, who never rest, gets through by
// right: not when chance will have it, but within a handful of plans. Beside others who know nothing of claims it does not.
func TestAWriterWhoKeepsLosingGetsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowded(t)
		stop := c.restless(3, c, commit.Options{})
		began := time.Now()
		plans, out, err := c.large("large", 300*time.Millisecond, commit.Options{})
		took := time.Since(began)
		commits, longest := stop()
		require.NoError(t, err)
		t.Logf("through after %d plans and %s, beside %d commits of others, the longest of which took %s", plans, took, commits, longest)
		require.LessOrEqual(t, plans, mostPlans)
		require.Equal(t, 1, out.Claims)
		require.Greater(t, commits, 30)
		require.Less(t, longest, 30*time.Second, "who gives way does so for a bounded time")
		require.Empty(t, c.claims(), "the claim went with the commit")
	})
	synctest.Test(t, func(t *testing.T) {
		c := newCrowded(t)
		stop := c.restless(3, blind{c}, commit.Options{Yields: true})
		_, _, err := c.large("large", 300*time.Millisecond, commit.Options{})
		stop()
		require.ErrorContains(t, err, "it never gets through")
		require.Empty(t, c.claims(), "who gives up takes the claim back")
	})
}

// Several of them are served one after another.
func TestWritersWhoKeepLosingQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowded(t)
		stop := c.restless(3, c, commit.Options{})
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 300 * time.Millisecond)
				plans, _, err := c.large(fmt.Sprintf("large-%d", i), time.Duration(1+i)*300*time.Millisecond, commit.Options{})
				if err != nil || plans > mostPlans {
					t.Errorf("large-%d: %d plans, %v", i, plans, err)
				}
			})
		}
		wg.Wait()
		stop()
		require.Empty(t, c.claims())
	})
}

// Who has died with a claim holds others for as long as it said, once.
func TestTheClaimOfTheDeadIsWaitedOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowded(t)
		_, _, err := c.CommitTable(t.Context(), nil, nil, []table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{
			commit.ClaimPrefix + "dead": "1 9s token", commit.ClaimPrefix + "nonsense": "very soon"})})
		require.NoError(t, err)
		began := time.Now()
		for i, most := range []time.Duration{9*time.Second + 100*time.Millisecond, 100 * time.Millisecond} {
			_, out, err := c.large(fmt.Sprint("next-", i), time.Millisecond, commit.Options{})
			require.NoError(t, err)
			require.True(t, out.Committed)
			require.Equal(t, 1, out.Attempts)
			require.LessOrEqual(t, time.Since(began), most)
			began = time.Now()
		}
		require.Equal(t, []string{"nonsense"}, c.claims())
	})
}

// Upkeep gives way and never claims: it loses rather than keep writers waiting.
func TestUpkeepYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowded(t)
		stop := c.restless(3, c, commit.Options{})
		_, out, err := c.large("upkeep", 300*time.Millisecond, commit.Options{Yields: true})
		_, longest := stop()
		require.ErrorContains(t, err, "it never gets through")
		require.Zero(t, out.Claims)
		require.Less(t, longest, 5*time.Second)
	})
	synctest.Test(t, func(t *testing.T) { // it waits for who has claimed
		c := newCrowded(t)
		_, _, err := c.CommitTable(t.Context(), nil, nil, []table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{commit.ClaimPrefix + "w": "1 3s t"})})
		require.NoError(t, err)
		began := time.Now()
		_, out, err := c.large("upkeep", time.Millisecond, commit.Options{Yields: true})
		require.NoError(t, err)
		require.True(t, out.Committed)
		require.GreaterOrEqual(t, time.Since(began), 3*time.Second)
	})
}
