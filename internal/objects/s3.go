package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/internal/patience"
)

// S3 says how a store of Amazon's protocol is reached. The zero value is Amazon's own, by the SDK's usual chain:
// environment, shared profiles, web identity, instance metadata.
type S3 struct {
	Region    string
	Endpoint  string // empty is Amazon's
	PathStyle bool   // the bucket stands in the path, not in the host's name
	// AccessKey and SecretKey are static credentials; without them the SDK's chain finds some.
	AccessKey, SecretKey, SessionToken string
}

const (
	s3Tries = 5               // of one request; the keys of objects say what they hold, so that each may be sent again
	s3Pause = 3 * time.Second // between them, at most; who waits longer is the workflow
)

// String keeps the credentials out of errors and logs.
func (c S3) String() string { return fmt.Sprintf("S3 at %q, region %q", c.Endpoint, c.Region) }

// GoString is String, so that %#v shows no secret either.
func (c S3) GoString() string { return c.String() }

// AWSConfig is the SDK's configuration by its own chain, with what is set here before it. Services that are silent for
// longer than the patience, or patience.Default, are given up.
func (c S3) AWSConfig(ctx context.Context, silence time.Duration) (aws.Config, error) {
	opts := []func(*config.LoadOptions) error{config.WithHTTPClient(awshttp.NewBuildableClient().
		WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = 64
			patience.Watched(t, patience.Or(silence))
		})), config.WithRetryer(func() aws.Retryer {
		standard := retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = s3Tries, s3Pause })
		return retry.AddWithErrorCodes(standard, "OperationAborted") // "try again", says Amazon, and its SDK does not
	})}
	if c.Region != "" {
		opts = append(opts, config.WithRegion(c.Region))
	}
	if c.AccessKey != "" {
		opts = append(opts, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, c.SessionToken)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("configure AWS: %w", err)
	}
	if cfg.Region == "" && c.Endpoint != "" {
		cfg.Region = "us-east-1" // part of the signature; others than Amazon rarely look at it
	}
	cfg.Logger = logging.Nop{} // it would write to standard error what the errors say
	cfg.HTTPClient = fault.Client(patientClient{cfg.HTTPClient, patience.Or(silence)})
	return cfg, nil
}

// patientClient goes around the SDK's own client, which has to be of the SDK's type while the chain configures it.
type patientClient struct {
	inner    aws.HTTPClient
	patience time.Duration
}

func (c patientClient) Do(req *http.Request) (*http.Response, error) {
	return patience.Do(req, c.patience, c.inner.Do)
}

func (c S3) client(ctx context.Context, silence time.Duration) (*s3.Client, error) {
	cfg, err := c.AWSConfig(ctx, silence)
	if err != nil {
		return nil, err
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = c.PathStyle
		o.DisableLogOutputChecksumValidationSkipped = true
		if c.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.Endpoint)
			// Not everything that speaks the protocol knows the SDK's trailing checksums.
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
	}), nil
}

type s3Bucket struct {
	client *s3.Client
	name   string
	// unconditional is set once the store has said that it knows no conditional writes.
	unconditional atomic.Bool
}

func (b *s3Bucket) Close() error { return nil }

func (b *s3Bucket) Read(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Object, error) {
	if length == 0 {
		o, err := b.Stat(ctx, key)
		return io.NopCloser(strings.NewReader("")), o, err
	}
	in := &s3.GetObjectInput{Bucket: &b.name, Key: &key}
	switch {
	case length > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := b.client.GetObject(ctx, in)
	if err != nil {
		return nil, Object{}, s3Error(err)
	}
	return &body{out.Body, s3Error}, b.described(key, out), nil
}

// described takes what an answer tells of the whole object, also where only a range was asked for.
func (b *s3Bucket) described(key string, out *s3.GetObjectOutput) Object {
	o := Object{Key: key, Size: aws.ToInt64(out.ContentLength), ModTime: aws.ToTime(out.LastModified), ETag: aws.ToString(out.ETag)}
	if _, total, found := strings.Cut(aws.ToString(out.ContentRange), "/"); found {
		if n, err := strconv.ParseInt(total, 10, 64); err == nil {
			o.Size = n
		}
	}
	return o
}

func (b *s3Bucket) Tail(ctx context.Context, key string, n int64) ([]byte, Object, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key, Range: aws.String(fmt.Sprintf("bytes=-%d", n))})
	if status(err) == http.StatusRequestedRangeNotSatisfiable { // of an empty object no range can be had
		o, err := b.Stat(ctx, key)
		return nil, o, err
	}
	if err != nil {
		return nil, Object{}, s3Error(err)
	}
	defer out.Body.Close()
	o := b.described(key, out)
	tail, err := readTail(ctx, b, o, n, &body{out.Body, s3Error})
	return tail, o, err
}

func (b *s3Bucket) Stat(ctx context.Context, key string) (Object, error) {
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return Object{}, s3Error(err)
	}
	return Object{
		Key: key, Size: aws.ToInt64(out.ContentLength), ModTime: aws.ToTime(out.LastModified), ETag: aws.ToString(out.ETag),
	}, nil
}

func (b *s3Bucket) List(ctx context.Context, prefix string, shallow bool) iter.Seq2[Object, error] {
	in := &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix}
	if shallow {
		in.Delimiter = aws.String("/")
	}
	return func(yield func(Object, error) bool) {
		for pages := s3.NewListObjectsV2Paginator(b.client, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Object{}, s3Error(err))
				return
			}
			var found []Object
			for _, o := range page.Contents {
				found = append(found, Object{
					Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), ModTime: aws.ToTime(o.LastModified), ETag: aws.ToString(o.ETag),
				})
			}
			for _, p := range page.CommonPrefixes {
				found = append(found, Object{Key: aws.ToString(p.Prefix), Dir: true})
			}
			sort.Slice(found, func(i, j int) bool { return found[i].Key < found[j].Key })
			for _, o := range found {
				if !yield(o, nil) {
					return
				}
			}
		}
	}
}

// Remove sends a thousand keys at a time, as many as the protocol takes.
func (b *s3Bucket) Remove(ctx context.Context, keys ...string) error {
	if len(keys) == 1 {
		_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &keys[0]})
		if err = s3Error(err); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for len(keys) > 0 {
		batch := keys[:min(len(keys), 1000)]
		keys = keys[len(batch):]
		ids := make([]types.ObjectIdentifier, len(batch))
		for i := range batch {
			ids[i].Key = &batch[i]
		}
		out, err := b.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: &b.name, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
		})
		if err != nil {
			return s3Error(err)
		}
		for _, e := range out.Errors {
			if code := aws.ToString(e.Code); code != "NoSuchKey" {
				return fmt.Errorf("%s: %w", aws.ToString(e.Key), s3Error(&smithy.GenericAPIError{Code: code, Message: aws.ToString(e.Message)}))
			}
		}
	}
	return nil
}

func status(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// s3Error knows the protocol's codes, then the statuses, then the network's faults.
func s3Error(err error) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "NoSuchKey", "NoSuchBucket", "NotFound":
			return failure(fs.ErrNotExist, err)
		case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AccountProblem":
			return failure(fs.ErrPermission, err)
		case "SlowDown", "InternalError", "OperationAborted", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException", "RequestTimeTooSkewed":
			return failure(ErrPassing, err)
		}
	}
	if kind := kindOfStatus(status(err)); kind != nil {
		return failure(kind, err)
	}
	if unreachable(err) {
		return failure(ErrPassing, err)
	}
	return err
}

// unreachable tells a fault of the network, other than the caller's own giving up.
func unreachable(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}
