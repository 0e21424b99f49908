package contention

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// problems holds what came out against a serial order of the commits: that of the snapshots. Every commit was made, and is
// there once; what was acknowledged before another began is before it; and the rows are those to which the commits come in
// this order.
func (r *race) problems() (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	at := map[string]int{}
	for i, id := range r.history.order {
		at[id] = i
	}
	for _, id := range r.history.twice {
		say("%s is there twice", id)
	}
	for _, id := range r.history.forks {
		say("a snapshot of %q is no ancestor of the head", id)
	}
	var acknowledged []done
	for i, report := range r.reports {
		if len(report) != len(r.work.Writers[i]) {
			say("%s made %d of %d commits", writerName(i), len(report), len(r.work.Writers[i]))
		}
		for _, d := range report {
			switch _, there := at[d.ID]; {
			case d.Error != "":
				say("%s: %s", d.ID, d.Error)
			case d.Nobody:
				say("%s says that it changed nothing", d.ID)
			case !there:
				say("%s was acknowledged, and is not there", d.ID)
			default:
				acknowledged = append(acknowledged, d)
			}
		}
	}
	if len(at) != len(acknowledged) {
		say("%d commits are there, of which %d were acknowledged", len(at), len(acknowledged))
	}
	for _, a := range acknowledged {
		for _, b := range acknowledged {
			if a.Ended < b.Began && at[a.ID] > at[b.ID] {
				say("%s was acknowledged before %s began, and comes after it", a.ID, b.ID)
			}
		}
	}
	want, err := replay(r.work, r.history.order)
	if err != nil {
		say("%v", err)
	}
	if missing, extra := differ(want, r.rows); len(missing)+len(extra) > 0 {
		say("the rows are not those of the commits in their order: %d missing, %d others\nmissing:\n%s\nothers:\n%s", len(missing), len(extra), few(missing), few(extra))
	}
	return out
}

// serially is a race that went well: every writer in turn.
func serially(t *testing.T) *race {
	r := &race{work: overlappingWork(1, 8), history: &history{}}
	clock := int64(0)
	r.reports = make([][]done, writers)
	for i := range 8 {
		for w := range writers {
			clock += 2
			id := r.work.Writers[w][i].ID
			r.reports[w] = append(r.reports[w], done{ID: id, Began: clock, Ended: clock + 1})
			r.history.order = append(r.history.order, id)
		}
	}
	var err error
	r.rows, err = replay(r.work, r.history.order)
	require.NoError(t, err)
	return r
}

// TestTheCheckFindsWhatIsWrong spoils a race that went well in the ways in which writers spoil tables.
func TestTheCheckFindsWhatIsWrong(t *testing.T) {
	require.Empty(t, serially(t).problems())
	without := func(r *race, i int) []string {
		order := append([]string(nil), r.history.order[:i]...)
		return append(order, r.history.order[i+1:]...)
	}
	for want, spoil := range map[string]func(*race){
		"the rows are not those": func(r *race) { r.rows, _ = replay(r.work, without(r, 17)) }, // lost, though its snapshot is there
		"rows missing":           func(r *race) { r.rows = r.rows[1:] },
		"rows doubled":           func(r *race) { r.rows = append(r.rows[:1:1], r.rows...) },
		"in another order": func(r *race) {
			order := append([]string(nil), r.history.order...)
			order[16], order[32] = order[32], order[16]
			r.rows, _ = replay(r.work, order)
		},
		"and is not there": func(r *race) {
			r.history.order = without(r, 17)
			r.rows, _ = replay(r.work, r.history.order)
		},
		"and comes after it": func(r *race) {
			last := len(r.history.order) - 1
			r.history.order[0], r.history.order[last] = r.history.order[last], r.history.order[0]
			r.rows, _ = replay(r.work, r.history.order)
		},
		"is there twice":    func(r *race) { r.history.twice = []string{"w00-0000"} },
		"no ancestor":       func(r *race) { r.history.forks = []string{"w00-0000"} },
		"made 7 of 8":       func(r *race) { r.reports[3] = r.reports[3][:7] },
		"were acknowledged": func(r *race) { r.reports[3] = r.reports[3][:7] },
		"given up":          func(r *race) { r.reports[3][2].Error = "given up" },
		"nobody was asked":  func(r *race) { r.history.order = append(r.history.order, "stranger") },
	} {
		r := serially(t)
		spoil(r)
		problems := r.problems()
		require.NotEmpty(t, problems, want)
		switch want {
		case "rows missing", "rows doubled", "in another order":
			want = "the rows are not those"
		}
		require.Contains(t, fmt.Sprint(problems), want)
	}
}

// A history is read from the snapshots' parents, and not from the order in which the file has them.
func TestLineage(t *testing.T) {
	parent := func(id int64) *int64 { return &id }
	of := func(id string) map[string]string { return map[string]string{idKey: id} }
	h, err := lineage(6, []snapshotJSON{
		{ID: 6, Parent: parent(5), Summary: of("a")}, {ID: 5, Parent: parent(4), Summary: of("b")}, {ID: 4, Parent: parent(3), Summary: of("b")},
		{ID: 7, Parent: parent(2), Summary: of("lost")}, {ID: 3, Parent: parent(2), Summary: map[string]string{"varve.compaction": "2"}},
		{ID: 2, Parent: parent(1), Summary: of("a")}, {ID: 1, Summary: of("initial")},
	})
	require.NoError(t, err)
	require.Equal(t, &history{order: []string{"a", "b", "a"}, twice: []string{"a"}, forks: []string{"lost"}, others: 2, compactions: 1, snapshots: 7}, h)
	_, err = lineage(2, []snapshotJSON{{ID: 2, Parent: parent(1)}})
	require.ErrorContains(t, err, "snapshot 1, an ancestor of the head, is not there")
}
