package objects

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/storage"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/varve-lake/varve/internal/patience"
)

// Config says how the stores are reached. The zero value reaches each by its own usual means.
type Config struct {
	S3   S3
	GCS  GCS
	HDFS HDFS
	// Patience is how long a store may be silent, in the midst of a request, before that is given up and tried again;
	// patience.Default if zero.
	Patience time.Duration
}

// Stores opens buckets by their URIs, each once. It is safe for concurrent use.
type Stores struct {
	cfg Config

	mu      sync.Mutex
	s3      *s3.Client
	gcs     *storage.Client
	buckets map[string]Bucket
}

// New makes Stores. Nothing is reached before a bucket is asked for.
func New(cfg Config) *Stores { return &Stores{cfg: cfg, buckets: map[string]Bucket{}} }

// Schemes are those of URIs that a bucket can be opened for.
var Schemes = []string{"s3", "s3a", "s3n", "gs", "hdfs"}

// Bucket opens the bucket of a scheme and authority, as in s3://bucket.
func (s *Stores) Bucket(ctx context.Context, scheme, name string) (Bucket, error) {
	if scheme == "s3a" || scheme == "s3n" {
		scheme = "s3"
	}
	if name == "" && scheme != "hdfs" {
		return nil, fmt.Errorf("%s:// without a bucket", scheme)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := scheme + "://" + name
	if b, ok := s.buckets[id]; ok {
		return b, nil
	}
	// A bucket outlives the call that opened it.
	b, err := s.open(context.WithoutCancel(ctx), scheme, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", id, err)
	}
	s.buckets[id] = b
	return b, nil
}

func (s *Stores) open(ctx context.Context, scheme, name string) (Bucket, error) {
	switch scheme {
	case "s3":
		if s.s3 == nil {
			client, err := s.cfg.S3.client(ctx, s.cfg.Patience)
			if err != nil {
				return nil, err
			}
			s.s3 = client
		}
		return &s3Bucket{client: s.s3, name: name}, nil
	case "gs":
		if s.gcs == nil {
			client, err := s.cfg.GCS.client(ctx, s.cfg.Patience)
			if err != nil {
				return nil, err
			}
			s.gcs = client
		}
		return &gcsBucket{s.gcs.Bucket(name), patience.Or(s.cfg.Patience)}, nil
	case "hdfs":
		return s.cfg.HDFS.bucket(name, s.cfg.Patience)
	}
	return nil, fmt.Errorf("no store is known for %s://", scheme)
}

// Close releases the connections.
func (s *Stores) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, b := range s.buckets {
		errs = append(errs, b.Close())
	}
	clear(s.buckets)
	if s.gcs != nil {
		errs = append(errs, s.gcs.Close())
		s.gcs = nil
	}
	return errors.Join(errs...)
}
