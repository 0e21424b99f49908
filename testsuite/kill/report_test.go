package kill

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/varve-lake/varve/internal/fault"
)

// The page docs/kill-matrix.md ends with what this package writes: what test-kill-kinds came to, and below it, by who dies, what all
// slices of test-kill-all did so far.
const (
	kindsMark = "<!-- what follows is written by make test-kill-kinds -->\n"
	allMark   = "<!-- what follows is written by make test-kill-all -->\n"
)

var victims = []string{worker, server, both}

func victimMark(victim string) string {
	return "<!-- what follows is written by VARVE_KILL_VICTIM=" + victim + " make test-kill-all -->\n"
}

// TestMain writes what came of all trials into the page that VARVE_KILL_TABLE names.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := finish(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func finish() error {
	path := os.Getenv("VARVE_KILL_TABLE")
	if report.err != nil || path == "" || len(report.all)+len(upkeepReport.all) == 0 {
		return report.err
	}
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, maintained, _ := strings.Cut(string(page), upkeepMark)
	if len(report.all) > 0 {
		text, err = report.into(text, os.Getenv("VARVE_KILL"), os.Getenv("VARVE_KILL_OUTCOMES"))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(upkeepReport.all) > 0 {
		maintained = upkeepReport.section(os.Getenv("VARVE_KILL"))
	}
	return os.WriteFile(path, []byte(strings.TrimRight(text, "\n")+"\n\n"+upkeepMark+maintained), 0o644)
}

// into puts the outcomes of a form of the test into a page; those of all with what earlier processes came to, in the part of each
// victim of whom there are any.
func (o *outcomes) into(page, form, earlier string) (string, error) {
	head, rest, found := strings.Cut(page, kindsMark)
	kinds, every, foundAll := strings.Cut(rest, allMark)
	if !found || !foundAll {
		return "", fmt.Errorf("there is no line %s or none %s", kindsMark, allMark)
	}
	if form != "all" {
		kinds = "\n" + o.tables("##") + "\n"
		return head + kindsMark + kinds + allMark + every, nil
	}
	if earlier != "" { // what this process came to is there too
		var err error
		if o, err = readOutcomes(earlier); err != nil {
			return "", err
		}
	}
	parts, err := byVictim(every)
	if err != nil {
		return "", err
	}
	page = head + kindsMark + kinds + allMark
	for _, victim := range victims {
		if of := o.of(victim); len(of.all) > 0 {
			parts[victim] = "\n## Before and after every single I/O: " + title(victim) + "\n\n" + of.ran(victim) + "\n" + of.tables("###") + "\n"
		}
		page += victimMark(victim) + parts[victim]
	}
	return page, nil
}

func title(victim string) string {
	return map[string]string{worker: "the worker alone", server: "the server alone", both: "worker and server, one process"}[victim]
}

// byVictim cuts what test-kill-all wrote into the parts of each victim.
func byVictim(text string) (map[string]string, error) {
	parts := map[string]string{}
	for i, victim := range victims {
		_, after, found := strings.Cut(text, victimMark(victim))
		if !found {
			return nil, fmt.Errorf("there is no line %s", victimMark(victim))
		}
		if i+1 < len(victims) {
			after, _, _ = strings.Cut(after, victimMark(victims[i+1]))
		}
		parts[victim] = after
	}
	return parts, nil
}

// of are the outcomes of one victim, and the slices in which it was one.
func (o *outcomes) of(victim string) *outcomes {
	out := &outcomes{}
	for _, one := range o.all {
		if one.Victim == victim {
			out.all = append(out.all, one)
		}
	}
	for i, s := range o.slices {
		if of := victimOf(s.Shard); of == "" || of == victim {
			out.slices, out.days = append(out.slices, s), append(out.days, o.days[i])
		}
	}
	return out
}

// ran says which places were gone through of one victim, of whom these are the outcomes, of which there are.
func (o *outcomes) ran(victim string) string {
	var b strings.Builder
	for _, on := range []string{localName, nessieName} {
		var shards []string
		sides, points := int64(0), 0
		for _, s := range o.slices {
			if s.On == on {
				shards, sides, points = append(shards, cmp.Or(s.Shard, "all")), max(sides, s.Sides), max(points, s.Points)
			}
		}
		if len(shards) == 0 {
			continue
		}
		slices.SortFunc(shards, byShard)
		gone, missed, failed := 0, 0, 0
		for _, one := range o.all {
			if one.On != on {
				continue
			}
			gone++
			if !one.Killed {
				missed++
			}
			if !one.Right {
				failed++
			}
		}
		there := fmt.Sprintf("some %d sides of I/Os", sides)
		if victim == worker {
			there += fmt.Sprintf(" and %d points", points)
		}
		fmt.Fprintf(&b, "- %s: there are %s. Gone through: %d; at %d of them the run ended before it came by; %d did not end right. Slices: %s.\n",
			on, there, gone, missed, failed, strings.Join(slices.Compact(shards), ", "))
	}
	if days := slices.Sorted(slices.Values(o.days)); len(days) > 0 {
		fmt.Fprintf(&b, "\nRun from %s to %s, by `make test-kill-all`", days[0], days[len(days)-1])
		b.WriteString(" in slices (`VARVE_KILL_SHARD=k/n` takes every n-th place, from the k-th on; `VARVE_KILL_VICTIM` one victim's); a place that was gone through twice counts once, as it went the last time.\n")
	}
	return b.String()
}

func byShard(a, b string) int {
	var k, n, l, m int
	_, _ = fmt.Sscanf(a, "%d/%d", &k, &n)
	_, _ = fmt.Sscanf(b, "%d/%d", &l, &m)
	return cmp.Or(strings.Compare(victimOf(a), victimOf(b)), cmp.Compare(n, m), cmp.Compare(k, l))
}

func victimOf(shard string) string {
	_, victim, _ := strings.Cut(shard, " of ")
	return victim
}

// tables are the outcomes in which somebody was killed, below headings of a level.
func (o *outcomes) tables(level string) string {
	var b strings.Builder
	kills := map[string]int{}
	for _, one := range o.all {
		if one.Killed {
			kills[one.Victim]++
		}
	}
	fmt.Fprintf(&b, "%d kills: of the worker %d, of the server %d, of both %d.\n", kills[worker]+kills[server]+kills[both], kills[worker], kills[server], kills[both])
	o.section(&b, level+" Points", "point", func(one outcome) bool { return one.When == fault.SidePoint })
	for _, on := range []string{localName, nessieName} {
		o.section(&b, level+" I/Os on "+on, "I/O", func(one outcome) bool { return one.On == on && one.When != fault.SidePoint })
	}
	return b.String()
}

// section is a table of the outcomes that are meant, a row a place.
func (o *outcomes) section(b *strings.Builder, title, what string, meant func(outcome) bool) {
	rows := map[string][]outcome{}
	var order []string
	for _, one := range o.all {
		if !one.Killed || !meant(one) {
			continue
		}
		row := one.row()
		if rows[row] == nil {
			order = append(order, row)
		}
		rows[row] = append(rows[row], one)
	}
	slices.SortFunc(order, func(a, b string) int {
		return strings.Compare(sortKey(a), sortKey(b))
	})
	if len(order) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n\n| %s | killed: worker, server, both | staged then | half-written then | unused at the end | right after restart |\n|---|---|---|---|---|---|\n", title, what)
	for _, row := range order {
		kills := map[string]int{}
		for _, one := range rows[row] {
			kills[one.Victim]++
		}
		fmt.Fprintf(b, "| %s | %d, %d, %d | %s | %s | %s | %s |\n", row, kills[worker], kills[server], kills[both],
			span(rows[row], func(x outcome) int { return x.Left.Staged }), span(rows[row], func(x outcome) int { return x.Left.Temporary }),
			span(rows[row], func(x outcome) int { return x.Surplus }), rights(rows[row]))
	}
}

// sortKey keeps points in the order in which a build passes them, and the two sides of an I/O together.
func sortKey(row string) string {
	if i := slices.Index(fault.Points, row); i >= 0 {
		return fmt.Sprintf("%03d", i)
	}
	when, what, _ := strings.Cut(row, " ")
	verb, of, _ := strings.Cut(what, " ")
	steps := []string{"list", "open", "create", "write", "sync", "publish"}
	return fmt.Sprintf("%s %02d %s %d", of, slices.Index(steps, verb)+1, verb, strings.Index("before after", when))
}

func span(all []outcome, of func(outcome) int) string {
	low, high := of(all[0]), of(all[0])
	for _, one := range all {
		low, high = min(low, of(one)), max(high, of(one))
	}
	if low < 0 {
		return "not counted"
	}
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

// rights says of each backend how many trials ended right.
func rights(all []outcome) string {
	var out []string
	for _, on := range []string{localName, nessieName} {
		right, n := 0, 0
		for _, one := range all {
			if one.On == on {
				if n++; one.Right {
					right++
				}
			}
		}
		if n > 0 {
			out = append(out, fmt.Sprintf("%s: %d of %d", on, right, n))
		}
	}
	return strings.Join(out, "; ")
}
