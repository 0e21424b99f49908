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
		s, age := meta.SnapshotByID(ref.SnapshotID), r.maxRef
		if ref.MaxRefAgeMs != nil && *ref.MaxRefAgeMs > 0 {
			age = ms(*ref.MaxRefAgeMs)
		}
		if s == nil {
			continue
		}
		kept := Fate{Why: fmt.Sprintf("tag %q", name)}
		if age < math.MaxInt64/2 {
			kept.Until = time.UnixMilli(s.TimestampMs).Add(age).UTC()
		}
		out[ref.SnapshotID] = later(out[ref.SnapshotID], kept)
	}
	return out
}

func (r *retention) branchFates(name string, ref table.SnapshotRef, out map[int64]Fate) {
	age, keep := r.ofBranch(ref)
	rid := r.beforeRemoval(ref.SnapshotID)
	kept := 0
	for s := r.meta.SnapshotByID(ref.SnapshotID); s != nil; s = r.meta.SnapshotByID(*s.ParentSnapshotID) {
		fate := Fate{r.until(s.SnapshotID, age), itsAge}
		switch {
		case s.SnapshotID == ref.SnapshotID:
			fate = Fate{Why: fmt.Sprintf("it is the head of branch %q", name)}
		case kept < keep && !rid[s.SnapshotID]:
			fate = Fate{Why: fmt.Sprintf("it is one of the last %d of branch %q", keep, name)}
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
