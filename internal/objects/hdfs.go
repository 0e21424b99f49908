package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/colinmarc/hdfs/v2"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/internal/patience"
)

// HDFS says how a file system of Hadoop's is reached.
type HDFS struct {
	NameNode string // host:port; an authority in a URI goes before it
	User     string // empty is HADOOP_USER_NAME, or this process's user
}

func (c HDFS) client(authority string, silence time.Duration) (*hdfs.Client, error) {
	address := authority
	if address == "" {
		address = c.NameNode
	}
	if address == "" {
		return nil, errors.New("no name node is configured, and the URI names none")
	}
	name := c.User
	if name == "" {
		name = os.Getenv("HADOOP_USER_NAME")
	}
	if name == "" {
		name = os.Getenv("USER")
	}
	if name == "" {
		name = "varve"
	}
	dial := patience.Dial(nil, patience.Or(silence))
	client, err := hdfs.NewClient(hdfs.ClientOptions{
		Addresses: []string{address}, User: name, NamenodeDialFunc: dial, DatanodeDialFunc: dial,
	})
	if err != nil {
		return nil, hdfsError(err)
	}
	return client, nil
}

// hdfsBucket is one file system. A file is written under a temporary name beside its own and renamed, so that it appears
// whole, as an object does.
type hdfsBucket struct{ client *hdfs.Client }

func (b *hdfsBucket) Close() error { return b.client.Close() }

func hdfsPath(key string) string { return "/" + strings.Trim(key, "/") }

func (b *hdfsBucket) open(ctx context.Context, key string) (*hdfs.FileReader, Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, Object{}, err
	}
	f, err := b.client.Open(hdfsPath(key))
	if err != nil {
		return nil, Object{}, hdfsError(err)
	}
	o := ofInfo(key, f.Stat())
	if o.Dir {
		return nil, Object{}, errors.Join(fmt.Errorf("%s is a folder", key), f.Close())
	}
	return f, o, nil
}

func ofInfo(key string, info os.FileInfo) Object {
	if info.IsDir() {
		return Object{Key: strings.TrimSuffix(key, "/") + "/", Dir: true, ModTime: info.ModTime()}
	}
	return Object{Key: key, Size: info.Size(), ModTime: info.ModTime()}
}

func (b *hdfsBucket) Read(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Object, error) {
	f, o, err := b.open(ctx, key)
	if err != nil {
		return nil, Object{}, err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, Object{}, errors.Join(hdfsError(err), f.Close())
	}
	body := &hdfsBody{ctx: ctx, f: f, left: length}
	return body, o, nil
}

// hdfsBody reads on to the end, or until so many bytes have come.
type hdfsBody struct {
	ctx  context.Context
	f    *hdfs.FileReader
	left int64 // negative: to the end
}

func (r *hdfsBody) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.left > 0 {
		p = p[:min(int64(len(p)), r.left)]
	}
	n, err := r.f.Read(p)
	if r.left > 0 {
		r.left -= int64(n)
	}
	if err != nil && err != io.EOF {
		err = hdfsError(err)
	}
	return n, err
}

func (r *hdfsBody) Close() error { return r.f.Close() }

func (b *hdfsBucket) Tail(ctx context.Context, key string, n int64) ([]byte, Object, error) {
	f, o, err := b.open(ctx, key)
	if err != nil {
		return nil, Object{}, err
	}
	defer f.Close()
	tail := make([]byte, min(n, o.Size))
	if len(tail) == 0 {
		return tail, o, nil
	}
	if _, err := f.ReadAt(tail, o.Size-int64(len(tail))); err != nil && err != io.EOF {
		return nil, Object{}, hdfsError(err)
	}
	return tail, o, nil
}

func (b *hdfsBucket) Stat(ctx context.Context, key string) (Object, error) {
	if err := ctx.Err(); err != nil {
		return Object{}, err
	}
	info, err := b.client.Stat(hdfsPath(key))
	if err != nil {
		return Object{}, hdfsError(err)
	}
	return ofInfo(key, info), nil
}

// hdfsPage is how many names of a folder are asked for at a time.
const hdfsPage = 1000

// List goes folder by folder; the prefix names one. The name node gives names in their order; a folder's place among them
// is that of its name with a slash, so that one waits until the names that come before have passed.
func (b *hdfsBucket) List(ctx context.Context, prefix string, shallow bool) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) { b.list(ctx, strings.Trim(prefix, "/"), shallow, yield) }
}

func (b *hdfsBucket) list(ctx context.Context, folder string, shallow bool, yield func(Object, error) bool) bool {
	f, err := b.client.Open(hdfsPath(folder))
	if err != nil {
		return yield(Object{}, hdfsError(err))
	}
	defer f.Close()
	if !f.Stat().IsDir() {
		return true
	}
	var waiting []Object // folders, in the order of their keys
	pass := func(before string) bool {
		for len(waiting) > 0 && (before == "" || waiting[0].Key < before) {
			next := waiting[0]
			waiting = waiting[1:]
			if shallow && !yield(next, nil) || !shallow && !b.list(ctx, strings.TrimSuffix(next.Key, "/"), false, yield) {
				return false
			}
		}
		return true
	}
	for {
		if err := ctx.Err(); err != nil {
			yield(Object{}, err)
			return false
		}
		entries, err := f.Readdir(hdfsPage)
		if err != nil && err != io.EOF {
			yield(Object{}, hdfsError(err))
			return false
		}
		for _, e := range entries {
			o := ofInfo(strings.TrimPrefix(folder+"/"+e.Name(), "/"), e)
			if !pass(o.Key) {
				return false
			}
			if o.Dir {
				waiting = append(waiting, o)
				sort.Slice(waiting, func(i, j int) bool { return waiting[i].Key < waiting[j].Key })
			} else if !yield(o, nil) {
				return false
			}
		}
		if err == io.EOF || len(entries) == 0 {
			return pass("")
		}
	}
}

func (b *hdfsBucket) Remove(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := hdfsError(b.client.Remove(hdfsPath(key))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// RemoveTree removes a folder with all that is in it, in one request.
func (b *hdfsBucket) RemoveTree(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := hdfsError(b.client.RemoveAll(hdfsPath(key)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (b *hdfsBucket) Create(ctx context.Context, key string) (Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	to := hdfsPath(key)
	if err := b.client.MkdirAll(path.Dir(to), 0o755); err != nil {
		return nil, hdfsError(err)
	}
	u := &hdfsUpload{ctx: ctx, bucket: b, to: to, tmp: path.Join(path.Dir(to), "."+path.Base(to)+"."+uuid.NewString()+".tmp")}
	w, err := b.client.Create(u.tmp)
	if err != nil {
		return nil, hdfsError(err)
	}
	u.w = w
	return u, nil
}

// hdfsUpload writes a temporary file, and renames it when it is whole.
type hdfsUpload struct {
	ctx     context.Context
	bucket  *hdfsBucket
	to, tmp string
	w       *hdfs.FileWriter
	failed  error
	done    bool
	err     error
}

func (u *hdfsUpload) Write(p []byte) (int, error) {
	if u.failed == nil {
		u.failed = u.ctx.Err()
	}
	if u.failed != nil {
		return 0, u.failed
	}
	n, err := u.w.Write(p)
	u.failed = hdfsError(err)
	return n, u.failed
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
	if u.err = u.failed; u.err != nil {
		u.discard()
	}
	return u.err
}

func (u *hdfsUpload) publish() error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	if err := u.finish(); err != nil {
		return err
	}
	return hdfsError(u.bucket.client.Rename(u.tmp, u.to))
}

// finish closes the file, waiting while the name node does not yet know of the replicas that it asks for.
func (u *hdfsUpload) finish() error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := u.w.Close()
		if !hdfs.IsErrReplicating(err) {
			return hdfsError(err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-u.ctx.Done():
			timer.Stop()
			return u.ctx.Err()
		case <-timer.C:
		}
	}
}

// Abort removes what was written. After Close it does nothing.
func (u *hdfsUpload) Abort() error {
	if u.done {
		return nil
	}
	u.done, u.err = true, errors.New("the file was abandoned")
	u.discard()
	return nil
}

// discard leaves nothing but, if the name node is gone, a hidden temporary file.
func (u *hdfsUpload) discard() {
	_ = u.w.Close()
	_ = u.bucket.client.Remove(u.tmp)
}

// hdfsError knows the name node's exceptions that may go away, and the network's faults. Those of files are the file
// system's already.
func hdfsError(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	var answer hdfs.Error
	if errors.As(err, &answer) {
		for _, passing := range []string{"StandbyException", "RetriableException", "SafeModeException", "NotReplicatedYetException"} {
			if strings.HasSuffix(answer.Exception(), passing) {
				return failure(ErrPassing, err)
			}
		}
		return err
	}
	if unreachable(err) {
		return failure(ErrPassing, err)
	}
	return err
}
