package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/varve-lake/varve/internal/objects"
	"github.com/varve-lake/varve/sources/glob"
)

// ErrPassing says that a store is busy or unreachable: reading again later may succeed.
var ErrPassing = objects.ErrPassing

// Anywhere is the local file system and the configured stores, told apart by the scheme of a URI or a glob.
type Anywhere struct {
	Local
	Objects *objects.Stores
}

var _ Store = Anywhere{}

// remote is the scheme, bucket and key of a URI that is not a local file's.
func remote(uri string) (scheme, bucket, key string, ok bool) {
	scheme, bucket, key, err := objects.Split(uri)
	if err != nil || !slices.Contains(objects.Schemes, scheme) {
		return "", "", "", false
	}
	if scheme == "s3a" || scheme == "s3n" {
		scheme = "s3" // a file is the same by any name
	}
	return scheme, bucket, key, true
}

// List implements [Store]. Besides globs it takes a folder, for all files below it. A listing goes folder by folder, with a
// page of each in memory.
func (a Anywhere) List(ctx context.Context, pattern string) iter.Seq2[File, error] {
	scheme, name, key, ok := remote(pattern)
	if !ok {
		return a.Local.List(ctx, pattern)
	}
	return func(yield func(File, error) bool) {
		fail := func(err error) { yield(File{}, fmt.Errorf("list %s: %w", pattern, err)) }
		if strings.ContainsAny(name, "*?[{") {
			fail(fmt.Errorf("a bucket's name cannot be a pattern"))
			return
		}
		bucket, err := a.Objects.Bucket(ctx, scheme, name)
		if err != nil {
			fail(err)
			return
		}
		w := objectWalk{ctx: ctx, bucket: bucket, base: scheme + "://" + name + "/", yield: yield}
		start, err := w.start(key)
		if err != nil {
			fail(err)
			return
		}
		w.below("", start)
	}
}

// objectWalk visits a bucket's folders in the order of the keys.
type objectWalk struct {
	ctx    context.Context
	bucket objects.Bucket
	base   string
	yield  func(File, error) bool
}

// start compiles the pattern. One that is no glob, and names no object, is a folder.
func (w objectWalk) start(key string) (glob.State, error) {
	p, err := glob.Compile(key)
	if err != nil || p.Magic() {
		return state(p), err
	}
	if key != "" && !strings.HasSuffix(key, "/") {
		switch o, err := w.bucket.Stat(w.ctx, plainName(key)); {
		case err == nil && !o.Dir:
			return p.Start(), nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return glob.State{}, err
		}
	}
	p, err = glob.Compile(strings.TrimRight(key, "/") + "/**")
	return state(p), err
}

func state(p *glob.Pattern) glob.State {
	if p == nil {
		return glob.State{}
	}
	return p.Start()
}

// plainName takes the backslashes out of a pattern that is none.
func plainName(pattern string) string {
	var out strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '\\' && i+1 < len(pattern) {
			i++
		}
		out.WriteByte(pattern[i])
	}
	return out.String()
}

// below yields what matches below a folder, whose key is empty or ends with a slash; false when the walk is to end.
func (w objectWalk) below(folder string, at glob.State) bool {
	if names, few := at.Names(); few {
		return w.named(folder, names, at)
	}
	for o, err := range w.bucket.List(w.ctx, folder, true) {
		if errors.Is(err, fs.ErrNotExist) {
			return true
		}
		if err != nil {
			w.yield(File{}, fmt.Errorf("list %s%s: %w", w.base, folder, err))
			return false
		}
		name := strings.TrimSuffix(strings.TrimPrefix(o.Key, folder), "/")
		if name == "" { // what some tools put there for the folder itself
			continue
		}
		if next := at.Step(name, true); !w.visit(o, next) {
			return false
		}
	}
	return true
}

func (w objectWalk) visit(o objects.Object, next glob.State) bool {
	switch {
	case o.Dir && next.More():
		return w.below(o.Key, next)
	case !o.Dir && next.Match() && !strings.HasSuffix(o.Key, "/"):
		return w.yield(fileOfObject(w.base, o), nil)
	}
	return true
}

// named goes by the only names that can match, without a listing.
func (w objectWalk) named(folder string, names []string, at glob.State) bool {
	for _, name := range names {
		next := at.Step(name, true)
		if next.Match() {
			o, err := w.bucket.Stat(w.ctx, folder+name)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				w.yield(File{}, fmt.Errorf("list %s%s%s: %w", w.base, folder, name, err))
				return false
			case !o.Dir && !w.yield(fileOfObject(w.base, o), nil):
				return false
			}
		}
		if next.More() && !w.below(folder+name+"/", next) {
			return false
		}
	}
	return true
}

func fileOfObject(base string, o objects.Object) File {
	unit := time.Microsecond
	if o.ETag != "" { // a look at one object tells whole seconds, a listing more
		unit = time.Second
	}
	return File{URI: base + o.Key, Size: o.Size, ModTime: o.ModTime.UTC().Truncate(unit), ETag: o.ETag}
}

// Stat implements [Store].
func (a Anywhere) Stat(ctx context.Context, uri string) (File, error) {
	c, err := a.content(ctx, uri)
	if err != nil {
		return File{}, err
	}
	if c == nil {
		return a.Local.Stat(ctx, uri)
	}
	return c.Stat()
}

// Open implements [Store].
func (a Anywhere) Open(ctx context.Context, uri string) (Content, error) {
	c, err := a.content(ctx, uri)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return a.Local.Open(ctx, uri)
	}
	if c.object, err = c.bucket.Stat(ctx, c.key); err != nil {
		return nil, err
	}
	c.front = objects.Stream(ctx, c.bucket, c.object, 0)
	return c, nil
}

// content finds where a URI's bytes are; nil for a local file.
func (a Anywhere) content(ctx context.Context, uri string) (*objectContent, error) {
	scheme, name, key, ok := remote(uri)
	if !ok {
		return nil, nil
	}
	bucket, err := a.Objects.Bucket(ctx, scheme, name)
	if err != nil {
		return nil, err
	}
	if key == "" || path.Clean("/"+key) == "/" {
		return nil, fmt.Errorf("%s: names a bucket, not a file", uri)
	}
	return &objectContent{ctx: ctx, bucket: bucket, key: key, base: scheme + "://" + name + "/"}, nil
}

// objectContent is an open object.
type objectContent struct {
	ctx       context.Context
	bucket    objects.Bucket
	base, key string
	object    objects.Object
	front     io.ReadCloser
}

func (c *objectContent) Read(p []byte) (int, error) { return c.front.Read(p) }

func (c *objectContent) ReadAt(p []byte, off int64) (int, error) {
	if off >= c.object.Size {
		return 0, io.EOF
	}
	n, err := objects.ReadAt(c.ctx, c.bucket, c.key, p[:min(int64(len(p)), c.object.Size-off)], off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (c *objectContent) Close() error { return c.front.Close() }

// Stat asks the store, so that an object which was replaced is seen.
func (c *objectContent) Stat() (File, error) {
	o, err := c.bucket.Stat(c.ctx, c.key)
	if err != nil {
		return File{}, err
	}
	return fileOfObject(c.base, o), nil
}
