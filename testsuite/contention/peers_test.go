package contention

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/peers"
	"github.com/varve-lake/varve/testsuite/servers"
)

// peerJob is what a peer's script is given.
type peerJob struct {
	URI     string     `json:"uri"`
	Table   string     `json:"table"`
	Initial int64      `json:"initial"`
	Writers [][]change `json:"writers"`
	Read    bool       `json:"read,omitempty"`
}

// peer runs a peer's script on a job and reads what it wrote.
func peer(t *testing.T, system string, j peerJob, out any) {
	t.Helper()
	dir, others := t.TempDir(), peers.Install(t, lab.Root(t))
	content, err := json.Marshal(j)
	require.NoError(t, err)
	in, path := filepath.Join(dir, "job.json"), filepath.Join(dir, "out.json")
	require.NoError(t, os.WriteFile(in, content, 0o600))
	others.Python(t, "contention_"+system+".py", in, path, others.Jars())
	content, err = os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, out))
}

// commitRequest tells the requests of the REST protocol that commit to a table.
func commitRequest(r *http.Request) bool {
	_, name, found := strings.Cut(r.URL.Path, "/tables/")
	return r.Method == http.MethodPost && found && !strings.Contains(name, "/")
}

// TestBesidePeers gives Varve, PyIceberg and Spark the same work on the same catalog, one after another: sixteen processes of Varve
// and of PyIceberg, sixteen sessions of Spark. What the peers come to is counted and not required.
func TestBesidePeers(t *testing.T) {
	if !long(t) {
		t.Skipf("%s=long runs the peers too, which takes some minutes", variable)
	}
	for _, kind := range []string{disjoint, overlapping} {
		t.Run(kind, func(t *testing.T) {
			w, _ := workFor(kind, seed(t), 2) // an append and a MERGE
			all := []figures{besideVarve(t, w)}
			for _, system := range []string{"pyiceberg", "spark"} {
				all = append(all, besidePeer(t, system, w))
			}
			t.Log(tableOf(kind, all...))
		})
	}
}

// besideVarve rewrites files, as the peers do by default, and lets PyIceberg read what came of it.
func besideVarve(t *testing.T, w work) figures {
	p, counted := counting(t)
	r := run(t, p, w, false, func(int) merge.Strategy { return merge.CopyOnWrite })
	r.check(t)
	readByPyIceberg(t, p, r)
	f := figuresOf("Varve", r.reports, r.wall)
	require.GreaterOrEqual(t, counted.Passed(), int64(f.Commits))
	return f
}

// readByPyIceberg has another reader see the same rows.
func readByPyIceberg(t *testing.T, p place, r *race) {
	t.Helper()
	var read []string
	peer(t, "pyiceberg", peerJob{URI: p.URI, Table: table, Read: true}, &read)
	slices.Sort(read)
	missing, extra := differ(r.rows, read)
	require.Empty(t, missing, "PyIceberg reads the same rows")
	require.Empty(t, extra, "PyIceberg reads the same rows")
}

// counting is a catalog behind something that counts the commits sent to it.
func counting(t *testing.T) (place, *servers.Proxy) {
	counted := servers.NewProxy(t, rest(t).URI, commitRequest)
	return place{Type: "rest", URI: counted.URI}, counted
}

func besidePeer(t *testing.T, system string, w work) figures {
	p, counted := counting(t)
	r := &race{work: w}
	peer(t, system, peerJob{URI: p.URI, Table: table, Initial: w.Initial, Writers: w.Writers}, &r.reports)
	sent := counted.Passed()
	first, last := int64(1<<62), int64(0)
	for _, report := range r.reports {
		require.NotEmpty(t, report)
		first, last = min(first, report[0].Began), max(last, report[len(report)-1].Ended)
	}
	r.wall = time.Duration(last - first)
	lake, err := p.open(t.Context())
	require.NoError(t, err)
	defer lake.Close()
	r.look(t, lake)
	f := figuresOf(map[string]string{"pyiceberg": "PyIceberg", "spark": "Spark"}[system], r.reports, r.wall)
	require.NotZero(t, f.Commits, "%s did some of the work", system)
	f.TriesMean = float64(sent) / float64(f.Commits)
	r.compare(t, &f)
	return f
}

// inJava is what Python's bridge to the JVM says before the error.
var inJava = regexp.MustCompile(`^Py4JJavaError: An error occurred while calling \w+\.\w+\.\s*:\s*`)

// kindOf is an error without what differs between two of a kind.
func kindOf(text string) string {
	kind, _, _ := strings.Cut(strings.Join(strings.Fields(inJava.ReplaceAllString(text, "")), " "), ": expected")
	for _, rest := range []string{" that can contain records", " for snapshots "} {
		kind, _, _ = strings.Cut(kind, rest)
	}
	return kind[:min(len(kind), 120)]
}

// compare counts what a peer came to, beside the commits that are in its table in their order.
func (r *race) compare(t *testing.T, f *figures) {
	t.Helper()
	want, err := replay(r.work, r.history.order)
	require.NoError(t, err)
	missing, extra := differ(want, r.rows)
	f.Missing, f.Extra = len(missing), len(extra)
	f.Twice = len(r.history.twice)
	errors := map[string]int{}
	for _, report := range r.reports {
		for _, d := range report {
			switch there := slices.Contains(r.history.order, d.ID); {
			case d.Error != "":
				errors[kindOf(d.Error)]++
			case !there && d.Kind != deletes: // a delete may have found nothing, after others failed
				f.Lost++
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(errors)) {
		t.Logf("%s: %d times %s", f.System, errors[what], what)
	}
	t.Logf("%s: %d rows missing, %d others, of %d; %d commits there twice, %d acknowledged and not there", f.System, f.Missing, f.Extra, len(want), f.Twice, f.Lost)
}
