package datafile

import (
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// carried is a row group on its way from one file to another. The last one of a file closes it.
type carried struct {
	group *CarriedGroup
	from  *Carried
	left  *atomic.Int64
}

func (c *carried) release() {
	if c != nil && c.left.Add(-1) == 0 {
		_ = c.from.source.Close()
	}
}

// Carry takes over all rows of a data file by laying its row groups into the files being written, as bytes. It is false, and
// nothing happened, if the file's rows have to be written: some are deleted, the table is sorted, a column is stored otherwise
// than the writer would, with another codec or without a Bloom filter that the table wants, or its row groups are small.
//
// In format version 3 rows keep their ids and the numbers of their last change: where the file leaves them to its manifest
// entry, the two columns are made.
func (w *Writer) Carry(task table.FileScanTask) (bool, error) {
	if w.sort != nil || len(task.DeleteFiles)+len(task.DeletionVectorFiles)+len(task.EqualityDeleteFiles) > 0 {
		return false, nil
	}
	if err := w.failure(); err != nil {
		return false, err
	}
	if w.carrier == nil {
		var err error
		if w.carrier, err = w.newCarrier(); err != nil {
			return false, err
		}
	}
	f, err := w.carrier.Open(w.ctx, task.File)
	if err != nil || f == nil {
		return false, err
	}
	if !f.fitsWhole() {
		return false, f.source.Close()
	}
	left := new(atomic.Int64)
	left.Store(int64(f.RowGroups()))
	p := w.split.holding(presentValues(task.File.Partition()), f.partitionPath())
	for i := range f.RowGroups() {
		if err := w.submitCarried(p, &carried{from: f, left: left}, i, task); err != nil {
			if left.Add(-int64(f.RowGroups()-i)) == 0 {
				_ = f.source.Close()
			}
			w.fail(err)
			return false, fmt.Errorf("carry %s: %w", task.File.FilePath(), err)
		}
	}
	w.carriedBytes += f.end
	return true, nil
}

// CarriedBytes is how many bytes Carry has taken over.
func (w *Writer) CarriedBytes() int64 { return w.carriedBytes }

// fitsWhole says whether every column of every row group can stay as it is, but for those of row lineage that are not there.
func (f *Carried) fitsWhole() bool {
	l := f.carrier.layout
	for g, rg := range f.footer.RowGroups {
		if rg.NumRows == 0 {
			return false
		}
		for i := range f.columns {
			if f.columns[i].to == 0 && iceberg.IsMetadataColumn(l.schema.Field(i).ID) && !f.has(l.schema.Field(i).ID) {
				continue
			}
			if !f.Fits(g, i) {
				return false
			}
		}
		for leaf, chunk := range rg.Columns {
			_, wanted := l.bloom[f.footer.Schema.Column(leaf).Path()]
			if int32(chunk.MetaData.Codec) != int32(l.codec) || wanted && chunk.MetaData.BloomFilterOffset == nil {
				return false
			}
		}
	}
	return true
}

func (f *Carried) has(id int) bool {
	root := f.footer.Schema.Root()
	for i := range root.NumFields() {
		if int(root.Field(i).FieldID()) == id {
			return true
		}
	}
	return false
}

// submitCarried has a row group of another file laid into a partition's file.
func (w *Writer) submitCarried(p *partition, c *carried, group int, task table.FileScanTask) error {
	rows := c.from.footer.RowGroups[group].NumRows
	size := int64(0)
	for _, chunk := range c.from.footer.RowGroups[group].Columns {
		size += chunk.MetaData.TotalCompressedSize
	}
	if p.file != nil && p.file.expected+size/2 > w.layout.targetBytes {
		w.finish(p)
	}
	if p.file == nil {
		if err := w.openFile(p); err != nil {
			return err
		}
	}
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		return w.failure()
	}
	encoded := make(chan fragment, 1)
	go func() {
		out := fragment{rows: rows, carried: c}
		if out.err = c.encode(group, rows, task); out.err == nil {
			out.nans = c.group.nans
		}
		encoded <- out
	}()
	p.file.expect(rowGroup{rows: rows}, size)
	p.file.queue <- encoded // never blocks: the queue has room for as many as there are slots
	return nil
}

// encode makes the row group as it will be: its columns are carried, but for those of row lineage that it leaves to the file's
// manifest entry.
func (c *carried) encode(group int, rows int64, task table.FileScanTask) (err error) {
	if c.group, err = c.from.Begin(group, rows); err != nil {
		return err
	}
	for i, leaves := range c.from.columns {
		if leaves.to > 0 {
			continue
		}
		values := lineageValues(c.from.carrier.layout.schema.Field(i).ID, c.from.starts[group], rows, task)
		err := c.group.Encode([]int{i}, [][]arrow.Array{{values}})
		values.Release()
		if err != nil {
			return err
		}
	}
	return c.group.End()
}

// lineageValues are those of rows from a position on, by the file's manifest entry; null where that has none.
func lineageValues(column int, first, rows int64, task table.FileScanTask) arrow.Array {
	b := array.NewInt64Builder(allocator)
	defer b.Release()
	b.Reserve(int(rows))
	switch {
	case column == iceberg.RowIDFieldID && task.FirstRowID != nil:
		for at := first; at < first+rows; at++ {
			b.UnsafeAppend(*task.FirstRowID + at)
		}
	case column == iceberg.LastUpdatedSequenceNumberFieldID && task.DataSequenceNumber != nil:
		for range rows {
			b.UnsafeAppend(*task.DataSequenceNumber)
		}
	default:
		b.AppendNulls(int(rows))
	}
	return b.NewArray()
}

// holding is the partition of the values given.
func (p *partitioner) holding(values map[int]any, path string) *partition {
	if len(p.fields) == 0 {
		return p.order[0]
	}
	key := "carried " + PartitionKey(0, values) // no key of rows begins so: theirs begin with 0 or 1
	part := p.groups[key]
	if part == nil {
		part = &partition{values: values, path: path}
		p.groups[key] = part
		p.order = append(p.order, part)
	}
	return part
}
