package activities

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ages gives the files of a folder the age that they have by the clock of a test, for the file system has its own.
type ages map[string]time.Time

func (made ages) set(folder string) error {
	probe := filepath.Join(folder, "clock")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return err
	}
	info, err := os.Stat(probe)
	if err != nil {
		return err
	}
	if err := os.Remove(probe); err != nil {
		return err
	}
	return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if _, ok := made[path]; !ok {
			made[path] = time.Now()
		}
		then := info.ModTime().Add(-time.Since(made[path]))
		return os.Chtimes(path, then, then)
	})
}

// onDisk is what a table's folder holds.
type onDisk struct {
	files, metadata, states, staged int
	bytes                           int64
}

func look(folder string) (out onDisk, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out.files, out.bytes = out.files+1, out.bytes+info.Size()
		switch rest, _ := strings.CutPrefix(path, folder); {
		case strings.HasSuffix(rest, ".metadata.json"):
			out.metadata++
		case strings.HasPrefix(rest, "/_varve/"):
			out.states++
		case strings.HasPrefix(rest, "/_staging/"):
			out.staged++
		}
		return nil
	})
	return out, err
}
