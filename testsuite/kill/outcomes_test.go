package kill

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/varve-lake/varve/internal/fault"
)

// outcome is a trial in which someone was to be killed.
type outcome struct {
	On, Victim string
	At         string // the place that was asked for
	Killed     bool   // else the run ended without coming by there
	When, What string // the side that it was
	Left       left   // what lay there when it happened
	Surplus    int    // files that are left at the end and are not there when nobody is killed; below zero: not counted
	Right      bool
}

// outcome is what this trial came to. surplus is as in outcome.
func (x *trial) outcome(surplus int, right bool) outcome {
	o := outcome{On: x.on.name, Victim: x.victim, At: x.at, Killed: x.killed, Left: x.left, Surplus: surplus, Right: right}
	if x.killed {
		o.When, o.What = x.last.when, x.last.String()
	}
	return o
}

// row names the place in a table.
func (o outcome) row() string {
	if o.When == fault.SidePoint {
		return o.What
	}
	return o.When + " " + o.What
}

// slice is a share of the places of one backend that a process went through, or had begun to.
type slice struct {
	On     string
	Shard  string // k/n; empty: all
	Sides  int64  // of I/Os that the undisturbed trial passed, and Points
	Points int
}

// entry is a line of the file of outcomes, which grows by each process that appends to it.
type entry struct {
	Day     string   `json:"day"`
	Slice   *slice   `json:"slice,omitempty"`
	Outcome *outcome `json:"outcome,omitempty"`
}

// outcomes are what the processes so far came to.
type outcomes struct {
	mu     sync.Mutex
	all    []outcome
	slices []slice
	days   []string // of slices
	err    error
}

var report outcomes

// add takes down an outcome, also in the file that VARVE_KILL_OUTCOMES names, at once: the process may not live to its end.
func (o *outcomes) add(one outcome) { o.put(entry{Outcome: &one}) }

func (o *outcomes) begin(s slice) { o.put(entry{Slice: &s}) }

func (o *outcomes) put(e entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e.Day = time.Now().UTC().Format(time.DateOnly)
	o.take(e)
	if path := os.Getenv("VARVE_KILL_OUTCOMES"); path != "" {
		o.err = errors.Join(o.err, appendEntry(path, e))
	}
}

// take replaces what is known of the same place, if it is known.
func (o *outcomes) take(e entry) {
	if e.Slice != nil {
		o.slices, o.days = append(o.slices, *e.Slice), append(o.days, e.Day)
	}
	if e.Outcome == nil {
		return
	}
	for i, known := range o.all {
		if known.On == e.Outcome.On && known.Victim == e.Outcome.Victim && known.At == e.Outcome.At {
			o.all[i] = *e.Outcome
			return
		}
	}
	o.all = append(o.all, *e.Outcome)
}

func appendEntry(path string, e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// readOutcomes reads what earlier processes appended. No file is no outcomes.
func readOutcomes(path string) (*outcomes, error) {
	out := &outcomes{}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		out.take(e)
	}
	return out, lines.Err()
}
