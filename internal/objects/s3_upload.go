package objects

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"
)

const (
	firstPart     = 8 << 20 // what fits one part is put in one request
	partsInFlight = 2       // each holds its bytes in memory
	partsPerSize  = 1000    // parts double after as many, so that 10,000, the protocol's bound, reach 5 TB
)

func (b *s3Bucket) Create(ctx context.Context, key string) (Writer, error) {
	return b.create(ctx, key, false), nil
}

// CreateNew implements Once.
func (b *s3Bucket) CreateNew(ctx context.Context, key string) (Writer, error) {
	return b.create(ctx, key, true), nil
}

func (b *s3Bucket) create(ctx context.Context, key string, once bool) *s3Upload {
	u := &s3Upload{bucket: b, key: key, ctx: ctx, once: once}
	u.group, u.groupCtx = errgroup.WithContext(ctx)
	u.group.SetLimit(partsInFlight)
	return u
}

// s3Upload puts a small object in one request, and a large one in parts while it is written.
type s3Upload struct {
	bucket   *s3Bucket
	key      string
	once     bool // nothing may be there
	ctx      context.Context
	group    *errgroup.Group
	groupCtx context.Context

	buffer []byte
	id     *string // of the multipart upload; nil while the object is small
	size   int64

	mu    sync.Mutex
	parts []types.CompletedPart

	done bool
	err  error
}

func (u *s3Upload) partSize() int { return firstPart << (len(u.parts) / partsPerSize) }

func (u *s3Upload) Write(p []byte) (int, error) {
	if u.done {
		return 0, errors.New("write to a closed upload")
	}
	if u.err != nil {
		return 0, u.err
	}
	u.size += int64(len(p))
	for rest := p; ; {
		n := min(len(rest), u.partSize()-len(u.buffer))
		u.buffer = append(u.buffer, rest[:n]...)
		if rest = rest[n:]; len(rest) == 0 {
			return len(p), nil
		}
		if u.err = u.send(); u.err != nil {
			return 0, u.err
		}
	}
}

// send uploads the buffer as a part, waiting while too many are under way.
func (u *s3Upload) send() error {
	if err := u.groupCtx.Err(); err != nil {
		return errors.Join(u.group.Wait(), err)
	}
	if u.id == nil {
		out, err := u.bucket.client.CreateMultipartUpload(u.ctx, &s3.CreateMultipartUploadInput{Bucket: &u.bucket.name, Key: &u.key})
		if err != nil {
			return s3Error(err)
		}
		u.id = out.UploadId
	}
	content := u.buffer
	u.buffer = nil
	index := len(u.parts)
	u.mu.Lock()
	u.parts = append(u.parts, types.CompletedPart{PartNumber: aws.Int32(int32(index + 1))})
	u.mu.Unlock()
	u.group.Go(func() error {
		out, err := u.bucket.client.UploadPart(u.groupCtx, &s3.UploadPartInput{
			Bucket: &u.bucket.name, Key: &u.key, UploadId: u.id, PartNumber: aws.Int32(int32(index + 1)), Body: bytes.NewReader(content),
		})
		if err != nil {
			return s3Error(err)
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		u.parts[index].ETag = out.ETag
		u.parts[index].ChecksumCRC32 = out.ChecksumCRC32
		return nil
	})
	return nil
}

// Close publishes the object. A second Close repeats the first one's result.
func (u *s3Upload) Close() error {
	if u.done {
		return u.err
	}
	if u.err == nil {
		u.err = u.publish()
	}
	if u.err != nil {
		_ = u.abandon() // its own error would hide the first
	}
	u.done = true
	return u.err
}

func (u *s3Upload) publish() error {
	if u.id == nil {
		return u.conditionally(func(condition *string) error {
			_, err := u.bucket.client.PutObject(u.ctx, &s3.PutObjectInput{
				Bucket: &u.bucket.name, Key: &u.key, Body: bytes.NewReader(u.buffer), IfNoneMatch: condition,
			})
			return err
		})
	}
	if len(u.buffer) > 0 {
		if err := u.send(); err != nil {
			return err
		}
	}
	if err := u.group.Wait(); err != nil {
		return err
	}
	return u.conditionally(func(condition *string) error {
		_, err := u.bucket.client.CompleteMultipartUpload(u.ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &u.bucket.name, Key: &u.key, UploadId: u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts}, IfNoneMatch: condition,
		})
		var api smithy.APIError
		if errors.As(err, &api) && api.ErrorCode() == "NoSuchUpload" {
			// An earlier try of this request landed and its answer was lost: then the object is there.
			if o, statErr := u.bucket.Stat(u.ctx, u.key); statErr == nil && o.Size == u.size {
				return nil
			}
		}
		return err
	})
}

// Abort removes what was uploaded. After Close it does nothing.
func (u *s3Upload) Abort() error {
	if u.done {
		return nil
	}
	u.done, u.err = true, errors.New("the upload was aborted")
	return u.abandon()
}

// abandon ends the multipart upload, also when the caller's context has ended: its parts would be paid for until then.
func (u *s3Upload) abandon() error {
	_ = u.group.Wait()
	if u.id == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), time.Minute)
	defer cancel()
	_, err := u.bucket.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &u.bucket.name, Key: &u.key, UploadId: u.id})
	return s3Error(err)
}
