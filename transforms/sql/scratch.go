package sql

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// DuckDB spills into a folder, and a process that is killed leaves it behind with all that is in it. So each folder has a file
// that its process holds a lock on, which the system takes back however the process ends; who opens an engine in the same place
// removes the folders of the dead.
const (
	scratchPrefix = "varve-sql-"
	lockName      = "lock"
	// unlockedFor is how old a folder without such a file may be: one that is being made has none yet, and neither have those of
	// workers of an earlier version, which run on beside this one until their builds are done.
	unlockedFor = 7 * 24 * time.Hour
)

// scratch is an engine's own folder.
type scratch struct {
	path string
	lock *os.File
}

// newScratch makes a folder in dir, which is made too, and removes those of dead processes.
func newScratch(dir string) (*scratch, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	removeAbandoned(dir)
	path, err := os.MkdirTemp(dir, scratchPrefix+"*")
	if err != nil {
		return nil, err
	}
	s := &scratch{path: path}
	if s.lock, err = lockedFile(path); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// lockedFile makes the lock file. It is there under its name only when it is locked.
func lockedFile(folder string) (*os.File, error) {
	name := filepath.Join(folder, lockName)
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
	}
	return f, os.Rename(name+".new", name)
}

func (s *scratch) remove() error {
	err := os.RemoveAll(s.path)
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// removeAbandoned does what it can: what is left is left for the next one.
func removeAbandoned(dir string) {
	folders, err := filepath.Glob(filepath.Join(dir, scratchPrefix+"*"))
	if err != nil {
		return
	}
	for _, folder := range folders {
		if abandoned(folder) {
			_ = os.RemoveAll(folder)
		}
	}
}

func abandoned(folder string) bool {
	f, err := os.OpenFile(filepath.Join(folder, lockName), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		info, err := os.Stat(folder)
		return err == nil && time.Since(info.ModTime()) > unlockedFor
	}
	if err != nil {
		return false
	}
	defer f.Close()
	return tryLock(f) == nil
}

// tryLock takes a lock that ends with the process, or fails if another has it.
func tryLock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
