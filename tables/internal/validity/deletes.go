package validity

import (
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"
)

// The field ids of position-delete files' columns.
const (
	deletePathID     = 2147483546
	deletePositionID = 2147483545
)

// deleteFiles checks the live delete files, and gives the deleted positions of each data file.
func (k *check) deleteFiles() map[string]map[int64]bool {
	live := map[string]entry{}
	for _, e := range k.data {
		live[e.file.FilePath()] = e
	}
	out := map[string]map[int64]bool{}
	vectors := map[string]string{}
	for _, e := range k.deletes {
		df := e.file
		name := df.FilePath()
		if df.ContentType() != iceberg.EntryContentPosDeletes {
			continue // equality deletes: Varve never writes them
		}
		of := df.ReferencedDataFile()
		if of != nil {
			k.refersTo(e, live, *of)
		}
		var positions map[string][]int64
		var err error
		if table.IsDeletionVector(df) {
			if of == nil {
				k.problem("deletion vector %s names no data file", name)
				continue
			}
			if vectors[*of] != "" {
				k.problem("%s has two deletion vectors", *of)
			}
			vectors[*of] = name
			positions, err = k.vector(df, *of)
		} else {
			positions, err = k.positionDeletes(df)
		}
		if err != nil {
			k.problem("%s: %w", name, err)
			continue
		}
		k.mark(out, live, df, positions)
	}
	for _, e := range k.deletes {
		if of := e.file.ReferencedDataFile(); of != nil && !table.IsDeletionVector(e.file) && vectors[*of] != "" {
			k.problem("%s has a deletion vector and a position-delete file, %s", *of, e.file.FilePath())
		}
	}
	return out
}

// refersTo checks a delete file of one data file.
func (k *check) refersTo(e entry, live map[string]entry, of string) {
	data, ok := live[of]
	if !ok {
		k.problem("%s deletes from %s, which is not live", e.file.FilePath(), of)
		return
	}
	if e.SequenceNum() < data.SequenceNum() {
		k.problem("%s has sequence number %d, below that of its data file, %d", e.file.FilePath(), e.SequenceNum(), data.SequenceNum())
	}
	equal(k, "spec of "+e.file.FilePath(), e.file.SpecID(), data.file.SpecID())
	equal(k, "partition of "+e.file.FilePath(), fmt.Sprint(e.file.Partition()), fmt.Sprint(data.file.Partition()))
}

// mark notes deleted positions. A position is deleted once, from rows that are there.
func (k *check) mark(out map[string]map[int64]bool, live map[string]entry, df iceberg.DataFile, positions map[string][]int64) {
	for path, rows := range positions {
		if out[path] == nil {
			out[path] = map[int64]bool{}
		}
		data, ok := live[path]
		for _, p := range rows {
			if ok && p >= data.file.Count() {
				k.problem("%s deletes row %d of %s, which has %d", df.FilePath(), p, path, data.file.Count())
			}
			if out[path][p] && !table.IsDeletionVector(df) {
				k.problem("%s deletes row %d of %s, which is deleted already", df.FilePath(), p, path)
			}
			out[path][p] = true
		}
	}
}

func (k *check) vector(df iceberg.DataFile, of string) (map[string][]int64, error) {
	bitmap, err := dv.ReadDV(k.fs, df)
	if err != nil {
		return nil, err
	}
	var rows []int64
	for p := range bitmap.Positions() {
		rows = append(rows, int64(p))
	}
	equal(k, "number of rows of "+df.FilePath(), df.Count(), int64(len(rows)))
	return map[string][]int64{of: rows}, nil
}

func (k *check) positionDeletes(df iceberg.DataFile) (map[string][]int64, error) {
	f, err := open(k.fs, df.FilePath())
	if err != nil {
		return nil, err
	}
	k.footer(f, df.FilePath())
	equal(k, "size of "+df.FilePath(), df.FileSizeBytes(), f.size)
	path, position := f.leafOf(deletePathID), f.leafOf(deletePositionID)
	if path < 0 || position < 0 {
		return nil, fmt.Errorf("it has no columns of paths and positions")
	}
	for at := range f.leaves {
		k.statistics(f, df, at)
	}
	paths, positions := f.all(path), f.all(position)
	equal(k, "number of rows of "+df.FilePath(), df.Count(), int64(len(paths)))
	out := map[string][]int64{}
	for i, p := range paths {
		if of := df.ReferencedDataFile(); of != nil && p != *of {
			k.problem("%s is of %s and deletes from %v", df.FilePath(), *of, p)
		}
		if i > 0 && (compare(paths[i-1], p) > 0 || paths[i-1] == p && positions[i-1].(int64) >= positions[i].(int64)) {
			k.problem("%s is not sorted by path and position", df.FilePath())
		}
		out[p.(string)] = append(out[p.(string)], positions[i].(int64))
	}
	return out, nil
}
