package objects

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"time"

	"github.com/colinmarc/hdfs/v2"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/internal/pause"
)

// hdfsHeld is up to how many bytes of a file are held in memory and written when it is closed, and then again if the
// connection breaks: the library cannot go on with a block that it was writing.
const hdfsHeld = 8 << 20

func (b *hdfsBucket) Create(ctx context.Context, key string) (Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &hdfsUpload{ctx: ctx, bucket: b, to: hdfsPath(key)}, nil
}

// hdfsUpload writes a temporary file, and renames it when it is whole.
type hdfsUpload struct {
	ctx    context.Context
	bucket *hdfsBucket
	to     string
	held   []byte
	file   *hdfsFile // nil while the file is small
	failed error
	done   bool
	err    error
}

func (u *hdfsUpload) Write(p []byte) (int, error) {
	if u.failed == nil {
		u.failed = u.ctx.Err()
	}
	if u.failed != nil {
		return 0, u.failed
	}
	if u.file == nil && len(u.held)+len(p) <= hdfsHeld {
		u.held = append(u.held, p...)
		return len(p), nil
	}
	if u.file == nil {
		if u.failed = u.begin(); u.failed != nil {
			return 0, u.failed
		}
	}
	n, err := u.file.w.Write(p)
	u.failed = hdfsError(err)
	return n, u.failed
}

// begin opens a large file, with what was held of it.
func (u *hdfsUpload) begin() error {
	held := u.held
	u.held = nil
	return u.bucket.do(u.ctx, func(c *hdfs.Client) (err error) {
		u.file, err = newHDFSFile(c, u.to, held)
		return err
	})
}

// Close publishes the file. A second Close repeats the first one's result.
func (u *hdfsUpload) Close() error {
	if u.done {
		return u.err
	}
	u.done = true
	if u.failed == nil {
		u.failed = u.publish()
	}
	if u.err = u.failed; u.err != nil && u.file != nil {
		u.file.discard()
	}
	return u.err
}

func (u *hdfsUpload) publish() error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	if u.file != nil {
		if err := u.file.finish(u.ctx); err != nil {
			return err
		}
		return u.rename()
	}
	return u.bucket.do(u.ctx, func(c *hdfs.Client) error { // a second one replaces what a first one has published
		f, err := newHDFSFile(c, u.to, u.held)
		if err != nil {
			return err
		}
		if err = f.finish(u.ctx); err == nil {
			err = c.Rename(f.tmp, u.to)
		}
		if err != nil {
			f.discard()
		}
		return err
	})
}

// rename gives a large file its name. If the temporary one is gone, then an earlier try of this has taken effect.
func (u *hdfsUpload) rename() error {
	tries := 0
	return u.bucket.do(u.ctx, func(c *hdfs.Client) error {
		tries++
		err := c.Rename(u.file.tmp, u.to)
		if tries > 1 && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// Abort removes what was written. After Close it does nothing.
func (u *hdfsUpload) Abort() error {
	if u.done {
		return nil
	}
	u.done, u.err = true, errors.New("the file was abandoned")
	if u.file != nil {
		u.file.discard()
	}
	return nil
}

// hdfsFile is a temporary file, bound to one client, which holds its lease.
type hdfsFile struct {
	client *hdfs.Client
	tmp    string
	w      *hdfs.FileWriter
}

func newHDFSFile(c *hdfs.Client, to string, content []byte) (*hdfsFile, error) {
	if err := c.MkdirAll(path.Dir(to), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	f := &hdfsFile{client: c, tmp: path.Join(path.Dir(to), "."+path.Base(to)+"."+uuid.NewString()+".tmp")}
	var err error
	if f.w, err = c.Create(f.tmp); err != nil {
		return nil, err
	}
	if len(content) == 0 {
		return f, nil
	}
	if _, err := f.w.Write(content); err != nil {
		f.discard()
		return nil, err
	}
	return f, nil
}

// finish closes the file, waiting while the name node does not yet know of the replicas that it asks for.
func (f *hdfsFile) finish(ctx context.Context) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := f.w.Close()
		if !hdfs.IsErrReplicating(err) {
			return hdfsError(err)
		}
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
	}
}

// discard leaves nothing but, if the name node is gone, a hidden temporary file.
func (f *hdfsFile) discard() {
	_ = f.w.Close()
	_ = f.client.Remove(f.tmp)
}
