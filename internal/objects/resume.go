package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/varve-lake/varve/internal/pause"
)

// A body that breaks off is asked for again from where it broke: the stores' own clients try a request again, but not the
// reading of its answer. A request that they have given up is not tried once more here.
const (
	resumes      = 5
	longestPause = 2 * time.Second
)

var firstPause = 50 * time.Millisecond // four times as long after each failure; tests shorten it

// Stream reads an object from offset to the end of what was described, over breaks of the connection. It is an error if
// the object is not that one any more.
func Stream(ctx context.Context, b Bucket, described Object, offset int64) io.ReadCloser {
	return &stream{ctx: ctx, bucket: b, object: described, at: offset}
}

type stream struct {
	ctx    context.Context
	bucket Bucket
	object Object
	at     int64
	body   io.ReadCloser
	failed int // in a row
}

func (s *stream) Read(p []byte) (int, error) {
	if s.at >= s.object.Size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if err := s.ask(); err != nil {
			return 0, err
		}
		n, err := s.step(p)
		s.at += int64(n)
		if n > 0 {
			s.failed = 0
			return n, nil // what else there was comes again with the next call
		}
		if err == nil {
			continue
		}
		s.drop()
		if !errors.Is(err, ErrPassing) {
			return 0, err
		}
		if s.failed++; s.failed > resumes {
			return 0, fmt.Errorf("at byte %d of %d: %w", s.at, s.object.Size, err)
		}
		if err := pauseAfter(s.ctx, s.failed); err != nil {
			return 0, err
		}
	}
}

// ask sends for the rest of the object, unless an answer is being read.
func (s *stream) ask() error {
	if s.body != nil {
		return nil
	}
	body, now, err := s.bucket.Read(s.ctx, s.object.Key, s.at, -1)
	if err != nil {
		return err
	}
	if now.ETag != s.object.ETag || now.Size != s.object.Size || now.ETag == "" && !now.ModTime.Equal(s.object.ModTime) {
		return errors.Join(fmt.Errorf("%s is not the object that was opened: it was replaced", s.object.Key), body.Close())
	}
	s.body = body
	return nil
}

func (s *stream) step(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if err == io.EOF && s.at+int64(n) < s.object.Size {
		err = fmt.Errorf("%w: the answer ended early", ErrPassing)
	}
	if err == io.EOF {
		s.drop()
	}
	return n, err
}

func (s *stream) drop() {
	if s.body != nil {
		_ = s.body.Close()
		s.body = nil
	}
}

func (s *stream) Close() error {
	s.drop()
	return nil
}

// ReadAt fills p from offset on, over breaks of the connection. The caller sees to it that the object has as many bytes.
func ReadAt(ctx context.Context, b Bucket, key string, p []byte, offset int64) (int, error) {
	done := 0
	for failed := 0; done < len(p); {
		body, _, err := b.Read(ctx, key, offset+int64(done), int64(len(p)-done))
		if err != nil {
			return done, err
		}
		n, err := io.ReadFull(body, p[done:])
		body.Close()
		done += n
		if err == nil {
			break
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: %d of %d bytes at %d came", ErrPassing, done, len(p), offset)
		}
		if n > 0 {
			failed = 0
		}
		if failed++; !errors.Is(err, ErrPassing) || failed > resumes {
			return done, err
		}
		if err := pauseAfter(ctx, failed); err != nil {
			return done, err
		}
	}
	return done, nil
}

// readTail fills the last bytes of an object from an answer's body, and over a break of that from other answers.
func readTail(ctx context.Context, b Bucket, described Object, n int64, body io.Reader) ([]byte, error) {
	tail := make([]byte, min(n, described.Size))
	done, err := io.ReadFull(body, tail)
	if err == nil || ctx.Err() != nil {
		return tail, err
	}
	_, err = ReadAt(ctx, b, described.Key, tail[done:], described.Size-int64(len(tail)-done))
	return tail, err
}

// pauseAfter waits after so many failures.
func pauseAfter(ctx context.Context, failed int) error {
	d := firstPause
	for range failed - 1 {
		d *= 4
	}
	return pause.For(ctx, min(d, longestPause))
}
