package contention

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/merge"
)

// restlessChanges are more than a restless writer comes to.
const restlessChanges = 4000

// crowdWork is small writers who never rest, on the same few keys, and a MERGE of every tenth key of a larger table, those
// among them, which is the last writer's.
func crowdWork(seed uint64, small int, initial int64) work {
	w := work{Initial: initial}
	for i := range small {
		s := &script{writer: i, dice: rand.New(rand.NewPCG(seed, uint64(i))), hot: 96}
		w.Writers = append(w.Writers, s.changes(restlessChanges))
	}
	large := change{ID: "large", Kind: merges, Partition: -1, Rows: []changed{rowOf(own(small, 1), 7)}}
	for k := int64(0); k < w.Initial; k += 10 {
		large.Rows = append(large.Rows, rowOf(k, 1+k%1000))
	}
	w.Writers = append(w.Writers, []change{large})
	return w
}

// mostPlans is what the large MERGE may take. The protocol takes five: three that lose, one after the claim that loses to a
// commit that was under way, and one more. Each time that a claim is waited out, since the machine stood still for longer
// than it asks, costs one or two.
const mostPlans = 15

// TestALargeMergeGetsThrough has a large MERGE commit between small writers who never rest. It gets through by right, within
// a handful of plans, and so do all of theirs.
func TestALargeMergeGetsThrough(t *testing.T) {
	small, initial, runs := 7, int64(50_000), 1
	if long(t) {
		initial, runs = 200_000, 5
	}
	for _, strategy := range []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead} {
		for run := range runs {
			t.Run(fmt.Sprintf("%s-%d", strategy, run+1), func(t *testing.T) {
				w := crowdWork(seed(t), small, initial)
				r, large := crowd(t, sqlite(t), w, strategy)
				others := 0
				for _, report := range r.reports[:small] {
					for _, d := range report {
						if d.Began < large.Ended && d.Ended > large.Began {
							others++
						}
					}
				}
				t.Logf("a MERGE of %d rows into %d got through between %d restless writers after %d plans, of which %d were sent, and %d claims, in %s; %d of theirs were under way or done meanwhile; %d of %d file groups were done again",
					len(w.Writers[small][0].Rows), w.Initial, small, large.Tries, large.Attempts, large.Claims, large.took().Round(10*time.Millisecond), others, large.Redone, large.Groups+large.Redone)
				t.Log(tableOf("restless writers", figuresOf("varve", r.reports[:small], r.wall)))
				require.LessOrEqual(t, large.Tries, mostPlans)
				r.check(t)
			})
		}
	}
}

// crowd runs the restless writers until the last one is through.
func crowd(t *testing.T, p place, w work, strategy merge.Strategy) (*race, done) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lake := prepare(t, p, w)
	last := len(w.Writers) - 1
	var all []*racer
	for i, changes := range w.Writers {
		all = append(all, start(t, ctx, job{Place: p, Name: writerName(i), Strategy: strategy, Changes: changes, Restless: i < last}))
	}
	for _, r := range all {
		r.ready(t)
	}
	began := now()
	for _, r := range all {
		r.open(t)
	}
	large := all[last].report(t)
	out := &race{work: w, reports: make([][]done, len(all))}
	for _, r := range all[:last] {
		r.stop()
	}
	for i, r := range all[:last] {
		out.reports[i] = r.report(t)
		require.Less(t, len(out.reports[i]), restlessChanges, "it did not rest")
		w.Writers[i] = w.Writers[i][:len(out.reports[i])] // what is left was not begun
	}
	out.reports[last] = large
	require.Len(t, large, 1)
	out.wall = time.Duration(now() - began)
	out.look(t, lake)
	return out, large[0]
}
