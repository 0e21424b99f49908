package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/workflows"
)

// progress shows a run while it goes: a line a table that is redrawn on a terminal, plain lines elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	width    int
	quiet    bool
	drawn    int               // lines on the screen
	seen     map[string]string // table: what was told last, off a terminal
	began    time.Time
}

func newProgress(out io.Writer, quiet bool) *progress {
	p := &progress{out: out, quiet: quiet, seen: map[string]string{}, began: time.Now(), width: 100}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.terminal = true
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			p.width = w
		}
	}
	return p
}

func (p *progress) started(id, ui, url string) {
	if p.quiet {
		return
	}
	fmt.Fprintf(p.out, "Run %s\n", id)
	if ui != "" {
		fmt.Fprintf(p.out, "Temporal UI, while this runs: %s\n\n", url)
	}
}

func (p *progress) update(now *workflows.Progress) {
	if now == nil || p.quiet {
		return
	}
	if p.terminal {
		p.redraw(now)
		return
	}
	for _, t := range now.Tables {
		state := describeState(t)
		if t.State == wire.StateRunning { // what it is at, not how much of it is done
			state, _, _ = strings.Cut(state, ":")
		}
		if state != p.seen[t.Table] && t.State != wire.StateWaiting {
			fmt.Fprintf(p.out, "%6.1fs  %-28s %s\n", time.Since(p.began).Seconds(), t.Table, describeState(t))
		}
		p.seen[t.Table] = state
	}
}

var spinner = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

func (p *progress) redraw(now *workflows.Progress) {
	p.erase()
	lines := []string{fmt.Sprintf("%s %s", bar(now.Tables, 30), now.Stage)}
	for _, t := range now.Tables {
		mark := ' '
		switch t.State {
		case wire.StateRunning:
			mark = spinner[int(time.Since(p.began)/(100*time.Millisecond))%len(spinner)]
		case wire.StateBuilt, wire.StateUnchanged, wire.StateDone:
			mark = '✓'
		case wire.StateFailed, wire.StateCancelled:
			mark = '✗'
		}
		lines = append(lines, fmt.Sprintf("%c %-28s %s", mark, t.Table, describeState(t)))
	}
	for _, l := range lines {
		if r := []rune(l); len(r) >= p.width {
			l = string(r[:p.width-1])
		}
		fmt.Fprintln(p.out, l)
	}
	p.drawn = len(lines)
}

func (p *progress) erase() {
	if p.drawn > 0 {
		fmt.Fprintf(p.out, "\x1b[%dA\x1b[J", p.drawn)
		p.drawn = 0
	}
}

// stopped clears what is drawn; the result takes its place.
func (p *progress) stopped(message string) {
	p.erase()
	if message != "" {
		fmt.Fprintln(p.out, message)
	}
}

func bar(tables []wire.TableResult, width int) string {
	done := 0
	for _, t := range tables {
		if t.State != wire.StateWaiting && t.State != wire.StateRunning {
			done++
		}
	}
	filled := 0
	if len(tables) > 0 {
		filled = done * width / len(tables)
	}
	return fmt.Sprintf("[%s%s] %d/%d tables", strings.Repeat("█", filled), strings.Repeat("·", width-filled), done, len(tables))
}

func describeState(t wire.TableResult) string {
	switch t.State {
	case wire.StateBuilt:
		return fmt.Sprintf("built: %s read, %s inserted, %s updated in %.1fs", count(t.RowsRead), count(t.Inserted), count(t.Updated), t.Seconds)
	case wire.StateSkipped:
		return t.Reason
	case wire.StateRunning:
		if t.Reason != "" {
			return t.Reason
		}
	case wire.StateFailed, wire.StateUnchanged:
		if t.Reason != "" {
			return t.State + ": " + firstLine(t.Reason)
		}
	}
	return t.State
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// count writes a number with its thousands apart.
func count(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
