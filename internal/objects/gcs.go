package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/api/option/internaloption"
	gcshttp "google.golang.org/api/transport/http"

	"github.com/varve-lake/varve/internal/patience"
)

// GCS says how Google Cloud Storage is reached. The zero value is Google's own, by its libraries' usual chain: a file
// that GOOGLE_APPLICATION_CREDENTIALS names, gcloud's, the machine's service account.
type GCS struct {
	Project  string // which requests are billed to; empty is the credentials' own
	Endpoint string // empty is Google's; another one is asked without credentials unless some are given
	Key      string // a service account's key, as JSON
}

// String keeps the key out of errors and logs.
func (c GCS) String() string { return fmt.Sprintf("GCS at %q", c.Endpoint) }

// GoString is String, so that %#v shows no secret either.
func (c GCS) GoString() string { return c.String() }

const (
	gcsTries   = 6 // the library's own default is without a bound
	gcsPuts    = 3 // of a small object, each of so many tries
	gcsChunk   = 8 << 20
	gcsUnit    = 256 << 10 // chunks are whole multiples
	gcsRemoves = 16        // at once; there is no request for many
	gcsPage    = 1000
)

func (c GCS) client(ctx context.Context, silence time.Duration) (*storage.Client, error) {
	var auth []option.ClientOption
	if c.Key != "" {
		auth = append(auth, option.WithAuthCredentialsJSON(option.ServiceAccount, []byte(c.Key)))
	} else if c.Endpoint != "" {
		auth = append(auth, option.WithoutAuthentication())
	}
	authorized, err := c.transport(ctx, silence, auth)
	if err != nil {
		return nil, err // of the library; it does not repeat the key
	}
	opts := append(auth, storage.WithJSONReads(), option.WithHTTPClient(&http.Client{Transport: authorized}))
	if c.Endpoint != "" {
		opts = append(opts, option.WithEndpoint(strings.TrimRight(c.Endpoint, "/")+"/storage/v1/"))
	}
	client, err := storage.NewClient(ctx, opts...)
	if err != nil {
		return nil, err
	}
	// An object's content is given by its name here, so that every request may be sent again.
	client.SetRetry(storage.WithMaxAttempts(gcsTries), storage.WithPolicy(storage.RetryAlways))
	return client, nil
}

// transport is what the library would make for itself, around one that is patient.
func (c GCS) transport(ctx context.Context, silence time.Duration, auth []option.ClientOption) (http.RoundTripper, error) {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = 64
	patience.Watched(base, patience.Or(silence))
	opts := append([]option.ClientOption{
		option.WithScopes(storage.ScopeFullControl, "https://www.googleapis.com/auth/cloud-platform"),
		internaloption.WithDefaultEndpointTemplate("https://storage.UNIVERSE_DOMAIN/storage/v1/"),
		internaloption.WithDefaultUniverseDomain("googleapis.com"), internaloption.EnableNewAuthLibrary(),
	}, auth...)
	if c.Project != "" {
		opts = append(opts, option.WithQuotaProject(c.Project))
	}
	return gcshttp.NewTransport(ctx, patience.Transport(base, patience.Or(silence)), opts...)
}

type gcsBucket struct {
	handle   *storage.BucketHandle
	patience time.Duration
}

func (b *gcsBucket) Close() error { return nil }

func (b *gcsBucket) Read(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Object, error) {
	if length == 0 {
		o, err := b.Stat(ctx, key)
		return io.NopCloser(strings.NewReader("")), o, err
	}
	r, err := b.handle.Object(key).NewRangeReader(ctx, offset, length)
	if err != nil {
		return nil, Object{}, gcsError(err)
	}
	return &body{r, gcsError}, ofReader(key, r), nil
}

func ofReader(key string, r *storage.Reader) Object {
	return Object{Key: key, Size: r.Attrs.Size, ModTime: r.Attrs.LastModified, ETag: strconv.FormatInt(r.Attrs.Generation, 10)}
}

func (b *gcsBucket) Tail(ctx context.Context, key string, n int64) ([]byte, Object, error) {
	r, err := b.handle.Object(key).NewRangeReader(ctx, -n, -1)
	var answer *googleapi.Error
	if errors.As(err, &answer) && answer.Code == http.StatusRequestedRangeNotSatisfiable { // of an empty object no range can be had
		o, err := b.Stat(ctx, key)
		return nil, o, err
	}
	if err != nil {
		return nil, Object{}, gcsError(err)
	}
	defer r.Close()
	o := ofReader(key, r)
	tail, err := readTail(ctx, b, o, n, &body{r, gcsError})
	return tail, o, err
}

func (b *gcsBucket) Stat(ctx context.Context, key string) (Object, error) {
	attrs, err := b.handle.Object(key).Attrs(ctx)
	if err != nil {
		return Object{}, gcsError(err)
	}
	return ofAttrs(attrs), nil
}

func ofAttrs(a *storage.ObjectAttrs) Object {
	if a.Prefix != "" {
		return Object{Key: a.Prefix, Dir: true}
	}
	return Object{Key: a.Name, Size: a.Size, ModTime: a.Updated, ETag: strconv.FormatInt(a.Generation, 10)}
}

func (b *gcsBucket) List(ctx context.Context, prefix string, shallow bool) iter.Seq2[Object, error] {
	query := &storage.Query{Prefix: prefix, Projection: storage.ProjectionNoACL}
	if shallow {
		query.Delimiter = "/"
	}
	return func(yield func(Object, error) bool) {
		if err := query.SetAttrSelection([]string{"Name", "Size", "Updated", "Generation"}); err != nil {
			yield(Object{}, err)
			return
		}
		pages := iterator.NewPager(b.handle.Objects(ctx, query), gcsPage, "")
		for {
			var page []*storage.ObjectAttrs
			next, err := pages.NextPage(&page)
			if err != nil {
				yield(Object{}, gcsError(err))
				return
			}
			found := make([]Object, len(page))
			for i, a := range page {
				found[i] = ofAttrs(a)
			}
			sort.Slice(found, func(i, j int) bool { return found[i].Key < found[j].Key })
			for _, o := range found {
				if !yield(o, nil) {
					return
				}
			}
			if next == "" {
				return
			}
		}
	}
}

func (b *gcsBucket) Remove(ctx context.Context, keys ...string) error {
	var group errgroup.Group
	group.SetLimit(gcsRemoves)
	for _, key := range keys {
		group.Go(func() error {
			err := gcsError(b.handle.Object(key).Delete(ctx))
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return fmt.Errorf("%s: %w", key, err)
		})
	}
	return group.Wait()
}

func (b *gcsBucket) Create(ctx context.Context, key string) (Writer, error) {
	own, cancel := context.WithCancel(ctx)
	return &gcsUpload{ctx: own, cancel: cancel, object: b.handle.Object(key), deadline: gcsTries * b.patience}, nil
}

// gcsUpload puts a small object in one request, and sends a large one in chunks while it is written; what was sent of that
// is not an object before the last one.
type gcsUpload struct {
	ctx    context.Context
	cancel context.CancelFunc
	object *storage.ObjectHandle
	// deadline is how long a chunk is tried; the library's own, half a minute, is shorter than one silence.
	deadline time.Duration

	buffer []byte
	w      *storage.Writer // nil while the object is small
	failed error
	done   bool
	err    error
}

// begin opens the upload. The library sets a chunk's memory aside for each object that is being written.
func (u *gcsUpload) begin(chunk int) error {
	u.w = u.object.NewWriter(u.ctx)
	u.w.ChunkSize, u.w.ChunkRetryDeadline = chunk, u.deadline
	_, err := u.w.Write(u.buffer)
	u.buffer = nil
	return gcsError(err)
}

func (u *gcsUpload) Write(p []byte) (int, error) {
	if u.done {
		return 0, errors.New("write to a closed upload")
	}
	if u.failed != nil {
		return 0, u.failed
	}
	if u.w == nil {
		u.buffer = append(u.buffer, p...)
		if len(u.buffer) <= gcsChunk {
			return len(p), nil
		}
		u.failed = u.begin(gcsChunk)
	} else if _, err := u.w.Write(p); err != nil {
		u.failed = gcsError(err)
	}
	if u.failed != nil {
		return 0, u.failed
	}
	return len(p), nil
}

// Close publishes the object. A second Close repeats the first one's result.
func (u *gcsUpload) Close() error {
	if u.done {
		return u.err
	}
	if u.failed == nil && u.w == nil {
		u.done, u.err = true, u.put()
		u.cancel()
		return u.err
	}
	if u.failed != nil {
		_ = u.Abort()
		u.err = u.failed
		return u.err
	}
	u.done = true
	u.err = gcsError(u.w.Close())
	u.cancel()
	return u.err
}

// put writes a small object, and again if the answer broke off: the library tries a request again, but not the reading of
// its answer.
func (u *gcsUpload) put() error {
	content := u.buffer
	for failed := 1; ; failed++ {
		u.buffer = content
		err := u.begin((len(content) + gcsUnit) / gcsUnit * gcsUnit)
		if closed := gcsError(u.w.Close()); err == nil {
			err = closed
		}
		if !errors.Is(err, ErrPassing) || failed == gcsPuts {
			return err
		}
		if err := pauseAfter(u.ctx, failed); err != nil {
			return err
		}
	}
}

// Abort ends the upload. After Close it does nothing.
func (u *gcsUpload) Abort() error {
	if u.done {
		return nil
	}
	u.done, u.err = true, errors.New("the upload was aborted")
	u.cancel()
	if u.w != nil {
		_ = u.w.Close() // with a cancelled context it publishes nothing, and says so
	}
	return nil
}

func gcsError(err error) error {
	var answer *googleapi.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrObjectNotExist), errors.Is(err, storage.ErrBucketNotExist):
		return failure(fs.ErrNotExist, err)
	case errors.As(err, &answer):
		return failure(kindOfStatus(answer.Code), err)
	case unreachable(err):
		return failure(ErrPassing, err)
	}
	return err
}
