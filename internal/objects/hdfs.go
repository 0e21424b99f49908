package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/colinmarc/hdfs/v2"

	"github.com/varve-lake/varve/internal/patience"
)

// HDFS says how a file system of Hadoop's is reached.
type HDFS struct {
	NameNode string // host:port; an authority in a URI goes before it
	User     string // empty is HADOOP_USER_NAME, or this process's user
	// Dial, when set, opens the connections to the name node and to the data nodes, as where these are behind a gateway.
	Dial patience.DialFunc
}

func hdfsPath(key string) string { return "/" + strings.Trim(key, "/") }

// reading opens a file by a connection of its own user's, reads of it, and again by another connection if that breaks.
func (b *hdfsBucket) reading(ctx context.Context, key string, read func(*hdfs.FileReader, Object) error) error {
	return b.do(ctx, func(c *hdfs.Client) error {
		f, err := c.Open(hdfsPath(key))
		if err != nil {
			return err
		}
		o := ofInfo(key, f.Stat())
		if o.Dir {
			return errors.Join(fmt.Errorf("%s is a folder", key), f.Close())
		}
		if err := read(f, o); err != nil {
			return errors.Join(err, f.Close())
		}
		return nil
	})
}

func ofInfo(key string, info os.FileInfo) Object {
	if info.IsDir() {
		return Object{Key: strings.TrimSuffix(key, "/") + "/", Dir: true, ModTime: info.ModTime()}
	}
	return Object{Key: key, Size: info.Size(), ModTime: info.ModTime()}
}

func (b *hdfsBucket) Read(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Object, error) {
	var body *hdfsBody
	var described Object
	err := b.reading(ctx, key, func(f *hdfs.FileReader, o Object) error {
		_, err := f.Seek(offset, io.SeekStart)
		body, described = &hdfsBody{ctx: ctx, f: f, left: length}, o
		return err
	})
	if err != nil {
		return nil, Object{}, err
	}
	return body, described, nil
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
	var tail []byte
	var described Object
	err := b.reading(ctx, key, func(f *hdfs.FileReader, o Object) error {
		described, tail = o, make([]byte, min(n, o.Size))
		if len(tail) > 0 {
			if _, err := f.ReadAt(tail, o.Size-int64(len(tail))); err != nil && err != io.EOF {
				return err
			}
		}
		return f.Close()
	})
	if err != nil {
		return nil, Object{}, err
	}
	return tail, described, nil
}

func (b *hdfsBucket) Stat(ctx context.Context, key string) (Object, error) {
	var out Object
	err := b.do(ctx, func(c *hdfs.Client) error {
		info, err := c.Stat(hdfsPath(key))
		if err == nil {
			out = ofInfo(key, info)
		}
		return err
	})
	return out, err
}

// hdfsPage is how many names of a folder are asked for at a time.
const hdfsPage = 1000

// List goes folder by folder; the prefix names one. The name node gives names in their order; a folder's place among them
// is that of its name with a slash, so that one waits until the names that come before have passed.
func (b *hdfsBucket) List(ctx context.Context, prefix string, shallow bool) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) { b.list(ctx, strings.Trim(prefix, "/"), shallow, yield) }
}

func (b *hdfsBucket) list(ctx context.Context, folder string, shallow bool, yield func(Object, error) bool) bool {
	names := &hdfsListing{bucket: b, folder: folder}
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
		entries, err := names.next(ctx)
		if err != nil {
			yield(Object{}, err)
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
		if len(entries) == 0 {
			return pass("")
		}
	}
}

// hdfsListing gives a folder's names in pages, over breaks of the connection.
type hdfsListing struct {
	bucket *hdfsBucket
	folder string
	f      *hdfs.FileReader // nil before the first page, and after a fault
	last   string           // name that was given
}

// next is a page; none is the end.
func (l *hdfsListing) next(ctx context.Context) (entries []os.FileInfo, err error) {
	err = l.bucket.do(ctx, func(c *hdfs.Client) (err error) {
		if l.f == nil {
			if l.f, err = c.Open(hdfsPath(l.folder)); err != nil {
				l.f = nil
				return err
			}
		}
		for entries = nil; len(entries) == 0 && err == nil && l.f.Stat().IsDir(); {
			entries, err = l.f.Readdir(hdfsPage)
			entries = slices.DeleteFunc(entries, func(e os.FileInfo) bool { return e.Name() <= l.last })
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			l.f = nil
		}
		return err
	})
	if len(entries) > 0 {
		l.last = entries[len(entries)-1].Name()
	}
	return entries, err
}

func (b *hdfsBucket) Remove(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		err := b.do(ctx, func(c *hdfs.Client) error { return c.Remove(hdfsPath(key)) })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// RemoveTree removes a folder with all that is in it, in one request.
func (b *hdfsBucket) RemoveTree(ctx context.Context, key string) error {
	err := b.do(ctx, func(c *hdfs.Client) error { return c.RemoveAll(hdfsPath(key)) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// hdfsError knows the name node's exceptions that may go away, and the network's faults. Those of files are the file
// system's already.
func hdfsError(err error) error {
	if err == nil || errors.Is(err, ErrPassing) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
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
	if unreachable(err) || strayed(err) || errors.Is(err, net.ErrClosed) {
		return failure(ErrPassing, err)
	}
	return err
}
