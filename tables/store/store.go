// Package store is the local file system as a store of table files that survives a power cut.
//
// A file that a snapshot may name has to be whole and on disk before the catalog hears of it. So a file is written under
// a temporary name in its own folder, synced, renamed, and the folder synced: a reader sees all of it or nothing, and
// what a crash leaves is a hidden .tmp file that no snapshot names. Importing the package makes iceberg-go use it for
// file URIs and plain paths.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"

	iceio "github.com/apache/iceberg-go/io"

	"github.com/varve-lake/varve/tables/fault"
)

func init() {
	local := func(ctx context.Context, _ *url.URL, _ map[string]string) (iceio.IO, error) {
		return keeping(ctx, Local{}), nil
	}
	for _, scheme := range []string{"file", ""} {
		iceio.Unregister(scheme)
		iceio.Register(scheme, local)
	}
}

// Path gives the local path of a file URI; a plain path is itself.
func Path(uri string) (string, error) {
	scheme, _, found := strings.Cut(uri, ":")
	if !found || strings.ContainsAny(scheme, "/\\") {
		return uri, nil
	}
	if !strings.EqualFold(scheme, "file") {
		return "", fmt.Errorf("%s: not a local file: scheme %q", uri, scheme)
	}
	u, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("file URI %q: %w", uri, err)
	}
	if u.Host != "" && !strings.EqualFold(u.Host, "localhost") {
		return "", fmt.Errorf("%s: a file on another host: %q", uri, u.Host)
	}
	if u.Opaque != "" {
		return url.PathUnescape(u.Opaque)
	}
	return filepath.FromSlash(u.Path), nil
}

// URI gives the file URI of a local path, made absolute.
func URI(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("absolute path of %s: %w", path, err)
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String(), nil
}

// classify gives an error of the operating system its class, once.
func classify(op, uri string, err error) error {
	if err == nil {
		return nil
	}
	var class error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		class = fault.ErrAbsent
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		class = fault.ErrDenied
	default:
		for _, passing := range []error{
			syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN,
			syscall.ESTALE, syscall.EINTR, syscall.ETIMEDOUT,
		} {
			if errors.Is(err, passing) {
				class = fault.ErrPassing
			}
		}
	}
	return fault.New(class, op+" "+uri, err)
}
