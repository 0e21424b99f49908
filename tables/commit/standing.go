package commit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"golang.org/x/sync/errgroup"
)

// ErrSwept says that files are gone which this commit was to put into the table: it took so long, most likely because its process was
// suspended, that the removal of orphans took them for nobody's. Nothing was committed; the work is to be done again, from its start.
var ErrSwept = errors.New("what was written for the commit was removed as orphans meanwhile")

// stillStanding is for how long a file is certainly no orphan: the least age at which maintenance removes one is an hour.
const stillStanding = 30 * time.Minute

// swept is ErrSwept if a file of an attempt that has taken long is not there. A worker that was suspended for hours, and that others have
// taken for dead, goes on where it stood: in front of a head that has not moved, if what took its place has failed or was cancelled. What is
// left is the moment between this look and the request.
func (p *protocol) swept(ctx context.Context, next *staged, change *Change) error {
	since := p.began
	if !p.opts.Since.IsZero() && p.opts.Since.Before(since) {
		since = p.opts.Since
	}
	// The wall clock tells of a machine that slept; the monotonic one stood still.
	if p.opts.Now().Round(0).Sub(since.Round(0)) < stillStanding {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, path := range next.names(change) {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := there(next.written.WriteFileIO, path)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrAbsent) {
				return fmt.Errorf("commit %s: %w: %s is not there", p.name(), ErrSwept, path)
			}
			return err
		})
	}
	return g.Wait()
}

// names are the files that come to the table by the change.
func (s *staged) names(c *Change) (paths []string) {
	for _, files := range [][]iceberg.DataFile{c.AddData, c.AddDeletes} {
		for _, f := range files {
			paths = append(paths, f.FilePath())
		}
	}
	s.written.mu.Lock()
	defer s.written.mu.Unlock()
	return append(append(append(paths, c.Manifests.paths()...), c.States...), s.written.created...)
}

// there is an error unless a file is there. Some stores tell only when they are asked for its size.
func there(store iceio.IO, path string) error {
	f, err := store.Open(path)
	if err != nil {
		return err
	}
	_, err = f.Stat()
	return errors.Join(err, f.Close())
}
