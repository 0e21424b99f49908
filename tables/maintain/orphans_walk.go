package maintain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/store"
)

// sweep is one walk through a table's folder.
type sweep struct {
	store   listing
	places  *places
	refs    *references
	root    place
	listed  string // the root as it is listed: with the links on the way to it followed
	around  Surroundings
	foreign map[place]string // folders of other tables, by place
	fields  map[string]bool  // the names of partition fields, which may begin with an underscore
	options OrphanOptions
	busy    map[string]bool // staging areas with a young file
	uuid    string          // the table's
	another string          // metadata of another table in the table's own folder, which no catalog that is known names
	out     *Orphans
}

func newSweep(ctx context.Context, t *table.Table, around Surroundings, o OrphanOptions) (*sweep, error) {
	files, err := t.FS(ctx)
	if err != nil {
		return nil, err
	}
	able, ok := files.(listing)
	if !ok {
		return nil, fmt.Errorf("list %s: its store cannot list folders", t.Location())
	}
	now, err := storeTime(able, t.Location()+"/"+around.Staging)
	if err != nil {
		return nil, err
	}
	s := &sweep{
		store: able, places: &places{}, around: around, options: o, foreign: map[place]string{}, fields: map[string]bool{}, busy: map[string]bool{},
		out: &Orphans{Before: now.Add(-o.OlderThan), head: t.MetadataLocation()},
	}
	s.refs, s.uuid = newReferences(s.places), t.Metadata().TableUUID().String()
	s.listed = strings.TrimRight(t.Location(), "/")
	if local(s.listed) {
		if s.listed, err = linkless(s.listed); err != nil {
			return nil, err
		}
	}
	s.root = s.places.of(s.listed)
	for _, uri := range around.States {
		s.refs.add(uri)
	}
	for _, spec := range t.Metadata().PartitionSpecs() {
		for _, f := range spec.Fields() {
			s.fields[f.Name] = true
		}
	}
	return s, s.neighbours()
}

// neighbours declines where the folder is another table's too, or lies in a folder of another's: files that the other names
// may lie here then. A catalog that makes folders of namespaces puts the table b.data into the folder in which the table b has
// its data.
func (s *sweep) neighbours() error {
	for _, uri := range slices.Concat(s.around.Foreign, s.around.Written) {
		folder := strings.TrimRight(uri, "/")
		if local(folder) {
			if real, err := linkless(folder); err == nil { // else it is not there
				folder = real
			}
		}
		at := s.places.of(folder)
		if s.root.within(at) {
			return fmt.Errorf("%w: another table writes to %s", ErrShared, uri)
		}
		if at.within(s.root) {
			s.foreign[at] = uri
		}
	}
	return nil
}

// visit judges one file. Links are neither followed nor removed.
func (s *sweep) visit(ctx context.Context, uri string, d fs.DirEntry, err error) error {
	if err == nil {
		err = ctx.Err()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went while the folder was listed
	}
	if err != nil {
		return err
	}
	at := s.places.of(uri)
	if d.IsDir() {
		if _, another := s.foreign[at]; another {
			return fs.SkipDir
		}
		return nil
	}
	if !d.Type().IsRegular() {
		return nil
	}
	if s.out.Looked++; s.out.Looked%1000 == 0 && s.options.Progress != nil {
		s.options.Progress(s.out.Looked)
	}
	rel := strings.TrimPrefix(at.path, strings.TrimSuffix(s.root.path, "/")+"/")
	s.discover(rel)
	kind, run := s.kind(rel)
	if kind == "" || s.refs.has(at) {
		return nil
	}
	if kind == KindMetadata && isMetadata(rel) && s.another == "" {
		of, err := tableOf(s.store, uri)
		if err != nil {
			return err
		}
		if of != "" && of != s.uuid {
			s.another = uri
		}
	}
	info, err := d.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s.found(Orphan{URI: uri, Kind: kind, Size: info.Size(), Modified: info.ModTime().UTC(), at: at, run: run})
	return nil
}

func (s *sweep) found(f Orphan) {
	switch {
	case !f.Modified.Before(s.out.Before):
		s.out.Young++
		if f.run != "" {
			s.busy[f.run] = true
		}
	case len(s.out.Files) == s.options.Limit:
		s.out.More = true
	default:
		s.out.Files = append(s.out.Files, f)
	}
}

// discover notes a folder that is another table's, though no catalog was asked about it, by the metadata that lies in it.
func (s *sweep) discover(rel string) {
	dir, name := path.Split(rel)
	dir = strings.TrimSuffix(dir, "/")
	var of string
	switch {
	case path.Base(dir) == "metadata" && isMetadata(name):
		if of = path.Dir(dir); of == "." {
			return // the table's own
		}
	case path.Base(dir) == "_delta_log":
		of = path.Dir(dir)
	default:
		return
	}
	at := place{store: s.root.store, path: path.Join(s.root.path, of)}
	if _, known := s.foreign[at]; !known {
		s.foreign[at] = at.path
	}
}

// kind tells what a file is, by where it lies; "" for what is none of the table's business: files and folders that are
// hidden, as Hadoop's are, by a dot or an underscore.
func (s *sweep) kind(rel string) (kind, run string) {
	elements := strings.Split(rel, "/")
	folders, name := elements[:len(elements)-1], elements[len(elements)-1]
	if len(folders) > 0 && folders[0] == s.around.Staging {
		if len(folders) > 1 {
			run = folders[1]
		}
		return KindStaging, run
	}
	if len(folders) == 1 && folders[0] == s.around.State {
		if store.IsTemporary(name) {
			return KindTemporary, ""
		}
		return KindState, ""
	}
	for _, folder := range folders {
		if field, _, isPartition := strings.Cut(folder, "="); hidden(folder) && !(isPartition && s.fields[field]) {
			return "", ""
		}
	}
	switch {
	case store.IsTemporary(name):
		return KindTemporary, ""
	case hidden(name), name == "version-hint.text":
		return "", ""
	case len(folders) == 1 && folders[0] == "metadata":
		return KindMetadata, ""
	}
	return KindData, ""
}

func hidden(name string) bool { return strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") }

// settle takes out what turned out to be others' or in use after it was found.
func (s *sweep) settle() error {
	if _, shared := s.foreign[s.root]; shared {
		return fmt.Errorf("%w: a Delta table has the folder %s too", ErrShared, s.root.path)
	}
	if s.another != "" {
		return fmt.Errorf("%w: %s is of another table, which has the folder too", ErrShared, s.another)
	}
	s.out.Keep(func(f Orphan) bool {
		if f.run != "" && s.busy[f.run] {
			return false
		}
		for folder := f.at; folder.path != s.root.path && folder.path != "/"; {
			folder.path = path.Dir(folder.path)
			if _, another := s.foreign[folder]; another {
				return false
			}
		}
		return true
	})
	for at, uri := range s.foreign {
		if at != s.root {
			s.out.Foreign = append(s.out.Foreign, uri)
		}
	}
	return nil
}

// RemovedOrphans is what a removal came to.
type RemovedOrphans struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	// Left could not be removed. Another try finds them again.
	Left []string `json:"left,omitempty"`
}

// Remove removes what the plan found and the table, freshly loaded, still does not name. It may be called again.
func (o *Orphans) Remove(ctx context.Context, now *table.Table, progress func(files int64)) (RemovedOrphans, error) {
	var out RemovedOrphans
	files, err := now.FS(ctx)
	if err != nil {
		return out, err
	}
	if err := o.drop(ctx, now, &places{}); err != nil {
		return out, err
	}
	for from := 0; from < len(o.Files); from += 1000 {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		batch := o.Files[from:min(from+1000, len(o.Files))]
		left := removeAll(ctx, files, batch)
		out.Left = append(out.Left, left...)
		for _, f := range batch {
			if !slices.Contains(left, f.URI) {
				out.Files, out.Bytes = out.Files+1, out.Bytes+f.Size
			}
		}
		if progress != nil {
			progress(int64(out.Files))
		}
	}
	if _, ok := files.(store.Local); ok {
		o.removeFolders()
	}
	return out, nil
}

// removeAll removes files and tells which are left. One that is gone already counts as removed.
func removeAll(ctx context.Context, files iceio.IO, batch []Orphan) (left []string) {
	bulk, ok := files.(iceio.BulkRemovableIO)
	if !ok {
		for _, f := range batch {
			if err := files.Remove(f.URI); err != nil && !errors.Is(err, fs.ErrNotExist) {
				left = append(left, f.URI)
			}
		}
		return left
	}
	uris := make([]string, len(batch))
	for i, f := range batch {
		uris[i] = f.URI
	}
	removed, err := bulk.DeleteFiles(ctx, uris)
	if err == nil {
		return nil
	}
	gone := make(map[string]bool, len(removed))
	for _, uri := range removed {
		gone[uri] = true
	}
	return slices.DeleteFunc(uris, func(uri string) bool { return gone[uri] })
}

// removeFolders removes the staging areas of dead builds, once they are empty: on other stores than this machine's there
// are no folders. Folders of partitions stay, since a writer may be about to make a file there.
func (o *Orphans) removeFolders() {
	done := map[string]bool{}
	for _, f := range o.Files {
		name, err := store.Path(f.URI)
		if f.run == "" || err != nil {
			continue
		}
		for dir := filepath.Dir(name); !done[dir]; dir = filepath.Dir(dir) {
			done[dir] = true
			if os.Remove(dir) != nil || filepath.Base(dir) == f.run {
				break // something is left in it
			}
		}
	}
}
