package kill

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/fault"
)

// upkeepMark begins the last part of docs/kill-matrix.md, which TestKillInMaintenance writes.
const upkeepMark = "<!-- what follows is written by TestKillInMaintenance -->\n"

// upkeepOutcome is a trial in which the worker was to be killed while it maintained a table.
type upkeepOutcome struct {
	Point  string
	Killed bool
	Staged int // files in staging areas when it happened
	Right  bool
}

type upkeepOutcomes struct {
	mu  sync.Mutex
	all []upkeepOutcome
}

var upkeepReport upkeepOutcomes

func (o *upkeepOutcomes) add(one upkeepOutcome, right bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	one.Right = right
	o.all = append(o.all, one)
}

// section is the outcomes as a table, in the order in which a maintenance passes its points. form is VARVE_KILL.
func (o *upkeepOutcomes) section(form string) string {
	order := func(p string) int { return slices.Index(fault.MaintenancePoints, p) }
	slices.SortFunc(o.all, func(a, b upkeepOutcome) int { return order(a.Point) - order(b.Point) })
	killed, right := 0, 0
	var rows strings.Builder
	for _, one := range o.all {
		if one.Killed {
			killed++
		}
		if one.Right {
			right++
		}
		fmt.Fprintf(&rows, "| %s | %s | %d | %s |\n", one.Point, yes(one.Killed), one.Staged, yes(one.Right))
	}
	return fmt.Sprintf("\n## In maintenance\n\nThe worker, with the server that it embeds, is killed once while it maintains a table on the local default, and started again. Right means: "+
		"the workflow ends with every step done, the rows are those of the model, nothing is left staged, a second maintenance changes no row, and the pipeline's next run nothing new.\n\n"+
		"%d of %d points, %d killed, %d right; run on %s by `VARVE_KILL=%s go test ./testsuite/kill -run TestKillInMaintenance`, with `VARVE_KILL_TABLE` naming this page.\n\n"+
		"| point | killed | staged then | right after restart |\n|---|---|---|---|\n%s",
		len(o.all), len(fault.MaintenancePoints), killed, right, time.Now().UTC().Format(time.DateOnly), form, rows.String())
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func TestTheSectionOfMaintenance(t *testing.T) {
	var o upkeepOutcomes
	o.add(upkeepOutcome{Point: fault.OrphansDone, Killed: true, Staged: 3}, true)
	o.add(upkeepOutcome{Point: fault.RetainDone}, false)
	text := o.section("all")
	require.Contains(t, text, fmt.Sprintf("2 of %d points, 1 killed, 1 right", len(fault.MaintenancePoints)))
	require.Contains(t, text, "|---|---|---|---|\n| retain.done | no | 0 | no |\n| orphans.done | yes | 3 | yes |\n")
}
