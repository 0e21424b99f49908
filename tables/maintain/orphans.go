package maintain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

const (
	// DefaultOrphanAge is how old a file has to be that nothing names, unless told otherwise.
	DefaultOrphanAge = 72 * time.Hour
	// LeastOrphanAge is the least that one may ask for.
	LeastOrphanAge = time.Hour
	// maxOrphans bounds those that are found, and held in memory, at one time. What is left is found the next time.
	maxOrphans = 200_000
)

// ErrTooYoung says that files would be removed that may belong to a build under way.
var ErrTooYoung = errors.New("files of builds under way would be removed")

// OrphanOptions say which files are orphans. Zero values are the defaults.
type OrphanOptions struct {
	// OlderThan is the age, by the store's own clock, above which a file that nothing names goes; DefaultOrphanAge if 0.
	OlderThan time.Duration
	// LongestBuild is how long the longest build has been under way, or one that ended just now with its outcome unknown:
	// what it wrote is named by nothing before it commits. OlderThan must not be below.
	LongestBuild time.Duration
	// Longest, when set, is asked for LongestBuild, after the store has been asked for its time: a build that had been under way
	// for a little less than OlderThan when it was asked may have been so for longer when the store is, and what it wrote is old
	// enough then.
	Longest func(context.Context) (time.Duration, error)
	// Limit bounds the files that are found; 0 means 200,000.
	Limit int
	// Progress, when set, is told how many files were looked at.
	Progress func(files int64)
}

func (o OrphanOptions) withDefaults() (OrphanOptions, error) {
	o.OlderThan = cmp.Or(o.OlderThan, DefaultOrphanAge)
	if o.Limit <= 0 || o.Limit > maxOrphans {
		o.Limit = maxOrphans
	}
	switch least := max(o.LongestBuild, LeastOrphanAge); {
	case o.OlderThan >= least:
		return o, nil
	case o.LongestBuild > LeastOrphanAge:
		return o, fmt.Errorf("orphans older than %v: %w: the longest has been so for %v, so that the age must be at least that",
			o.OlderThan, ErrTooYoung, o.LongestBuild.Round(time.Second))
	default:
		return o, fmt.Errorf("orphans older than %v: %w: the age must be at least %v", o.OlderThan, ErrTooYoung, LeastOrphanAge)
	}
}

// Surroundings are what a table's own metadata does not tell of its folder.
type Surroundings struct {
	// Foreign are the folders of other tables, as URIs: what lies in them is theirs. Written are folders, named by their
	// properties, that they write to beside. A table whose folder lies in one of either is not swept.
	Foreign, Written []string
	// States are the state files that are in use, and Staging and State the folders, within the table's, in which builds
	// stage and state files lie.
	States         []string
	Staging, State string
}

// The kinds of orphans.
const (
	KindData      = "data"      // a data or delete file, or one of which nothing is known
	KindMetadata  = "metadata"  // a metadata file, a manifest list, a manifest or statistics
	KindState     = "state"     // a state file of a checkpoint that nobody remembers
	KindStaging   = "staging"   // what a build had staged that died
	KindTemporary = "temporary" // what an interrupted write left
)

// Orphan is a file that nothing names.
type Orphan struct {
	URI      string    `json:"uri"`
	Kind     string    `json:"kind"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"` // by the store's clock

	at  place
	run string // of a staged file
}

// Orphans is a plan: what would be removed.
type Orphans struct {
	Files []Orphan `json:"files"`
	Bytes int64    `json:"bytes"`
	// More says that there are more than the limit.
	More bool `json:"more,omitempty"`
	// Looked counts the files in the table's folder, and Young those that nothing names and that are too young to go.
	Looked int64 `json:"looked"`
	Young  int64 `json:"young,omitempty"`
	// Foreign are the folders within the table's that are other tables', and were passed over.
	Foreign []string `json:"foreign,omitempty"`
	// Before is the time, by the store's clock, before which a file must have been written.
	Before time.Time `json:"before"`

	head string // metadata file that the references are of
}

// FindOrphans lists the files under the table's location that nothing names. The table must be freshly loaded, and reload
// loads it again: what was committed while the files were listed is taken account of at the end.
//
// Memory is bounded by eight bytes for each file that the table names, a page of the listing, and the orphans.
func FindOrphans(ctx context.Context, t *table.Table, reload func(context.Context) (*table.Table, error), around Surroundings, o OrphanOptions) (*Orphans, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := newSweep(ctx, t, around, o)
	if err != nil {
		return nil, err
	}
	if o.Longest != nil {
		if o.LongestBuild, err = o.Longest(ctx); err != nil {
			return nil, fmt.Errorf("builds under way: %w", err)
		}
		if _, err := o.withDefaults(); err != nil {
			return nil, err
		}
	}
	if err := s.refs.collect(ctx, t, s.store); err != nil {
		return nil, err
	}
	if err := s.store.WalkDir(s.listed, func(uri string, d fs.DirEntry, err error) error { return s.visit(ctx, uri, d, err) }); err != nil {
		return nil, fmt.Errorf("list %s: %w", t.Location(), err)
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	now, err := reload(ctx)
	if err != nil {
		return nil, err
	}
	return s.out, s.out.drop(ctx, now, s.places)
}

// drop takes out what the table has come to name since.
func (o *Orphans) drop(ctx context.Context, now *table.Table, p *places) error {
	if now.MetadataLocation() == o.head {
		return nil
	}
	files, err := now.FS(ctx)
	if err != nil {
		return err
	}
	refs := newReferences(p)
	if err := refs.collect(ctx, now, files); err != nil {
		return err
	}
	o.Keep(func(f Orphan) bool { return !refs.has(p.of(f.URI)) }) // a plan that was stored has its names only
	o.head = now.MetadataLocation()
	return nil
}

// Keep keeps in the plan the files of which a condition holds.
func (o *Orphans) Keep(holds func(Orphan) bool) {
	o.Files = slices.DeleteFunc(o.Files, func(f Orphan) bool { return !holds(f) })
	o.Bytes = 0
	for _, f := range o.Files {
		o.Bytes += f.Size
	}
}

// listing is what a store must be able to do.
type listing interface {
	iceio.WriteFileIO
	iceio.ListableIO
}

// storeTime is what the store's clock shows: the time that it gives to a file written now. Files are judged by that clock
// and not by this machine's, which may be another.
func storeTime(store iceio.WriteFileIO, folder string) (time.Time, error) {
	uri := strings.TrimSuffix(folder, "/") + "/clock-" + uuid.NewString()
	if err := store.WriteFile(uri, []byte("what time is it?")); err != nil {
		return time.Time{}, fmt.Errorf("ask the store's time: %w", err)
	}
	f, err := store.Open(uri)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask the store's time: %w", err)
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close(), store.Remove(uri)); err != nil {
		return time.Time{}, fmt.Errorf("ask the store's time: %w", err)
	}
	return info.ModTime(), nil
}
