package datafile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// outFile is a data file being written. One goroutine of its own lays the row groups into it, in the order submitted, as they
// come from the encoders.
type outFile struct {
	uri       string
	partition *partition
	sink      iceio.FileWriter
	out       *bufio.Writer
	assembler *assembler
	queue     chan chan fragment
	nans      map[int]int64
	described iceberg.DataFile

	// expected is the size foreseen of everything submitted; it is corrected by what the row groups laid so far took.
	expected  int64
	submitted int64        // rows
	written   atomic.Int64 // bytes
	laid      atomic.Int64 // rows

	sorted bool
	last   []byte // greatest key so far
}

func (w *Writer) openFile(p *partition) error {
	if len(w.open) == cap(w.open) {
		// Where all are being closed already, waiting is enough.
		if least := w.leastUsed(); least != nil {
			w.finish(least)
		}
	}
	select {
	case w.open <- struct{}{}:
	case <-w.ctx.Done():
		return w.failure()
	}
	name := fmt.Sprintf("%s%s-%05d.parquet", prefixed(w.prefix), w.id, len(w.files))
	f := &outFile{uri: w.layout.place(p.path, name), partition: p, queue: make(chan chan fragment, cap(w.slots)), nans: map[int]int64{}, sorted: w.claims}
	sink, err := w.fs.Create(f.uri)
	if err != nil {
		<-w.open
		return fmt.Errorf("create %s: %w", f.uri, err)
	}
	f.sink, f.out = sink, buffered(sink)
	w.files = append(w.files, f)
	p.file = f
	w.running.Go(func() {
		defer func() { <-w.open }()
		if err := w.run(f); err != nil {
			w.fail(fmt.Errorf("write %s: %w", f.uri, err))
		}
	})
	return nil
}

func prefixed(prefix string) string {
	if prefix == "" {
		return ""
	}
	return prefix + "-"
}

func (w *Writer) leastUsed() *partition {
	var least *partition
	for _, p := range w.split.order {
		if p.file != nil && (least == nil || p.lastUsed < least.lastUsed) {
			least = p
		}
	}
	return least
}

// finish ends a partition's file; its goroutine closes it once all row groups are in.
func (w *Writer) finish(p *partition) {
	if p.file == nil {
		return
	}
	close(p.file.queue)
	p.file = nil
}

// expect notes what a submitted row group will bring.
func (f *outFile) expect(g rowGroup, size int64) {
	if f.sorted {
		f.sorted = f.last == nil || bytes.Compare(f.last, g.first) <= 0
		f.last = g.last
	}
	f.submitted += g.rows
	f.expected = f.written.Load() + size*(f.submitted-f.laid.Load())/g.rows
}

// run lays row groups into the file until the queue is closed, then ends the file. Every queued row group is taken off the
// queue and its slot freed, also after a failure.
func (w *Writer) run(f *outFile) (err error) {
	f.assembler, err = newAssembler(f.out)
	for encoded := range f.queue {
		frag := <-encoded
		if err == nil {
			err = frag.err
		}
		if err == nil {
			err = w.lay(f, frag)
		}
		frag.release()
		if err != nil {
			w.fail(fmt.Errorf("write %s: %w", f.uri, err))
		}
		<-w.slots
	}
	if err == nil {
		err = w.failure()
	}
	if err != nil {
		abandon(f.sink)
	} else {
		err = w.end(f)
	}
	// The writer keeps its files for their descriptions: a thousand of them must not hold what they were written through.
	giveBack(f.out)
	f.sink, f.out, f.assembler = nil, nil, nil
	return err
}

// outBuffers are those between files and their sinks, used again by the next file.
var outBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 256<<10) }}

func buffered(sink io.Writer) *bufio.Writer {
	out := outBuffers.Get().(*bufio.Writer)
	out.Reset(sink)
	return out
}

func giveBack(out *bufio.Writer) {
	out.Reset(nil)
	outBuffers.Put(out)
}

// abandon closes a file that is not to be: where Close is what makes a file visible, there is a way not to.
func abandon(w iceio.FileWriter) {
	if a, ok := w.(interface{ Abort() error }); ok {
		_ = a.Abort()
		return
	}
	_ = w.Close()
}

// conclude ends a file that was written with an error or without.
func conclude(w iceio.FileWriter, err error) error {
	if err == nil {
		err = syncFile(w)
	}
	if err != nil {
		abandon(w)
		return err
	}
	return w.Close()
}

func (w *Writer) lay(f *outFile, frag fragment) error {
	before := f.assembler.size()
	add := func() error { return f.assembler.splice(frag.row, frag.pieces, frag.rows) }
	if c := frag.carried; c != nil {
		add = func() error { return f.assembler.splice(c.group.row, c.group.pieces, c.group.rows) }
	}
	if err := add(); err != nil {
		if frag.carried != nil {
			err = fmt.Errorf("copy from %s: %w", frag.carried.from.df.FilePath(), err)
		}
		return err
	}
	w.laidBytes.Add(f.assembler.size() - before)
	w.laidRows.Add(frag.rows)
	for id, n := range frag.nans {
		f.nans[id] += n
	}
	f.written.Store(f.assembler.size())
	f.laid.Add(frag.rows)
	return nil
}

// end writes the footer and makes sure that the bytes are on disk, or at the store, before the file is described.
func (w *Writer) end(f *outFile) error {
	footer, err := f.assembler.finish(w.layout.keyValues)
	if err == nil {
		err = f.out.Flush()
	}
	if err := conclude(f.sink, err); err != nil {
		return err
	}
	order := table.UnsortedSortOrderID
	if f.sorted {
		order = w.layout.order.OrderID()
	}
	f.described, err = w.layout.describe(described{
		uri: f.uri, size: f.assembler.size(), footer: footer, partition: f.partition.values, sortOrderID: order, nans: f.nans,
	})
	return err
}

// syncFile is a no-op where a file's Close is what makes it durable, as at object stores.
func syncFile(w iceio.FileWriter) error {
	if s, ok := w.(interface{ Sync() error }); ok {
		return s.Sync()
	}
	return nil
}

// syncDirectories makes local files' names durable: in the folders they are in, and those in the folders above, which may be
// new too, up to the table's.
func syncDirectories(uris []string, table string) error {
	root, _ := localPath(table)
	done := map[string]bool{}
	for _, uri := range uris {
		path, ok := localPath(uri)
		if !ok {
			continue
		}
		for dir := filepath.Dir(path); !done[dir]; dir = filepath.Dir(dir) {
			done[dir] = true
			if err := syncDirectory(dir); err != nil {
				return fmt.Errorf("sync folder of %s: %w", uri, err)
			}
			if dir == root || !strings.HasPrefix(dir, root) {
				break
			}
		}
	}
	return nil
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems cannot sync a folder
		return err
	}
	return nil
}

// localPath is the path of a URI on the local file system.
func localPath(uri string) (string, bool) {
	if !strings.HasPrefix(uri, "file:") {
		return uri, filepath.IsAbs(uri)
	}
	u, err := url.Parse(uri)
	if err != nil || u.Path == "" {
		return "", false
	}
	return filepath.FromSlash(u.Path), true
}

// place is the URI of a new data file.
func (l *layout) place(partition, name string) string {
	partition = safePath(partition)
	base, ok := l.props[table.WriteDataPathKey]
	if !ok {
		base = strings.TrimRight(l.location, "/") + "/data"
	}
	simple := strings.TrimRight(base, "/") + "/" + partition + name
	if !l.props.GetBool(table.ObjectStoreEnabledKey, table.ObjectStoreEnabledDefault) {
		return simple
	}
	hashed := l.locations.NewDataLocation(name)
	if !strings.HasPrefix(hashed, base) { // its URL handling changed the location
		return simple
	}
	if !l.props.GetBool(table.WriteObjectStorePartitionedPathsKey, table.WriteObjectStorePartitionedPathsDefault) {
		return hashed
	}
	return strings.TrimSuffix(hashed, name) + partition + name
}

// safePath keeps partition folders readable and harmless: partition values are in the manifest, folders only help the eye, and
// engines differ in how they unescape them.
func safePath(partition string) string {
	parts := strings.Split(partition, "/")
	for i, part := range parts {
		part = strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("_.=-", r):
				return r
			}
			return '_'
		}, part)
		parts[i] = part[:min(len(part), 120)]
	}
	return strings.Join(parts, "/")
}
