package conformance

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables/fault"
	"github.com/varve-lake/varve/testsuite/servers"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/lossy.md from what ran")

// shortPatience is what stalls are longer than in these tests: they last until whoever waits has left.
const shortPatience = 5 * time.Second

// matrix is each kind of request beside each fault, and what the operation that sent it came to.
type matrix struct {
	name     string // of its table in docs/lossy.md
	kinds    []string
	atOnce   int // cells; 16 if zero
	outcomes map[string]map[servers.Fault]string
}

// cell is one of a matrix: it has the fault befall the first request of the kind, and tells what became of the operation.
// met is false when the operation has sent no such request.
type cell func(t testing.TB, kind string, f servers.Fault, try int) (outcome string, met bool)

// run fills a matrix in, some cells at a time.
func (m *matrix) run(t *testing.T, faults []servers.Fault, one cell) {
	m.outcomes = map[string]map[servers.Fault]string{}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(cmp.Or(m.atOnce, 16))
	for _, kind := range m.kinds {
		m.outcomes[kind] = map[servers.Fault]string{}
		for _, f := range faults {
			group.Go(func() error {
				outcome := ""
				// Who is slower than the patience on a machine that is busy with others is asked again.
				for try := 0; try == 0 || try < 3 && !*update && outcome != m.documented(t, kind, f); try++ {
					var met bool
					if outcome, met = one(t, kind, f, try); !met {
						t.Errorf("%s: %s: no such request was sent", kind, f)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				m.outcomes[kind][f] = outcome
				return nil
			})
		}
	}
	require.NoError(t, group.Wait())
	if !t.Failed() {
		m.document(t, faults)
	}
}

// outcomeOf names what an operation came to.
func outcomeOf(err error) string {
	switch class := fault.Class(err); {
	case err == nil:
		return "done"
	case class != nil:
		return class.Error()
	}
	return "error"
}

const lossyPage = "../../docs/lossy.md"

// document holds the page's table to what ran, or rewrites it.
func (m *matrix) document(t *testing.T, faults []servers.Fault) {
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|---|%s\n", strings.Join(m.kinds, " | "), strings.Repeat("---|", len(m.kinds)))
	for _, f := range faults {
		fmt.Fprintf(&b, "| %s |", f)
		for _, kind := range m.kinds {
			fmt.Fprintf(&b, " %s |", m.outcomes[kind][f])
		}
		b.WriteString("\n")
	}
	pageLock.Lock()
	defer pageLock.Unlock()
	before, table, after := m.page(t)
	if *update {
		require.NoError(t, os.WriteFile(lossyPage, []byte(before+b.String()+after), 0o644))
		return
	}
	require.Equal(t, table, b.String(), "docs/lossy.md tells otherwise; -update rewrites it")
}

var pageLock sync.Mutex

// page takes the table out of the page.
func (m *matrix) page(t testing.TB) (before, table, after string) {
	page, err := os.ReadFile(lossyPage)
	require.NoError(t, err)
	begin, end := fmt.Sprintf("<!-- %s -->\n", m.name), fmt.Sprintf("<!-- end of %s -->", m.name)
	before, rest, found := strings.Cut(string(page), begin)
	require.True(t, found, "%s has no table %s", lossyPage, m.name)
	table, after, found = strings.Cut(rest, end)
	require.True(t, found, "%s has no end of table %s", lossyPage, m.name)
	return before + begin, table, end + after
}

// documented is the outcome that the page tells of a cell.
func (m *matrix) documented(t testing.TB, kind string, f servers.Fault) string {
	_, table, _ := m.page(t)
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, " | "); strings.TrimPrefix(cells[0], "| ") == string(f) {
			if i := slices.Index(m.kinds, kind) + 1; i < len(cells) {
				return strings.TrimSuffix(strings.TrimSpace(cells[i]), " |")
			}
		}
	}
	return ""
}
