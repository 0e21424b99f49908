package kill

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/fault"
)

// The slices of two processes add up on the page, beside what another form of the test wrote there.
func TestSlicesAddUpOnThePage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "of-all", "outcomes.jsonl")
	t.Setenv("VARVE_KILL_OUTCOMES", path)
	place := func(at string, right bool) outcome {
		return outcome{On: localName, Victim: worker, At: at, Killed: true, When: "before", What: "write manifest", Left: left{Staged: 2}, Right: right}
	}
	var first, second outcomes
	first.begin(slice{localName, "1/2", 10, 1})
	first.add(place("io:1", false))
	first.add(outcome{On: localName, Victim: both, At: "io:9", Right: true}) // nobody died
	second.begin(slice{localName, "2/2", 11, 1})
	second.add(place("io:2", true))
	second.add(outcome{On: localName, Victim: worker, At: fault.CommitDone, Killed: true, When: fault.SidePoint, What: fault.CommitDone, Right: true})
	require.NoError(t, first.err)

	page := "text\n" + kindsMark + "\nof kinds\n\n" + allMark + victimMark(worker) + "old\n" + victimMark(server) + "of the server\n" + victimMark(both)
	page, err := second.into(page, "all", path)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(page, "text\n"+kindsMark+"\nof kinds\n\n"+allMark), page)
	require.NotContains(t, page, "old")
	require.Contains(t, page, victimMark(server)+"of the server\n"+victimMark(both), "nothing is new of the server")
	require.Contains(t, page, "local: there are some 11 sides of I/Os and 1 points. Gone through: 3; at 0 of them the run ended before it came by; 1 did not end right. Slices: 1/2, 2/2.")
	require.Contains(t, page, "local: there are some 11 sides of I/Os. Gone through: 1; at 1 of them the run ended before it came by; 0 did not end right. Slices: 1/2, 2/2.")
	require.Contains(t, page, "3 kills: of the worker 3, of the server 0, of both 0.")
	require.Contains(t, page, "| before write manifest | 2, 0, 0 | 2 | 0 | 0 | local: 1 of 2 |")

	first.add(place("io:1", true)) // the same place again, mended
	page, err = first.into(page, "all", path)
	require.NoError(t, err)
	require.Contains(t, page, "| before write manifest | 2, 0, 0 | 2 | 0 | 0 | local: 2 of 2 |")
	require.Contains(t, page, "0 did not end right")

	page, err = second.into(page, "kinds", "")
	require.NoError(t, err)
	require.NotContains(t, page, "of kinds")
	require.Contains(t, page, "local: 2 of 2", "what all slices came to stays")
	require.Contains(t, page, "2 kills: of the worker 2")
	_, err = second.into("another page", "kinds", "")
	require.ErrorContains(t, err, "there is no line")
	_, err = second.into(kindsMark+allMark, "all", path)
	require.ErrorContains(t, err, "there is no line "+victimMark(worker))
}

// Each place is in one slice.
func TestSlicesAreAllPlaces(t *testing.T) {
	in := map[int64]int{}
	for _, text := range []string{"1/3", "2/3", "3/3"} {
		s, err := parseShard(text)
		require.NoError(t, err)
		for n := int64(1); n <= 20; n++ {
			if s.has(n) {
				in[n]++
			}
		}
	}
	require.Len(t, in, 20)
	for n, times := range in {
		require.Equal(t, 1, times, n)
	}
	for _, text := range []string{"0/3", "4/3", "3", "a/b", "1/0"} {
		_, err := parseShard(text)
		require.Error(t, err, text)
	}
}
