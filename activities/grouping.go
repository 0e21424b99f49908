package activities

import (
	"context"
	"fmt"

	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/tables"
)

// grouping puts files together by number and size, in their order, and stages the groups, in chunks, while it is still
// given files: of a million names no more than a chunk's are in memory.
type grouping struct {
	groupFiles int
	groupBytes int64

	name   string // of what this attempt stages
	chunks chunker[group]
	open   group
	size   int64 // of its files
}

func (a *Activities) newGrouping(ctx context.Context, t *tables.Table, j *job) *grouping {
	const chunkBytes = 512 << 10
	s := &grouping{groupFiles: a.cfg.GroupFiles, groupBytes: a.cfg.GroupBytes, name: unique()}
	s.chunks = chunker[group]{bytes: chunkBytes, weight: weight, store: func(first int, groups []group) (string, error) {
		return stage(ctx, t, j.run(), fmt.Sprintf("groups-%s-%05d.json", s.name, first), groups)
	}}
	return s
}

// file takes one more file.
func (s *grouping) file(f sources.File) error {
	if n := len(s.open.Files); n >= s.groupFiles || s.size > 0 && s.size+f.Size > s.groupBytes {
		if err := s.close(); err != nil {
			return err
		}
	}
	s.open.Files = append(s.open.Files, f)
	s.size += f.Size
	return nil
}

func (s *grouping) close() error {
	g := s.open
	s.open, s.size = group{}, 0
	return s.chunks.add(g)
}

// end takes groups that were made otherwise, and says where all lie and how many they are.
func (s *grouping) end(groups []group) ([]chunk, int, error) {
	if len(s.open.Files) > 0 {
		if err := s.close(); err != nil {
			return nil, 0, err
		}
	}
	for _, g := range groups {
		if err := s.chunks.add(g); err != nil {
			return nil, 0, err
		}
	}
	err := s.chunks.flush()
	return s.chunks.chunks, s.chunks.groups, err
}

// weight is about the size of a group's JSON.
func weight(g group) int {
	n := 32
	for _, f := range g.Files {
		n += len(f.URI) + len(f.ETag) + 80
	}
	for _, t := range g.Tasks {
		n += len(t.Data)*4/3 + 32
	}
	return n
}
