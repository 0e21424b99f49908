package sources

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"iter"
)

// FilesKind is the Kind of a checkpoint whose body is a FileSet's.
const FilesKind = "files"

// StateStore keeps immutable state files beside a table's metadata.
type StateStore interface {
	// ReadState opens a state by the URI that WriteState gave.
	ReadState(ctx context.Context, uri string) (io.ReadCloser, error)
	// WriteState stores a state under a name and returns its URI. The name is made of the content's digest: writing
	// it twice writes the same bytes.
	WriteState(ctx context.Context, name string, body io.Reader) (uri string, err error)
}

// FileSet is the files that were loaded already. It holds digests, not names, so that a million files take some tens
// of megabytes; names of what is added lie on the disk where they are many. The zero FileSet is empty and ready. It is not safe for
// use by several goroutines.
//
// Its states form a chain, the newest first, each holding the files that its ancestors lack. States that are not much
// larger than what is added to them are merged into it, so that a chain stays short, and a file's name is rewritten a
// logarithmic number of times over its life.
type FileSet struct {
	// TempDir is where names are put aside until Save; the system's folder if it is empty. No file is left there.
	TempDir string

	seen  map[name]version
	chain []link         // what was loaded, newest first
	added diskSort[File] // since
	err   error          // of adding
}

// name and version are digests of a file's URI, and of what tells whether it changed. The first is of 128 bits: that
// two of a billion names have the same one is less likely than 1 in 10^20.
type (
	name    [16]byte
	version uint64
)

func nameOf(uri string) (n name) {
	sum := sha256.Sum256([]byte(uri))
	copy(n[:], sum[:])
	return n
}

// versionOf digests the ETag where a store gives one, otherwise size and time.
func versionOf(f File) version {
	what := f.ETag
	if what == "" {
		what = fmt.Sprintf("%d %d", f.Size, f.ModTime.UnixMicro())
	}
	sum := sha256.Sum256([]byte(what))
	return version(binary.BigEndian.Uint64(sum[:]))
}

// checkpoint is the body of a checkpoint.
type checkpoint struct {
	Kind   string `json:"kind"`
	Count  int    `json:"count"`
	State  string `json:"state,omitempty"`
	Digest string `json:"digest,omitempty"` // SHA-256 of the state
}

// LoadFileSet reads the set that a checkpoint's body names; a nil body is the empty set.
func LoadFileSet(ctx context.Context, states StateStore, body json.RawMessage) (*FileSet, error) {
	s := &FileSet{seen: map[name]version{}}
	if len(body) == 0 || string(body) == "null" {
		return s, nil
	}
	var c checkpoint
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, fmt.Errorf("checkpoint of loaded files: %w", err)
	}
	if c.Kind != FilesKind {
		return nil, fmt.Errorf("checkpoint of loaded files: it is of kind %q", c.Kind)
	}
	if c.State == "" {
		return s, nil
	}
	if err := s.load(ctx, states, c); err != nil {
		return nil, fmt.Errorf("checkpoint of loaded files: %w", err)
	}
	return s, nil
}

func (s *FileSet) load(ctx context.Context, states StateStore, c checkpoint) error {
	s.seen = make(map[name]version, min(c.Count, 1<<24))
	take := func(f File) error {
		s.seen[nameOf(f.URI)] = versionOf(f)
		return nil
	}
	head := link{URI: c.State, Digest: c.Digest}
	header, err := readState(ctx, states, head, take)
	if err != nil {
		return err
	}
	head.Count = header.Count
	s.chain = append([]link{head}, header.Ancestors...)
	for _, l := range header.Ancestors {
		if _, err := readState(ctx, states, l, take); err != nil {
			return err
		}
	}
	if len(s.seen) != c.Count {
		return fmt.Errorf("its states hold %d files, not %d", len(s.seen), c.Count)
	}
	return nil
}

// Len is the number of files in the set.
func (s *FileSet) Len() int { return len(s.seen) }

// Has tells whether a file is in the set, whether or not it changed since.
func (s *FileSet) Has(f File) bool {
	_, ok := s.seen[nameOf(f.URI)]
	return ok
}

// New yields those files that are not in the set, in their order, each once. A file that is in the set but has
// changed since is not yielded: changed (may be nil) is told of it.
func (s *FileSet) New(ctx context.Context, files iter.Seq2[File, error], changed func(File)) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		yielded := map[name]bool{}
		for f, err := range files {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(File{}, err)
				return
			}
			n := nameOf(f.URI)
			if before, ok := s.seen[n]; ok {
				if before != versionOf(f) && changed != nil {
					changed(f)
				}
				continue
			}
			if yielded[n] {
				continue
			}
			yielded[n] = true
			if !yield(f, nil) {
				return
			}
		}
	}
}

// Add puts loaded files into the set.
func (s *FileSet) Add(files ...File) {
	if s.seen == nil {
		s.seen = map[name]version{}
	}
	s.added.dir = s.TempDir
	for _, f := range files {
		n := nameOf(f.URI)
		if _, already := s.seen[n]; already {
			continue
		}
		s.seen[n] = versionOf(f)
		if err := s.added.add(f); err != nil && s.err == nil {
			s.err = err // Save says so
		}
	}
}

// maxChain bounds the states of a set.
const maxChain = 16

// Save writes what was added since LoadFileSet as a new state and returns the checkpoint's body, a small JSON object:
// {"kind":"files","count":N,"state":"<uri>","digest":"<sha256>"}. The same set and additions give the same body and
// the same state, in whatever order they were added. Older states stay: an older snapshot's checkpoint names them.
func (s *FileSet) Save(ctx context.Context, states StateStore) (json.RawMessage, error) {
	if s.added.n > 0 {
		if err := s.save(ctx, states); err != nil {
			return nil, fmt.Errorf("checkpoint of loaded files: %w", err)
		}
	}
	c := checkpoint{Kind: FilesKind, Count: len(s.seen)}
	if len(s.chain) > 0 {
		c.State, c.Digest = s.chain[0].URI, s.chain[0].Digest
	}
	return json.Marshal(c)
}

func (s *FileSet) save(ctx context.Context, states StateStore) error {
	if s.err != nil {
		return fmt.Errorf("put names aside: %w", s.err)
	}
	count, kept, streams := s.added.n, s.chain, s.added.streams()
	for len(kept) > 0 && (kept[0].Count <= 2*count || len(kept) >= maxChain) {
		count += kept[0].Count
		streams = append(streams, stateFiles(ctx, states, kept[0]))
		kept = kept[1:]
	}
	head, err := s.writeState(ctx, states, count, merged(streams), kept)
	if err != nil {
		return err
	}
	s.added.close()
	s.chain = append([]link{head}, kept...)
	return nil
}
