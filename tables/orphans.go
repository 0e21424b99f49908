package tables

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/maintain"
)

// PlanOrphans lists the files under the table's location that nothing names, without removing any: neither a snapshot of
// any branch or tag, nor statistics, the log of metadata files, or a checkpoint's state. Files of other tables are passed
// over, and what is younger than options allow, by the store's own clock.
//
// It is ErrShared where other tables or branches may name the files: in Nessie, and for a folder of several tables.
func (t *Table) PlanOrphans(ctx context.Context, options maintain.OrphanOptions) (*maintain.Orphans, error) {
	if t.lake.cat.HeadOnly() {
		return nil, fmt.Errorf("orphans of %s: %w: other branches, and the history of each, may name them. Nessie's own garbage collector, nessie-gc, looks at all of them", t.name, maintain.ErrShared)
	}
	if !t.tbl.Metadata().Properties().GetBool(table.GCEnabledKey, table.GCEnabledDefault) {
		return nil, fmt.Errorf("orphans of %s: %w: gc.enabled is false", t.name, maintain.ErrShared)
	}
	now, err := t.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	around := maintain.Surroundings{Staging: stagingFolder, State: stateFolder}
	if around.Foreign, around.Written, err = t.foreignFolders(ctx); err != nil {
		return nil, fmt.Errorf("orphans of %s: %w", t.name, err)
	}
	if around.States, err = now.states(ctx); err != nil {
		return nil, fmt.Errorf("orphans of %s: %w", t.name, err)
	}
	var later *Table
	found, err := maintain.FindOrphans(ctx, now.tbl, func(ctx context.Context) (*table.Table, error) {
		later, err = now.Refresh(ctx)
		if err != nil {
			return nil, err
		}
		return later.tbl, nil
	}, around, options)
	if err != nil {
		return nil, fmt.Errorf("orphans of %s: %w", t.name, err)
	}
	return found, later.keepStates(ctx, found)
}

// RemoveOrphans removes what PlanOrphans found and the table still does not name.
func (t *Table) RemoveOrphans(ctx context.Context, plan *maintain.Orphans, progress func(files int64)) (maintain.RemovedOrphans, error) {
	now, err := t.Refresh(ctx)
	if err != nil {
		return maintain.RemovedOrphans{}, err
	}
	if err := now.keepStates(ctx, plan); err != nil {
		return maintain.RemovedOrphans{}, err
	}
	removed, err := plan.Remove(ctx, now.tbl, progress)
	for _, o := range plan.Files {
		t.lake.cache.Forget(o.URI)
	}
	if err != nil {
		return removed, fmt.Errorf("remove orphans of %s: %w", t.name, err)
	}
	return removed, nil
}

// keepStates takes out of a plan the state files that the table names by now.
func (t *Table) keepStates(ctx context.Context, plan *maintain.Orphans) error {
	used, err := t.states(ctx)
	if err != nil {
		return fmt.Errorf("orphans of %s: %w", t.name, err)
	}
	names := map[string]bool{}
	for _, uri := range used {
		names[stateName(uri)] = true
	}
	plan.Keep(func(o maintain.Orphan) bool { return o.Kind != maintain.KindState || !names[stateName(o.URI)] })
	return nil
}

// foreignFolders are those of the lake's other tables, and those that they write to beside. A table that cannot be loaded,
// or that the catalog does not list, could lie anywhere: that is an error.
func (t *Table) foreignFolders(ctx context.Context) (folders, written []string, err error) {
	names, err := t.lake.Tables(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(names, t.name) {
		return nil, nil, fmt.Errorf("%w: the catalog's list of tables lacks it, and so may lack others", maintain.ErrShared)
	}
	for _, name := range names {
		if name == t.name {
			continue
		}
		other, err := t.lake.Table(ctx, name)
		if errors.Is(err, ErrNoSuchTable) {
			continue // it was dropped meanwhile
		}
		if err != nil {
			return nil, nil, fmt.Errorf("where %s lies: %w", name, err)
		}
		folders = append(folders, other.Location())
		for _, key := range []string{"write.data.path", "write.metadata.path", "write.object-storage.path", "write.folder-storage.path"} {
			if path := other.Properties()[key]; path != "" {
				written = append(written, path)
			}
		}
	}
	return folders, written, nil
}

// stateForm is how a state file is named, in whatever a checkpoint or another state file says.
var stateForm = regexp.MustCompile(`/` + stateFolder + `/([A-Za-z0-9._-]+)`)

func stateName(uri string) string { return uri[strings.LastIndexByte(uri, '/')+1:] }

// statesIn are the state files that checkpoints name themselves.
func (t *Table) statesIn(checkpoints map[string]string) (uris []string) {
	for _, text := range checkpoints {
		for _, m := range stateForm.FindAllStringSubmatch(text, -1) {
			uris = append(uris, t.Location()+"/"+stateFolder+"/"+m[1])
		}
	}
	return uris
}

// states are the state files that the table's checkpoints name, now and at each of its snapshots, and those that these
// name in turn.
func (t *Table) states(ctx context.Context) ([]string, error) {
	known := map[string]bool{}
	var todo []string
	look := func(text []byte) {
		for _, m := range stateForm.FindAllSubmatch(text, -1) {
			if name := string(m[1]); !known[name] {
				known[name] = true
				todo = append(todo, name)
			}
		}
	}
	lookIn := func(properties map[string]string) {
		for _, text := range checkpointsIn(properties) {
			look([]byte(text))
		}
	}
	lookIn(t.tbl.Properties())
	for _, s := range t.tbl.Metadata().Snapshots() {
		if s.Summary != nil {
			lookIn(s.Summary.Properties)
		}
	}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		text, err := t.firstLine(ctx, t.Location()+"/"+stateFolder+"/"+name)
		if errors.Is(err, ErrAbsent) {
			continue // of a snapshot that came by a copy of the metadata; nothing is left to keep
		}
		if err != nil {
			return nil, fmt.Errorf("state file %s: %w", name, err)
		}
		look(text)
	}
	out := slices.Sorted(maps.Keys(known))
	for i, name := range out {
		out[i] = t.Location() + "/" + stateFolder + "/" + name
	}
	return out, nil
}

// firstLine reads the first line of a state file: a state that is a list names others in its header, and one that is a
// JSON object is a line. A binary one names none.
func (t *Table) firstLine(ctx context.Context, uri string) ([]byte, error) {
	f, err := t.open(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body := bufio.NewReader(f)
	magic, err := body.Peek(4)
	switch {
	case errors.Is(err, io.EOF), bytes.Equal(magic, []byte("PAR1")):
		return nil, nil
	case err != nil:
		return nil, err
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		zip, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = bufio.NewReader(zip)
	}
	line, err := body.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return line, err
}
