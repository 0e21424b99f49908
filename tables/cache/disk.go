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
	magic = "varve cache 1\n"
	// maxAge is how long a file is kept unread, whatever room there is: statistics in it may name values that were erased from
	// the table since.
	maxAge = 7 * 24 * time.Hour
	// touchAfter is how old a file's time may grow before reading it makes it young again.
	touchAfter = time.Hour
)

// Disk keeps bytes in a folder within a bound. Several processes may use one folder: a file appears whole under its name or not
// at all, and begins with a digest of its key and content, so that one that a crash, a full disk or anything else has damaged
// is taken for absent. Whatever goes wrong with the folder, the bytes are then read from where they came from.
type Disk struct {
	dir   string
	limit int64

	mu     sync.Mutex
	bytes  int64 // in the folder, by the last look and what this process has written since
	looked bool
}

// NewDisk keeps so many bytes in a folder, which is made when needed.
func NewDisk(dir string, limit int64) *Disk { return &Disk{dir: dir, limit: limit} }

func (d *Disk) path(key string) string {
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:])
	return filepath.Join(d.dir, name[:2], name[2:])
}

func seal(key string, content []byte) []byte {
	h := sha256.New()
	h.Write([]byte(key))
	h.Write([]byte{0})
	h.Write(content)
	return h.Sum(nil)
}

// Get gives the bytes of a key, if they are there.
func (d *Disk) Get(key string) ([]byte, bool) {
	path := d.path(key)
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	const head = len(magic) + sha256.Size
	if len(raw) < head || string(raw[:len(magic)]) != magic || !bytes.Equal(raw[len(magic):head], seal(key, raw[head:])) {
		_ = os.Remove(path)
		return nil, false
	}
	if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > touchAfter {
		now := time.Now()
		_ = os.Chtimes(path, now, now)
	}
	return raw[head:], true
}

// Put keeps the bytes of a key, if it can.
func (d *Disk) Put(key string, content []byte) {
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

// account counts what was written, and makes room when there is too much. Other processes write too, so that the folder is
// looked through at first and whenever the bound seems reached.
func (d *Disk) account(size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bytes += size
	if !d.looked || d.bytes > d.limit {
		d.bytes, d.looked = d.sweep(), true
	}
}

type kept struct {
	path string
	size int64
	used time.Time
}

// sweep removes what is too old, and then the least recently used down to three quarters of the bound. It gives what is left.
func (d *Disk) sweep() int64 {
	var all []kept
	total, now := int64(0), time.Now()
	_ = filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // gone meanwhile, or not to be read
		}
		info, err := e.Info()
		if err != nil {
			return nil
		}
		age := now.Sub(info.ModTime())
		if age > maxAge || age > touchAfter && strings.HasSuffix(path, ".tmp") {
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
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
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
