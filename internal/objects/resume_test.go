package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shaky is a bucket with one object whose answers break off after some bytes.
type shaky struct {
	Bucket
	content []byte
	etag    string
	after   int // bytes that come before an answer breaks; each answer
	breaks  int // answers that break
	asked   int
}

func (s *shaky) Read(_ context.Context, key string, offset, length int64) (io.ReadCloser, Object, error) {
	s.asked++
	end := int64(len(s.content))
	if length >= 0 {
		end = min(end, offset+length)
	}
	body := s.content[offset:end]
	var r io.Reader = bytes.NewReader(body)
	if s.breaks != 0 {
		s.breaks--
		r = io.MultiReader(bytes.NewReader(body[:min(s.after, len(body))]), failing{})
	}
	return io.NopCloser(r), Object{Key: key, Size: int64(len(s.content)), ETag: s.etag}, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fmt.Errorf("%w: reset", ErrPassing) }

func init() { firstPause = time.Microsecond }

func TestAStreamGoesOnWhereItBroke(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100)
	s := &shaky{content: content, etag: "a", after: 130, breaks: 6}
	described := Object{Key: "k", Size: int64(len(content)), ETag: "a"}
	got, err := io.ReadAll(Stream(t.Context(), s, described, 7))
	require.NoError(t, err)
	require.True(t, bytes.Equal(content[7:], got))
	require.Equal(t, 7, s.asked)

	p := make([]byte, 500)
	s.breaks = 3
	n, err := ReadAt(t.Context(), s, "k", p, 100)
	require.NoError(t, err)
	require.Equal(t, 500, n)
	require.True(t, bytes.Equal(content[100:600], p))
}

func TestAStreamGivesUpInTheEnd(t *testing.T) {
	s := &shaky{content: []byte("abc"), etag: "a", breaks: -1}
	_, err := io.ReadAll(Stream(t.Context(), s, Object{Key: "k", Size: 3, ETag: "a"}, 0))
	require.ErrorIs(t, err, ErrPassing)
	_, err = ReadAt(t.Context(), s, "k", make([]byte, 3), 0)
	require.ErrorIs(t, err, ErrPassing)
}

func TestAStreamNoticesAnotherObject(t *testing.T) {
	s := &shaky{content: []byte("abcdef"), etag: "a", after: 2, breaks: 1}
	r := Stream(t.Context(), s, Object{Key: "k", Size: 6, ETag: "a"}, 0)
	p := make([]byte, 2)
	_, err := io.ReadFull(r, p)
	require.NoError(t, err)
	s.etag = "b"
	_, err = io.ReadAll(r)
	require.ErrorContains(t, err, "it was replaced")
}

func TestURIs(t *testing.T) {
	for uri, want := range map[string][3]string{
		"s3://b/a/b c%20.csv": {"s3", "b", "a/b c%20.csv"}, "S3A://b": {"s3a", "b", ""}, "hdfs:///x": {"hdfs", "", "x"},
	} {
		scheme, bucket, key, err := Split(uri)
		require.NoError(t, err)
		require.Equal(t, want, [3]string{scheme, bucket, key})
	}
	_, _, _, err := Split("/plain/path")
	require.Error(t, err)
}

func TestMeaningsOfStatuses(t *testing.T) {
	for status, want := range map[int]error{404: fs.ErrNotExist, 401: fs.ErrPermission, 403: fs.ErrPermission, 429: ErrPassing, 503: ErrPassing, 400: nil, 412: nil} {
		require.Equal(t, want, kindOfStatus(status), status)
	}
	err := failure(fs.ErrNotExist, errors.New("no such key"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.EqualError(t, err, "no such key")
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", S3{SecretKey: "hunter2"}, Config{S3: S3{SecretKey: "hunter2"}}, &Config{S3: S3{SecretKey: "hunter2"}}), "hunter2")
}
