package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// magic begins a file of the cache; another form of these files would have another.
	magic = "varve cache 2\n"
	// maxAge is how long after it was written a file is kept, read or not, whatever room there is: statistics in it may name
	// values that were erased from the table since.
	maxAge = 7 * 24 * time.Hour
	// sweepEvery is how often the folder is looked through for files that are too old, by whoever uses it.
	sweepEvery = time.Hour
	// abandonedAfter is how old a file is that was being written when a process died.
	abandonedAfter = time.Hour
)

// Disk keeps bytes in a folder within a bound. Several processes may use one folder: a file appears whole under its name or not
// at all, and begins with a digest of its key and content, so that one that a crash, a full disk or anything else has damaged
// is taken for absent. Whatever goes wrong with the folder, the bytes are then read from where they came from.
type Disk struct {
	dir   string
	limit int64

	mu     sync.Mutex
	bytes  int64 // in the folder, by the last look and what this process has written since
	looked time.Time
	now    func() time.Time

	sweeping sync.WaitGroup
}

// NewDisk keeps so many bytes in a folder, which is made when needed.
func NewDisk(dir string, limit int64) *Disk { return &Disk{dir: dir, limit: limit, now: time.Now} }

// Key names bytes: a part of a file.
type Key struct{ File, Part string }

// prefix is how the paths of all parts of a file begin.
func (d *Disk) prefix(file string) string {
	sum := sha256.Sum256([]byte(file))
	name := hex.EncodeToString(sum[:16])
	return filepath.Join(d.dir, name[:2], name[2:]+"-")
}

func (d *Disk) path(key Key) string {
	sum := sha256.Sum256([]byte(key.Part))
	return d.prefix(key.File) + hex.EncodeToString(sum[:16])
}

func seal(key Key, content []byte) []byte {
	h := sha256.New()
	for _, name := range []string{key.File, key.Part} {
		h.Write([]byte(name))
		h.Write([]byte{0})
	}
	h.Write(content)
	return h.Sum(nil)
}

// Get gives the bytes of a key, if they are there and not too old.
func (d *Disk) Get(key Key) ([]byte, bool) {
	d.freshen()
	path := d.path(key)
	info, err := os.Stat(path)
	if err != nil {
		return nil, false
	}
	if d.now().Sub(info.ModTime()) > maxAge {
		_ = os.Remove(path)
		return nil, false
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	const head = len(magic) + sha256.Size
	if len(raw) < head || string(raw[:len(magic)]) != magic || !bytes.Equal(raw[len(magic):head], seal(key, raw[head:])) {
		_ = os.Remove(path)
		return nil, false
	}
	return raw[head:], true
}

// Forget removes the bytes of a file.
func (d *Disk) Forget(file string) {
	prefix := d.prefix(file)
	entries, err := os.ReadDir(filepath.Dir(prefix))
	if err != nil {
		return // none of such a beginning
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(prefix)) {
			_ = os.Remove(filepath.Join(filepath.Dir(prefix), e.Name()))
		}
	}
}

// Put keeps the bytes of a key, if it can.
func (d *Disk) Put(key Key, content []byte) {
	size := int64(len(magic)+sha256.Size) + int64(len(content))
	if size > d.limit/8 {
		return
	}
	path := d.path(key)
	if os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".*.tmp")
	if err != nil {
		return
	}
	_, err = f.Write(slices.Concat([]byte(magic), seal(key, content), content))
	if closed := f.Close(); err != nil || closed != nil || os.Rename(f.Name(), path) != nil {
		_ = os.Remove(f.Name())
		return
	}
	d.account(size)
}

// account counts what was written, and makes room when there is too much or something is too old. Other processes write too,
// so that the folder is looked through at first, now and then, and whenever the bound seems reached.
func (d *Disk) account(size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bytes += size
	if now := d.now(); d.bytes > d.limit || now.Sub(d.looked) >= sweepEvery {
		d.bytes, d.looked = d.sweep(), now
	}
}

// freshen has what is too old swept, when it is time to, beside whatever is read.
func (d *Disk) freshen() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.now(); now.Sub(d.looked) >= sweepEvery {
		d.looked = now
		d.sweeping.Go(func() {
			left := d.sweep()
			d.mu.Lock()
			defer d.mu.Unlock()
			d.bytes = left
		})
	}
}

type kept struct {
	path    string
	size    int64
	written time.Time
}

// sweep removes what is too old, and then the oldest down to three quarters of the bound. It gives what is left.
func (d *Disk) sweep() int64 {
	var all []kept
	total, now := int64(0), d.now()
	_ = filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // gone meanwhile, or not to be read
		}
		info, err := e.Info()
		if err != nil {
			return nil
		}
		age := now.Sub(info.ModTime())
		if age > maxAge || age > abandonedAfter && strings.HasSuffix(path, ".tmp") {
			_ = os.Remove(path)
			return nil
		}
		all = append(all, kept{path, info.Size(), info.ModTime()})
		total += info.Size()
		return nil
	})
	if total <= d.limit {
		return total
	}
	slices.SortFunc(all, func(a, b kept) int { return a.written.Compare(b.written) })
	for _, f := range all {
		if total <= d.limit/4*3 {
			break
		}
		if os.Remove(f.path) == nil {
			total -= f.size
		}
	}
	return total
}
