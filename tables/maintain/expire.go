package maintain

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

// Marks in a snapshot's summary.
const (
	CompactionKey = "varve.compaction"          // rows were written anew, and none was changed
	DeletesKey    = "varve.merged-deletes"      // position deletes were put together, and none was changed
	DanglingKey   = "varve.dangling-deletes"    // deletes went that deleted nothing
	ManifestsKey  = "varve.rewritten-manifests" // manifests were written anew, of the same files
	RetentionKey  = "varve.retention"           // rows were deleted for their age
	ErasureKey    = "varve.erasure"             // rows were deleted to be forgotten
)

// KeepsRows tells of a snapshot that it is maintenance of this package's that changed no row.
func KeepsRows(s *table.Summary) bool {
	return s != nil && s.Operation == table.OpReplace && slices.ContainsFunc([]string{CompactionKey, DeletesKey, DanglingKey, ManifestsKey}, func(key string) bool {
		return s.Properties[key] != ""
	})
}

// ErrShared says that a table's files are not its own to remove, since other tables, or other branches of the catalog, may
// name them. The table property gc.enabled=false says so, as Nessie sets it.
var ErrShared = errors.New("files are shared")

// ExpireOptions say which snapshots go. Zero values are the defaults.
//
// What a branch or tag says of itself (min-snapshots-to-keep, max-snapshot-age-ms, max-ref-age-ms) goes before the
// options, and the options before the table's history.expire.* properties.
type ExpireOptions struct {
	// OlderThan is how long a snapshot has not been the head of a branch any more when it goes. It has to be longer than
	// builds and queries take: who began on a snapshot while it was the head has that long to end. Iceberg's own expiry
	// counts from when a snapshot was made, and takes a head that was current a second ago. Default:
	// history.expire.max-snapshot-age-ms, 5 days.
	OlderThan time.Duration
	// KeepLast is the number of snapshots of each branch that stay at any age, but for those that hold rows which were then
	// deleted for their age or to be forgotten. Default:
	// history.expire.min-snapshots-to-keep, 1.
	KeepLast int
	// Keep names snapshots that stay: those that readers hold, and those that builds under way rest on. Here too those that
	// hold rows which were then deleted for their age or to be forgotten stay no longer than OlderThan.
	Keep []int64
	// Removed, when set, is told of each file that Sweep removes.
	Removed func(file string)
	// Now replaces the clock.
	Now func() time.Time
}

// ExpireStats is what an expiry came to.
type ExpireStats struct {
	Snapshots    int      // expired
	Refs         []string // branches and tags past their own age, removed
	FilesRemoved int
	// FilesLeft could not be removed. No snapshot names them: they are orphans.
	FilesLeft []string
}

// Expiry is one expiry of a table's snapshots. Its Change is a commit.Planner that changes metadata only; once the commit
// is known to be in the table, Sweep removes the files that only expired snapshots named. It is for one goroutine.
type Expiry struct {
	opts  ExpireOptions
	base  *table.Table // of the last Change
	stats ExpireStats
}

// NewExpiry checks the options.
func NewExpiry(opts ExpireOptions) (*Expiry, error) {
	if opts.OlderThan < 0 || opts.KeepLast < 0 {
		return nil, fmt.Errorf("expire snapshots: older than %v, keep last %d: want neither below zero", opts.OlderThan, opts.KeepLast)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Expiry{opts: opts}, nil
}

// Change computes what to expire of head; nil if there is nothing. The heads of all branches and tags are required to be
// as they were, and no others to have come: a tag that was put at a snapshot meanwhile keeps it.
func (e *Expiry) Change(_ context.Context, head *table.Table, _ int) (*commit.Change, error) {
	meta := head.Metadata()
	e.base, e.stats = head, ExpireStats{}
	gone, refs, err := e.Plan(head)
	if len(gone)+len(refs) == 0 || err != nil {
		return nil, err
	}
	e.stats.Snapshots, e.stats.Refs = len(gone), refs
	change := &commit.Change{}
	known := onlyRefs{}
	for name, ref := range sortedRefs(meta) {
		known[name] = true
		if name != table.MainBranch { // which every commit pins
			id := ref.SnapshotID
			change.Requirements = append(change.Requirements, table.AssertRefSnapshotID(name, &id))
		}
	}
	change.Requirements = append(change.Requirements, known)
	for _, name := range refs {
		change.Updates = append(change.Updates, table.NewRemoveSnapshotRefUpdate(name))
	}
	if len(gone) > 0 {
		change.Updates = append(change.Updates, table.NewRemoveSnapshotsUpdate(gone, false))
	}
	text, err := remember(meta, gone)
	if err != nil {
		return nil, err
	}
	if text != "" {
		change.Properties = map[string]string{ForgottenKey: text}
	}
	return change, nil
}

// onlyRefs requires that a table has no other branches and tags than these. A removal of snapshots takes away, without a word,
// what points at them. Iceberg's protocol has no such requirement: it is held where the catalog's metadata are changed by this
// process, and before the request is sent where a server does that.
type onlyRefs map[string]bool

// Validate implements table.Requirement.
func (o onlyRefs) Validate(meta table.Metadata) error {
	if meta == nil {
		return errors.New("the table is not there")
	}
	for name := range meta.Refs() {
		if !o[name] {
			return fmt.Errorf("branch or tag %q has come since", name)
		}
	}
	return nil
}

// GetType implements table.Requirement.
func (onlyRefs) GetType() string { return "only-refs" }

// HeldHere marks a requirement that no server knows: see package catalog.
func (onlyRefs) HeldHere() {}

// Plan lists the snapshots, and the branches and tags, that Change would remove of head.
func (e *Expiry) Plan(head *table.Table) (gone []int64, refs []string, err error) {
	meta := head.Metadata()
	if !meta.Properties().GetBool(table.GCEnabledKey, table.GCEnabledDefault) {
		return nil, nil, fmt.Errorf("expire snapshots of %s: %w: gc.enabled is false", strings.Join(head.Identifier(), "."), ErrShared)
	}
	gone, refs = newRetention(meta, e.opts).decide()
	return gone, refs, nil
}

func sortedRefs(meta table.Metadata) iter.Seq2[string, table.SnapshotRef] {
	refs := map[string]table.SnapshotRef{}
	var names []string
	for name, ref := range meta.Refs() {
		refs[name], names = ref, append(names, name)
	}
	slices.Sort(names)
	return func(yield func(string, table.SnapshotRef) bool) {
		for _, name := range names {
			if !yield(name, refs[name]) {
				return
			}
		}
	}
}

// Stats is what the last calls of Change and Sweep came to.
func (e *Expiry) Stats() ExpireStats { return e.stats }
