package kill

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/varve-lake/varve/internal/fault"
)

// outcome is a trial in which someone was killed.
type outcome struct {
	on, victim string
	at         side
	left       left // what lay there when it happened
	surplus    int  // files that are left at the end and are not there when nobody is killed; below zero: not counted
	right      bool
}

type outcomes struct {
	mu  sync.Mutex
	all []outcome
}

func (o *outcomes) add(one outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, one)
}

var report outcomes

// written begins what this package writes into docs/kill-matrix.md.
const written = "<!-- what follows is written by make test-kill-kinds -->\n"

// TestMain writes what came of all trials into the page that VARVE_KILL_TABLE names, below the text there.
func TestMain(m *testing.M) {
	code := m.Run()
	if path := os.Getenv("VARVE_KILL_TABLE"); path != "" && len(report.all) > 0 {
		if err := writeTable(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func writeTable(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, _, found := strings.Cut(string(page), written)
	if !found {
		return fmt.Errorf("%s has no line %s", path, written)
	}
	return os.WriteFile(path, []byte(text+written+"\n"+report.markdown()), 0o644)
}

func (o *outcomes) markdown() string {
	var b strings.Builder
	kills := map[string]int{}
	for _, one := range o.all {
		kills[one.victim]++
	}
	fmt.Fprintf(&b, "%d kills: of the worker %d, of the server %d, of both %d.\n", len(o.all), kills[worker], kills[server], kills[both])
	o.section(&b, "Points", "point", func(one outcome) bool { return one.at.when == fault.SidePoint })
	for _, on := range []string{localName, nessieName} {
		o.section(&b, "I/Os on "+on, "I/O", func(one outcome) bool { return one.on == on && one.at.when != fault.SidePoint })
	}
	return b.String()
}

// section is a table of the outcomes that are meant, a row a place.
func (o *outcomes) section(b *strings.Builder, title, what string, meant func(outcome) bool) {
	rows := map[string][]outcome{}
	var order []string
	for _, one := range o.all {
		if !meant(one) {
			continue
		}
		row := one.at.String()
		if one.at.when != fault.SidePoint {
			row = one.at.when + " " + row
		}
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
	fmt.Fprintf(b, "\n## %s\n\n| %s | killed: worker, server, both | staged then | half-written then | unused at the end | right after restart |\n|---|---|---|---|---|---|\n", title, what)
	for _, row := range order {
		kills := map[string]int{}
		for _, one := range rows[row] {
			kills[one.victim]++
		}
		fmt.Fprintf(b, "| %s | %d, %d, %d | %s | %s | %s | %s |\n", row, kills[worker], kills[server], kills[both],
			span(rows[row], func(x outcome) int { return x.left.staged }), span(rows[row], func(x outcome) int { return x.left.temporary }),
			span(rows[row], func(x outcome) int { return x.surplus }), rights(rows[row]))
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
			if one.on == on {
				if n++; one.right {
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
