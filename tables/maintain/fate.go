package maintain

import (
	"fmt"
	"math"
	"time"

	"github.com/apache/iceberg-go/table"
)

// Fate is what becomes of a snapshot.
type Fate struct {
	// Until is the time at which the next expiry takes it; zero if no time is known.
	Until time.Time
	// Why says what keeps it.
	Why string
}

// Fates tells of every snapshot of a table until when it stays under the options, if nothing is committed and no tag or
// branch is moved meanwhile.
func (e *Expiry) Fates(head *table.Table) map[int64]Fate {
	meta := head.Metadata()
	r := newRetention(meta, e.opts)
	out := map[int64]Fate{}
	for _, s := range meta.Snapshots() {
		out[s.SnapshotID] = Fate{r.until(s.SnapshotID, r.maxAge), itsAge}
	}
	for name, ref := range sortedRefs(meta) {
		if ref.SnapshotRefType == table.BranchRef {
			r.branchFates(name, ref, out)
		}
	}
	for name, ref := range sortedRefs(meta) {
		if ref.SnapshotRefType != table.TagRef {
			continue
		}
		if meta.SnapshotByID(ref.SnapshotID) == nil {
			continue
		}
		kept := Fate{r.end(ref), fmt.Sprintf("tag %q", name)}
		out[ref.SnapshotID] = later(out[ref.SnapshotID], kept)
	}
	return out
}

func (r *retention) branchFates(name string, ref table.SnapshotRef, out map[int64]Fate) {
	age, keep := r.ofBranch(ref)
	rid := r.toGo(ref.SnapshotID)
	var end time.Time // of the branch, after which its snapshots have their age alone
	if name != table.MainBranch {
		end = r.end(ref)
	}
	kept := 0
	for s := r.meta.SnapshotByID(ref.SnapshotID); s != nil; s = r.meta.SnapshotByID(*s.ParentSnapshotID) {
		fate := Fate{r.until(s.SnapshotID, age), itsAge}
		switch {
		case s.SnapshotID == ref.SnapshotID:
			fate = later(fate, Fate{end, fmt.Sprintf("it is the head of branch %q", name)})
		case kept < keep && !rid[s.SnapshotID]:
			fate = later(fate, Fate{end, fmt.Sprintf("it is one of the last %d of branch %q", keep, name)})
		}
		out[s.SnapshotID] = later(out[s.SnapshotID], fate)
		if !part(s) {
			kept++
		}
		if s.ParentSnapshotID == nil {
			return
		}
	}
}

// end is when a branch or tag has reached its age, at which an expiry removes it; zero if that is never.
func (r *retention) end(ref table.SnapshotRef) time.Time {
	s, age := r.meta.SnapshotByID(ref.SnapshotID), r.refAge(ref)
	if s == nil || age >= math.MaxInt64/2 {
		return time.Time{}
	}
	return time.UnixMilli(s.TimestampMs).Add(age).UTC()
}

// until is when a snapshot has reached an age.
func (r *retention) until(id int64, age time.Duration) time.Time {
	return time.UnixMilli(r.left[id]).Add(age).UTC()
}

// itsAge is what keeps a snapshot that nothing else does.
const itsAge = "its age"

// later is the fate of what two things keep: until the later end, by both if it is not its age alone.
func later(a, b Fate) Fate {
	out := a
	if !a.Until.IsZero() && (b.Until.IsZero() || b.Until.After(a.Until)) {
		out = b
	}
	if a.Why != itsAge && b.Why != itsAge {
		out.Why = a.Why + "; " + b.Why
	}
	return out
}
