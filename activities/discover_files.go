package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/tables"
)

// newFiles finds the files that were not loaded yet, and hands them out as it lists.
func (a *Activities) newFiles(ctx context.Context, p *pulse, t *tables.Table, j *job, take func(sources.File) error) (*found, error) {
	loaded, err := loadedFiles(ctx, t, j.Base)
	if err != nil {
		return nil, err
	}
	out := &found{}
	if j.Base != nil && j.Base.Kind != sources.FilesKind {
		out.warnings = append(out.warnings, fmt.Sprintf("%s was built from something else before: all files are loaded", j.Table.Name))
	}
	changed := 0
	notice := func(f sources.File) {
		if changed++; changed <= 5 {
			out.warnings = append(out.warnings, fmt.Sprintf("%s was loaded before and has changed since: it is not loaded again", f.URI))
		}
	}
	seen := 0
	listed := func(yield func(sources.File, error) bool) {
		for f, err := range a.store.List(ctx, j.Table.Files.Glob) {
			seen++
			p.files.Add(1)
			if !yield(f, err) {
				return
			}
		}
	}
	for f, err := range loaded.New(ctx, listed, notice) {
		if err != nil {
			return nil, err
		}
		if err := take(f); err != nil {
			return nil, err
		}
		out.files++
		out.bytes += f.Size
	}
	if changed > 5 {
		out.warnings = append(out.warnings, fmt.Sprintf("and %d more files that have changed", changed-5))
	}
	out.unchanged = out.files == 0
	out.reason = fmt.Sprintf("%d of %d files are new", out.files, seen)
	if out.unchanged {
		out.reason = fmt.Sprintf("none of %d files is new", seen)
	}
	return out, nil
}

// fileset is the checkpoint of a table that is made anew from all its files: which they were, and how it was made.
type fileset struct {
	Files      string `json:"files"` // digest of their names, sizes and times
	Count      int    `json:"count"`
	Definition string `json:"definition"`
}

// newFileset finds whether a table that holds what its files hold has to be made anew. Only when it has are the files
// handed out, which is another listing: the checkpoint is of the files that were.
func (a *Activities) newFileset(ctx context.Context, p *pulse, j *job, take func(sources.File) error) (*found, error) {
	out := &found{}
	definition, err := j.Table.Definition()
	if err != nil {
		return nil, err
	}
	now := fileset{Definition: definition}
	var before fileset
	known := readCheckpoint(j.Base, kindFileset, &before)
	again := known && before.Definition == definition // so that the files alone decide
	if again {
		if err := a.listFileset(ctx, j, &now, func(f sources.File) error {
			out.bytes += f.Size
			p.files.Add(1)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if !again || now != before {
		out.bytes = 0
		p.files.Store(0)
		if err := a.listFileset(ctx, j, &now, func(f sources.File) error {
			out.bytes += f.Size
			p.files.Add(1)
			return take(f)
		}); err != nil {
			return nil, err
		}
	}
	out.files = now.Count
	if out.next, err = checkpointOf(kindFileset, now); err != nil {
		return nil, err
	}
	switch {
	case !known:
		out.reason = fmt.Sprintf("%d files, never loaded", now.Count)
	case before == now:
		out.unchanged, out.reason = true, fmt.Sprintf("none of %d files has changed", now.Count)
	case before.Files == now.Files:
		out.reason = fmt.Sprintf("its definition has changed: all %d files are loaded again", now.Count)
	default:
		out.reason = fmt.Sprintf("files have changed: all %d are loaded again", now.Count)
	}
	return out, nil
}

// listFileset lists a table's files, and says in now which and how many they were.
func (a *Activities) listFileset(ctx context.Context, j *job, now *fileset, take func(sources.File) error) error {
	sum := sha256.New()
	now.Count = 0
	for f, err := range a.store.List(ctx, j.Table.Files.Glob) {
		if err == nil {
			err = take(f)
		}
		if err != nil {
			return err
		}
		now.Count++
		fmt.Fprintf(sum, "%s\x00%d\x00%d\x00%s\n", f.URI, f.Size, f.ModTime.UnixMicro(), f.ETag)
	}
	now.Files = hex.EncodeToString(sum.Sum(nil))
	return nil
}
