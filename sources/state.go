package sources

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/gzip"
)

// A state is a file of gzipped JSON lines: a header, then a File a line, sorted by URI. It names its ancestors, so that
// the newest one tells the whole set, and their digests, so that no other file can stand in for one.
type stateHeader struct {
	Kind      string `json:"kind"` // FilesKind
	Version   int    `json:"version"`
	Count     int    `json:"count"`
	Ancestors []link `json:"ancestors,omitempty"` // newest first
}

const stateVersion = 1

// link names a state.
type link struct {
	URI    string `json:"uri"`
	Digest string `json:"digest"` // SHA-256 of its bytes, hexadecimal
	Count  int    `json:"count"`
}

// writeState writes a state of so many files, sorted by URI, and gives its link.
func (s *FileSet) writeState(ctx context.Context, states StateStore, count int, files iter.Seq2[File, error], ancestors []link) (link, error) {
	body, done, err := s.spool(count)
	if err != nil {
		return link{}, err
	}
	defer done()
	sum := sha256.New()
	zip, err := gzip.NewWriterLevel(io.MultiWriter(body, sum), gzip.BestSpeed)
	if err != nil {
		return link{}, err
	}
	lines := json.NewEncoder(zip)
	if err := lines.Encode(stateHeader{FilesKind, stateVersion, count, ancestors}); err != nil {
		return link{}, err
	}
	for f, err := range files {
		if err != nil {
			return link{}, err
		}
		if err := lines.Encode(f); err != nil {
			return link{}, fmt.Errorf("write state of %s: %w", f.URI, err)
		}
	}
	if err := zip.Close(); err != nil {
		return link{}, err
	}
	if f, ok := body.(io.Seeker); ok {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return link{}, err
		}
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	uri, err := states.WriteState(ctx, "files-"+digest[:32]+".ndjson.gz", body)
	if err != nil {
		return link{}, fmt.Errorf("write state: %w", err)
	}
	return link{URI: uri, Digest: digest, Count: count}, nil
}

// spool takes what is written, and gives it to who reads: in memory, or that of many files on the disk. A state's name, which is asked
// for first, is made of all of it.
func (s *FileSet) spool(count int) (body io.ReadWriter, done func(), err error) {
	if count <= maxHeld {
		return &bytes.Buffer{}, func() {}, nil
	}
	f, err := unnamedFile(s.TempDir)
	return f, func() { _ = f.Close() }, err
}

// readState reads a state and hands out its files.
func readState(ctx context.Context, states StateStore, l link, take func(File) error) (header stateHeader, err error) {
	body, err := states.ReadState(ctx, l.URI)
	if err != nil {
		return header, fmt.Errorf("read state %s: %w", l.URI, err)
	}
	defer body.Close()
	sum := sha256.New()
	stored := io.TeeReader(body, sum)
	if header, err = decodeState(stored, take); err == nil {
		_, err = io.Copy(io.Discard, stored) // for the digest
	}
	if got := hex.EncodeToString(sum.Sum(nil)); err == nil && l.Digest != "" && got != l.Digest {
		err = fmt.Errorf("its digest is %s, not %s", got, l.Digest)
	}
	if err != nil {
		return header, fmt.Errorf("read state %s: %w", l.URI, err)
	}
	return header, nil
}

func decodeState(stored io.Reader, take func(File) error) (header stateHeader, err error) {
	zip, err := gzip.NewReader(bufio.NewReader(stored))
	if err != nil {
		return header, err
	}
	lines := json.NewDecoder(bufio.NewReaderSize(zip, 64<<10))
	if err = lines.Decode(&header); err != nil {
		return header, err
	}
	if header.Kind != FilesKind || header.Version > stateVersion {
		return header, fmt.Errorf("it is of kind %q, version %d; known is %q, version %d", header.Kind, header.Version, FilesKind, stateVersion)
	}
	for range header.Count {
		var f File
		if err = lines.Decode(&f); err != nil {
			return header, err
		}
		if err = take(f); err != nil {
			return header, err
		}
	}
	return header, nil
}

// stateFiles streams a state's files, which are sorted by URI.
func stateFiles(ctx context.Context, states StateStore, l link) iter.Seq2[File, error] {
	ended := errors.New("nobody reads on")
	return func(yield func(File, error) bool) {
		_, err := readState(ctx, states, l, func(f File) error {
			if !yield(f, nil) {
				return ended
			}
			return nil
		})
		if err != nil && !errors.Is(err, ended) {
			yield(File{}, err)
		}
	}
}
