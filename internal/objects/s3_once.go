package objects

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
)

// conditionally publishes an upload, if it is to be created once on condition that nothing is there (If-None-Match: *). A
// store that does not know the condition says so once and is not asked again; one that passes it over is as it was.
func (u *s3Upload) conditionally(publish func(condition *string) error) error {
	if !u.once || u.bucket.unconditional.Load() {
		return s3Error(publish(nil))
	}
	err := publish(aws.String("*"))
	var api smithy.APIError
	switch code := status(err); {
	case err == nil:
		return nil
	case code == http.StatusNotImplemented, errors.As(err, &api) && api.ErrorCode() == "NotImplemented":
		u.bucket.unconditional.Store(true)
		return s3Error(publish(nil))
	case code == http.StatusPreconditionFailed:
		return u.taken(err)
	case code == http.StatusConflict: // another write of this object is under way
		return failure(ErrPassing, err)
	}
	return s3Error(err)
}

// taken decides about an object that was there: an earlier try of this request whose answer was lost has put it there, or
// somebody else.
func (u *s3Upload) taken(refused error) error {
	there, o, err := u.bucket.Read(u.ctx, u.key, 0, -1)
	if errors.Is(err, fs.ErrNotExist) { // the store has changed its mind, or something before it answered
		return failure(ErrPassing, refused)
	}
	if err != nil {
		return err
	}
	defer there.Close()
	if o.Size == u.size {
		if u.id != nil { // the parts are not held any more, and who else gives this key would not write as many bytes
			return nil
		}
		content, err := io.ReadAll(there)
		if err != nil {
			return err
		}
		if bytes.Equal(content, u.buffer) {
			return nil
		}
	}
	return failure(fs.ErrExist, fmt.Errorf("another object is there, of %d bytes: %w", o.Size, refused))
}
