package simulation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
)

// row is a row of the table, without its partition, which follows from the key.
type row struct{ k, v int64 }

// record is a row of the model. It stays the same one, by its id, when it is updated.
type record struct {
	row
	id int64
}

// state is what the table has to be after some of the commits, one after another.
type state struct {
	records     []record // sorted by their rows
	checkpoints map[string]string
}

func (s state) with(records []record) state {
	slices.SortFunc(records, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.k, b.k), cmp.Compare(a.v, b.v), cmp.Compare(a.id, b.id))
	})
	return state{records, s.checkpoints}
}

// without are the records for which a condition does not hold.
func (s state) without(condition func(row) bool) []record {
	return slices.DeleteFunc(slices.Clone(s.records), func(r record) bool { return condition(r.row) })
}

func (s state) rows() []row {
	var out []row
	for _, r := range s.records {
		out = append(out, r.row)
	}
	return out
}

// inserted are new records.
func (s *sim) inserted(changes []change) []record {
	var out []record
	for _, c := range changes {
		out = append(out, s.newRecord(c))
	}
	return out
}

func (s *sim) newRecord(c change) record {
	s.records++
	return record{row{c.k, c.v}, s.records}
}

// model is the table as a serial order of the commits makes it: that in which the catalog let them in.
type model struct {
	sim       *sim
	history   []state // by the catalog's versions
	snapshots map[int64]state
	tags      map[string]int64 // and branches, by the snapshots that they were put at
	alone     map[string]bool  // writers of which a checkpoint has moved without rows
	rolled    bool             // back
	upgraded  bool             // to another format
	erased    map[int64]bool   // values that a retention took out of the head; values are unique
}

func newModel(s *sim) *model {
	return &model{sim: s, history: []state{{}}, snapshots: map[int64]state{}, tags: map[string]int64{}, alone: map[string]bool{}, erased: map[int64]bool{}}
}

func (m *model) now() state { return m.history[len(m.history)-1] }

// landed follows a commit that the catalog has let in.
func (m *model) landed(p *process, base, next table.Metadata) {
	op := p.op
	m.sim.commits++
	m.sim.count("commit: "+op.what(), 1)
	if sameHead(base, next) && op.kind != "rollback" {
		op.still++ // a checkpoint alone, an expiry, a tag: the same twice as once
	} else {
		op.applied++
	}
	switch {
	case op.applied > 1:
		m.sim.violate("%s: %s was committed %d times", p.name, op, op.applied)
	case op.refused:
		m.sim.violate("%s: %s was refused, and landed later", p.name, op)
	}
	now := m.now()
	head := next.CurrentSnapshot()
	m.upgraded = m.upgraded || op.kind == "upgrade"
	switch {
	case op.kind == "rollback":
		now, m.rolled = m.snapshots[head.SnapshotID], true
		clear(m.erased)
	case op.effect != nil:
		before := now
		if now = op.effect(now); op.isolation == merge.Snapshot {
			now = m.permitted(p, before, next)
		}
		if op.kind == "retain" {
			m.erase(before, now)
		}
	}
	now.checkpoints = maps.Clone(now.checkpoints)
	if now.checkpoints == nil {
		now.checkpoints = map[string]string{}
	}
	if op.checkpoint != "" {
		now.checkpoints[op.writer] = op.checkpoint
		m.alone[op.writer] = m.alone[op.writer] || sameHead(base, next)
	}
	if op.kind == "tag" || op.kind == "branch" {
		for name, ref := range next.Refs() {
			if name == op.token {
				m.tags[name] = ref.SnapshotID
			}
		}
	}
	m.history = append(m.history, now)
	if head != nil && base.SnapshotByID(head.SnapshotID) == nil { // a checkpoint that moves alone is not a snapshot's
		m.snapshots[head.SnapshotID] = now
	}
	for writer, want := range now.checkpoints {
		got := next.Properties()["varve.checkpoint."+writer]
		switch {
		case got == want:
		case op.kind == "rollback" && m.alone[writer]:
			// A checkpoint that moved without rows pinned no head, so that a snapshot committed beside it may not know it. After
			// a rollback to that snapshot the writer reads again what gave no rows.
			now.checkpoints[writer] = got
		default:
			m.sim.violate("after %s: checkpoint of %s is %s, want %s", op, writer, got, want)
		}
	}
}

// asBefore follows a commit that changes no rows and no checkpoint.
func (m *model) asBefore() { m.history = append(m.history, m.now()) }

// erase notes what a retention took away.
func (m *model) erase(before, now state) {
	for _, r := range before.records {
		m.erased[r.v] = true
	}
	for _, r := range now.records {
		delete(m.erased, r.v)
	}
}

func sameHead(a, b table.Metadata) bool {
	x, y := a.CurrentSnapshot(), b.CurrentSnapshot()
	return x == nil && y == nil || x != nil && y != nil && x.SnapshotID == y.SnapshotID
}

// idle tells whether at some time since an operation began it had nothing to do.
func (m *model) idle(op *operation) bool {
	for _, s := range m.history[op.began:] {
		if op.effect == nil || slices.Equal(op.effect(s).rows(), s.rows()) {
			return true
		}
	}
	return false
}

// operation is one change that a program wants, however many lives and twins it takes.
type operation struct {
	kind, writer, token string
	checkpoint          string
	bound               int64             // of a retention: values below it go
	effect              func(state) state // on the rows; nil if there is none
	changes             []change          // of a writer
	isolation           merge.Isolation   // of a MERGE
	rounds              []round           // of a MERGE in groups, as its workflow knows them
	small               bool              // it is divided after a conflict only
	divisions           int               // of it, also those of builds before
	do                  func(p *process) (committed bool, err error)
	began               int // in the model's history

	// What a mutant does to the protocol: what the process sees of the table, and what it sends.
	sees  func(table.Metadata) table.Metadata
	sends func([]table.Requirement, []table.Update) ([]table.Requirement, []table.Update)

	believes bool // that a refusal is the last word on a request
	vouched  bool // that what was found of its groups is of the head
	loses    bool // what a commit of it has kept, and takes it for known
	clings   bool // to what commits of it have kept, by path
	kept     map[string]bool

	now  func() time.Time // its clock, if it is not the simulation's
	slow time.Duration    // that it takes longer for each read

	ended        time.Time // when nobody tried any more
	after        *string   // the writer's last commit when the operation was prepared
	applied      int       // commits of it that moved the head
	still        int       // and that did not
	lives        int
	acknowledged bool
	refused      bool // certainly not committed, as far as its programs could tell
	unsure       bool // some life of it does not know
}

// what it is, with what tells it from others of its kind.
func (o *operation) what() string {
	out := o.kind
	if o.divisions > 0 {
		out += " in groups"
	}
	if o.isolation == merge.Snapshot {
		out += " under snapshot isolation"
	}
	return out
}

func (o *operation) String() string { return o.kind + " " + o.token }

// commitID is the commit's, the same for all lives; after is what the operation was prepared on.
func (p *process) commitID() commit.ID {
	return commit.ID{Writer: p.op.writer, Token: p.op.token, After: p.after}
}

// violate notes that a promise was broken.
func (s *sim) violate(format string, args ...any) {
	s.violations = append(s.violations, fmt.Sprintf("step %d: ", s.steps)+fmt.Sprintf(format, args...))
}
