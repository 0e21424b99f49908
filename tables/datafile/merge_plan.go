package datafile

import (
	"math"
	"slices"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
)

// mergeRange is rows of sorted runs, consecutive ones of each, between whose keys those of no other rows lie. So ranges are merged
// each for itself, several at once.
type mergeRange struct {
	from, to []int64 // by run
	rows     int64
	// long: all of the rows have one prefix, and there may be more of them than there is room for.
	long bool
}

// mergePlan cuts sorted runs into ranges of which none has more bytes than there is room for, but for those called long.
type mergePlan struct {
	spill   *spill
	runs    []*spilledRun
	room    int64 // bytes
	flagged bool  // keys' beginnings have what says null or not; those of runs where they have not are given it
	exact   bool  // keys are known by these beginnings alone
	ahead   []window
	ranges  []mergeRange
}

// window is the keys' beginnings of a run's next rows.
type window struct {
	from     int64
	prefixes []uint64
	last     bool // up to the run's end
}

func (s *spill) planMerge(runs []*spilledRun, room int64) (*mergePlan, error) {
	p := &mergePlan{spill: s, runs: runs, room: room, exact: true, ahead: make([]window, len(runs))}
	for _, run := range runs {
		p.flagged = p.flagged || run.flagged
	}
	for _, run := range runs {
		p.exact = p.exact && run.exact && run.flagged == p.flagged
	}
	for {
		if err := p.look(); err != nil {
			return nil, err
		}
		r := p.cut()
		if r.rows == 0 {
			done, err := p.takeLong()
			if done || err != nil {
				return p, err
			}
			continue
		}
		p.take(r)
	}
}

// look fills each run's window with as many rows as its share of the room takes.
func (p *mergePlan) look() error {
	live := int64(0)
	for i, run := range p.runs {
		if p.ahead[i].from < run.rows {
			live++
		}
	}
	for i, run := range p.runs {
		w := &p.ahead[i]
		if w.from == run.rows {
			w.prefixes, w.last = nil, true
			continue
		}
		end := max(run.within(w.from, p.room/live), w.from+int64(len(w.prefixes)))
		more, err := p.prefixes(i, w.from+int64(len(w.prefixes)), end)
		if err != nil {
			return err
		}
		w.prefixes, w.last = append(w.prefixes, more...), end == run.rows
	}
	return nil
}

// within is the end of the rows from one on that take so many bytes, or of those up to the next mark.
func (r *spilledRun) within(from, bytes int64) int64 {
	at := sort.Search(len(r.marks), func(i int) bool { return r.marks[i].rows > from })
	most := r.marks[at-1].bytes + bytes
	end := sort.Search(len(r.marks), func(i int) bool { return r.marks[i].bytes > most }) - 1
	return r.marks[max(end, at)].rows
}

// cut is the rows whose keys are known to lie before those of all rows beyond the windows: up to the least key with which a window
// ends. Of rows with this very key, those that came after this window's wait; and where it is not known whole, all of them.
func (p *mergePlan) cut() mergeRange {
	first := -1
	for i, w := range p.ahead {
		if !w.last && (first < 0 || w.end() < p.ahead[first].end()) {
			first = i
		}
	}
	r := mergeRange{from: make([]int64, len(p.runs)), to: make([]int64, len(p.runs))}
	for i, w := range p.ahead {
		n := len(w.prefixes)
		if first >= 0 {
			end := p.ahead[first].end()
			n, _ = slices.BinarySearch(w.prefixes, end)
			if p.exact && i <= first {
				n = upTo(w.prefixes, end)
			}
		}
		r.from[i], r.to[i] = w.from, w.from+int64(n)
		r.rows += int64(n)
	}
	return r
}

func (w window) end() uint64 { return w.prefixes[len(w.prefixes)-1] }

// upTo is how many of the first are not greater.
func upTo(prefixes []uint64, most uint64) int {
	if most == math.MaxUint64 {
		return len(prefixes)
	}
	n, _ := slices.BinarySearch(prefixes, most+1)
	return n
}

func (p *mergePlan) take(r mergeRange) {
	for i := range p.ahead {
		p.ahead[i].prefixes = p.ahead[i].prefixes[r.to[i]-r.from[i]:]
		p.ahead[i].from = r.to[i]
	}
	p.ranges = append(p.ranges, r)
}

// takeLong takes all rows of the least prefix, which fill a window. It is true at the end of all runs.
func (p *mergePlan) takeLong() (bool, error) {
	least, any := uint64(math.MaxUint64), false
	for _, w := range p.ahead {
		if len(w.prefixes) > 0 {
			least, any = min(least, w.prefixes[0]), true
		}
	}
	if !any {
		return true, nil
	}
	r := mergeRange{from: make([]int64, len(p.runs)), to: make([]int64, len(p.runs)), long: true}
	for i := range p.ahead {
		w := &p.ahead[i]
		r.from[i] = w.from
		for len(w.prefixes) > 0 {
			n := upTo(w.prefixes, least)
			w.from, w.prefixes = w.from+int64(n), w.prefixes[n:]
			if len(w.prefixes) > 0 || w.from == p.runs[i].rows {
				break
			}
			more, err := p.prefixes(i, w.from, min(w.from+markRows, p.runs[i].rows))
			if err != nil {
				return false, err
			}
			w.prefixes = more
		}
		r.to[i] = w.from
		r.rows += r.to[i] - r.from[i]
	}
	p.ranges = append(p.ranges, r)
	return false, nil
}

// prefixes reads the beginnings of keys of a run's rows, in the form that those of all runs have.
func (p *mergePlan) prefixes(run int, from, to int64) ([]uint64, error) {
	out := make([]uint64, to-from)
	rest := out
	for _, s := range p.runs[run].parts(from, to) {
		n := s.to - s.from
		if err := p.spill.read(arrow.Uint64Traits.CastToBytes(rest[:n]), s.section.prefixes+8*s.from); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	if p.flagged && !p.runs[run].flagged {
		for i, prefix := range out {
			out[i] = 1<<56 | prefix>>8
		}
	}
	return out, nil
}

// sectionPart is some rows of a section, counted from its first.
type sectionPart struct {
	section  *runSection
	from, to int64
}

// parts are rows of a run by section.
func (r *spilledRun) parts(from, to int64) []sectionPart {
	var out []sectionPart
	at := sort.Search(len(r.sections), func(i int) bool { return r.sections[i].first+r.sections[i].rows > from })
	for ; at < len(r.sections) && r.sections[at].first < to; at++ {
		s := &r.sections[at]
		out = append(out, sectionPart{s, max(from-s.first, 0), min(to-s.first, s.rows)})
	}
	return out
}
