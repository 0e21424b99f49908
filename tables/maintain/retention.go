package maintain

import (
	"cmp"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

// retention decides which snapshots of a table stay.
type retention struct {
	meta     table.Metadata
	now      time.Time
	maxAge   time.Duration
	keepLast int
	maxRef   time.Duration
	left     map[int64]int64 // when a snapshot was last the head of a branch, ms; absent if it still is
	rid      map[int64]bool  // ancestors of the main branch's head that are to go: see beforeRemoval
	stays    map[int64]bool
}

func newRetention(meta table.Metadata, o ExpireOptions) *retention {
	props := meta.Properties()
	r := &retention{
		meta: meta, now: o.Now(), stays: map[int64]bool{},
		maxAge:   cmp.Or(o.OlderThan, ms(props.GetInt64(table.MaxSnapshotAgeMsKey, table.MaxSnapshotAgeMsDefault))),
		keepLast: cmp.Or(o.KeepLast, props.GetInt(table.MinSnapshotsToKeepKey, table.MinSnapshotsToKeepDefault), 1),
		maxRef:   ms(props.GetInt64(table.MaxRefAgeMsKey, table.MaxRefAgeMsDefault)),
		left:     lastHeads(meta),
	}
	if main := meta.CurrentSnapshot(); main != nil {
		r.rid = r.beforeRemoval(main.SnapshotID)
	}
	for _, id := range o.Keep {
		r.stays[id] = !r.rid[id]
	}
	return r
}

// beforeRemoval are the ancestors of a snapshot from which rows were then removed for their age, or to be forgotten: they
// are to go when they are old enough, whoever would keep them, or else the rows are not gone.
func (r *retention) beforeRemoval(head int64) map[int64]bool {
	out := map[int64]bool{}
	removed := false
	for s := r.meta.SnapshotByID(head); s != nil; s = r.meta.SnapshotByID(*s.ParentSnapshotID) {
		if removed {
			out[s.SnapshotID] = true
		}
		removed = removed || removes(s.Summary)
		if s.ParentSnapshotID == nil {
			break
		}
	}
	return out
}

// toGo are the ancestors of a branch's head that its number of snapshots does not keep: those before a removal of rows on the
// branch itself; and of a branch that left the main one before a removal there, all: its head has such rows still, and what came
// before it is not to have them for any longer.
func (r *retention) toGo(head int64) map[int64]bool {
	out := r.beforeRemoval(head)
	parent := func(s *table.Snapshot) *table.Snapshot {
		if s.ParentSnapshotID == nil {
			return nil
		}
		return r.meta.SnapshotByID(*s.ParentSnapshotID)
	}
	s := r.meta.SnapshotByID(head)
	for s != nil && !r.rid[s.SnapshotID] {
		if removes(s.Summary) {
			return out
		}
		s = parent(s)
	}
	if s == nil {
		return out
	}
	for s = parent(r.meta.SnapshotByID(head)); s != nil; s = parent(s) {
		out[s.SnapshotID] = true
	}
	return out
}

// ms is a duration, of at most what one can hold.
func ms(n int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(n, most)) * time.Millisecond
}

// lastHeads says when each snapshot stopped being a head: when the table's history names the next one, or when a child was
// committed on it.
func lastHeads(meta table.Metadata) map[int64]int64 {
	left := map[int64]int64{}
	note := func(id, at int64) { left[id] = max(left[id], at) }
	previous := int64(0)
	for entry := range meta.SnapshotLogs() {
		if previous != 0 {
			note(previous, entry.TimestampMs)
		}
		previous = entry.SnapshotID
	}
	for _, s := range meta.Snapshots() {
		note(s.SnapshotID, s.TimestampMs)
		if s.ParentSnapshotID != nil {
			note(*s.ParentSnapshotID, s.TimestampMs)
		}
	}
	return left
}

func (r *retention) within(id int64, age time.Duration) bool {
	return r.now.UnixMilli()-r.left[id] <= age.Milliseconds()
}

// decide lists the snapshots and the references that go.
func (r *retention) decide() (gone []int64, refs []string) {
	reachable := map[int64]bool{}
	for name, ref := range sortedRefs(r.meta) {
		if name != table.MainBranch && r.tooOld(ref) && !r.stays[ref.SnapshotID] {
			refs = append(refs, name)
			continue
		}
		r.stays[ref.SnapshotID] = true
		if ref.SnapshotRefType == table.BranchRef {
			r.branch(ref, reachable)
		}
	}
	for _, s := range r.meta.Snapshots() {
		switch {
		case r.stays[s.SnapshotID]:
		case !reachable[s.SnapshotID] && r.within(s.SnapshotID, r.maxAge): // rolled back, or of a branch that is gone
		default:
			gone = append(gone, s.SnapshotID)
		}
	}
	return gone, refs
}

// refAge is the reference's own age, or the table's.
func (r *retention) refAge(ref table.SnapshotRef) time.Duration {
	if ref.MaxRefAgeMs != nil && *ref.MaxRefAgeMs > 0 {
		return ms(*ref.MaxRefAgeMs)
	}
	return r.maxRef
}

// tooOld is by the reference's age. As in Iceberg, it counts from when its snapshot was made.
func (r *retention) tooOld(ref table.SnapshotRef) bool {
	age := r.refAge(ref)
	s := r.meta.SnapshotByID(ref.SnapshotID)
	return s != nil && r.now.UnixMilli()-s.TimestampMs > age.Milliseconds()
}

// branch keeps what a branch keeps, back from its head.
func (r *retention) branch(ref table.SnapshotRef, reachable map[int64]bool) {
	age, keep := r.ofBranch(ref)
	rid := r.toGo(ref.SnapshotID)
	kept := 0
	for s := r.meta.SnapshotByID(ref.SnapshotID); s != nil; {
		reachable[s.SnapshotID] = true
		if kept < keep && !rid[s.SnapshotID] || r.within(s.SnapshotID, age) {
			r.stays[s.SnapshotID] = true
		}
		if !part(s) {
			kept++
		}
		if s.ParentSnapshotID == nil {
			return
		}
		s = r.meta.SnapshotByID(*s.ParentSnapshotID)
	}
}

// ofBranch is what a branch keeps: by its own settings, or else by the options.
func (r *retention) ofBranch(ref table.SnapshotRef) (age time.Duration, keep int) {
	age, keep = r.maxAge, r.keepLast
	if ref.MaxSnapshotAgeMs != nil && *ref.MaxSnapshotAgeMs > 0 {
		age = ms(*ref.MaxSnapshotAgeMs)
	}
	if ref.MinSnapshotsToKeep != nil && *ref.MinSnapshotsToKeep > 0 {
		keep = *ref.MinSnapshotsToKeep
	}
	return age, keep
}

// part tells the first of two snapshots that committed together: of them one counts.
func part(s *table.Snapshot) bool {
	return s.Summary != nil && s.Summary.Properties[commit.PartKey] != ""
}
