package contention

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// figures are what is printed of a race.
type figures struct {
	System              string
	Commits, Failed     int
	Wall                time.Duration
	Tries               []int // for each commit, sorted; nil where a system does not tell
	TriesMean           float64
	Latency             []time.Duration // for each commit, sorted
	Groups, Redone      int
	ByWriter            []time.Duration // wall time, sorted
	Missing, Extra      int             // rows
	Twice, Lost         int             // commits
	Compactions, Yields int             // commits of compaction; groups that it left to a writer
}

func quantile[T any](sorted []T, q float64) (zero T) {
	if len(sorted) == 0 {
		return zero
	}
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func figuresOf(system string, reports [][]done, wall time.Duration) figures {
	f := figures{System: system, Wall: wall}
	sum := 0
	for _, report := range reports {
		if len(report) == 0 {
			continue
		}
		f.ByWriter = append(f.ByWriter, time.Duration(report[len(report)-1].Ended-report[0].Began))
		for _, d := range report {
			if d.Error != "" {
				f.Failed++
				continue
			}
			f.Commits++
			f.Latency = append(f.Latency, d.took())
			f.Groups += d.Groups
			f.Redone += d.Redone
			if d.Tries > 0 {
				f.Tries = append(f.Tries, d.Tries)
				sum += d.Tries
			}
		}
	}
	slices.Sort(f.Tries)
	slices.Sort(f.Latency)
	slices.Sort(f.ByWriter)
	if len(f.Tries) > 0 {
		f.TriesMean = float64(sum) / float64(len(f.Tries))
	}
	return f
}

func (f figures) perSecond() float64 { return float64(f.Commits) / f.Wall.Seconds() }

func (f figures) tries() string {
	if len(f.Tries) == 0 {
		if f.TriesMean == 0 {
			return "-"
		}
		return fmt.Sprintf("mean %.1f", f.TriesMean)
	}
	return fmt.Sprintf("%d, %d, %d (mean %.1f)", quantile(f.Tries, 0.5), quantile(f.Tries, 0.99), quantile(f.Tries, 1), f.TriesMean)
}

func (f figures) redone() string {
	if f.Groups+f.Redone == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d (%.0f %%)", f.Redone, f.Groups+f.Redone, 100*float64(f.Redone)/float64(f.Groups+f.Redone))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

// tableOf is a table as Markdown has them.
func tableOf(what string, all ...figures) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %s | commits | failed | commits/s | attempts: median, p99, max | seconds a commit: median, p99, max | file groups redone | seconds a writer: least, median, most | rows wrong |\n|---|---|---|---|---|---|---|---|---|\n", what)
	for _, f := range all {
		fmt.Fprintf(&b, "| %s | %d | %d | %.1f | %s | %s, %s, %s | %s | %s, %s, %s | %d |\n", f.System, f.Commits, f.Failed, f.perSecond(), f.tries(),
			seconds(quantile(f.Latency, 0.5)), seconds(quantile(f.Latency, 0.99)), seconds(quantile(f.Latency, 1)), f.redone(),
			seconds(quantile(f.ByWriter, 0)), seconds(quantile(f.ByWriter, 0.5)), seconds(quantile(f.ByWriter, 1)), f.Missing+f.Extra)
	}
	return b.String()
}
