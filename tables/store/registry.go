package store

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	iceio "github.com/apache/iceberg-go/io"

	"github.com/varve-lake/varve/internal/objects"
)

// Config says how the stores beside the local file system are reached. The zero value reaches each by its own usual
// means: environment, profiles, instance metadata.
type Config = objects.Config

// S3 says how a store of Amazon's protocol is reached.
type S3 = objects.S3

// GCS says how Google Cloud Storage is reached.
type GCS = objects.GCS

// HDFS says how a file system of Hadoop's is reached.
type HDFS = objects.HDFS

// Key is the property by which iceberg-go's own file access finds the configured stores. It holds a name, so that no
// secret stands among properties.
const Key = "varve.store"

// Stores are configured stores. They are safe for concurrent use.
type Stores struct {
	name  string
	inner *objects.Stores
}

var (
	registered sync.Map // name -> *objects.Stores
	count      atomic.Int64
	ambient    = objects.New(objects.Config{})
	vended     vendedStores
)

// NewStores makes stores known under their own name until they are closed. Nothing is reached before a file is.
func NewStores(cfg Config) *Stores {
	s := &Stores{name: "stores-" + strconv.FormatInt(count.Add(1), 10), inner: objects.New(cfg)}
	registered.Store(s.name, s.inner)
	return s
}

// Props lead iceberg-go's own file access here.
func (s *Stores) Props() map[string]string { return map[string]string{Key: s.name} }

// FS is the store that a URI lies in.
func (s *Stores) FS(ctx context.Context, uri string) (iceio.IO, error) {
	return iceio.LoadFS(ctx, s.Props(), uri)
}

// Close releases the connections. Stores that are nil have none.
func (s *Stores) Close() error {
	if s == nil {
		return nil
	}
	registered.Delete(s.name)
	return s.inner.Close()
}

// Objects are the stores as sources read them; stores that are nil are each reached by its own usual means.
func (s *Stores) Objects() *objects.Stores {
	if s == nil {
		return ambient
	}
	return s.inner
}

// Schemes are those of URIs that files can lie at.
func Schemes() []string { return append([]string{"file"}, objects.Schemes...) }

// Known tells whether a scheme is one of them.
func Known(scheme string) bool { return slices.Contains(Schemes(), strings.ToLower(scheme)) }

func init() {
	for _, scheme := range objects.Schemes {
		iceio.Register(scheme, openObjects)
	}
}

// openObjects is iceberg-go's way in. What the lake's configuration says of the stores goes before what a catalog's
// properties say, since those include what anyone may have set on a table.
func openObjects(ctx context.Context, at *url.URL, props map[string]string) (iceio.IO, error) {
	if name := props[Key]; name != "" {
		inner, ok := registered.Load(name)
		if !ok {
			return nil, fmt.Errorf("open %s: the lake is closed", at)
		}
		return keeping(ctx, Objects{ctx, inner.(*objects.Stores)}), nil
	}
	if strings.HasPrefix(at.Scheme, "s3") {
		if cfg := vendedS3(props); cfg != (objects.S3{}) {
			return keeping(ctx, Objects{ctx, vended.get(cfg)}), nil
		}
	}
	return keeping(ctx, Objects{ctx, ambient}), nil
}

// vendedS3 reads what a REST catalog says of its store, by the properties' names in Iceberg's other implementations.
func vendedS3(props map[string]string) objects.S3 {
	pathStyle, _ := strconv.ParseBool(props["s3.path-style-access"])
	region := props["s3.region"]
	if region == "" {
		region = props["client.region"]
	}
	return objects.S3{
		Region: region, Endpoint: props["s3.endpoint"], PathStyle: pathStyle,
		AccessKey: props["s3.access-key-id"], SecretKey: props["s3.secret-access-key"], SessionToken: props["s3.session-token"],
	}
}

// vendedStores are those that catalogs hand out; their credentials change, so that old ones are forgotten.
type vendedStores struct {
	mu    sync.Mutex
	known map[objects.S3]*objects.Stores
}

const vendedLimit = 64

func (v *vendedStores) get(cfg objects.S3) *objects.Stores {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s, ok := v.known[cfg]; ok {
		return s
	}
	if v.known == nil || len(v.known) >= vendedLimit {
		v.known = map[objects.S3]*objects.Stores{}
	}
	s := objects.New(objects.Config{S3: cfg})
	v.known[cfg] = s
	return s
}

// WithProps adds the stores' properties to others; stores that are nil have none.
func (s *Stores) WithProps(props map[string]string) map[string]string {
	out := maps.Clone(props)
	if out == nil {
		out = map[string]string{}
	}
	if s != nil {
		maps.Copy(out, s.Props())
	}
	return out
}
