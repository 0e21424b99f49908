package validity

import (
	"fmt"

	"github.com/apache/iceberg-go"
)

// dataFile checks one live data file: what its entry says, and what its footer and page indexes say, against its values.
func (k *check) dataFile(e entry) {
	df := e.file
	if df.FileFormat() != iceberg.ParquetFile {
		k.problem("%s is a data file of format %s", df.FilePath(), df.FileFormat())
		return
	}
	f := k.files[df.FilePath()]
	if f == nil {
		var err error
		if f, err = open(k.fs, df.FilePath()); err != nil {
			k.problem("%s: %w", df.FilePath(), err)
			return
		}
		k.files[df.FilePath()] = f
		k.footer(f, df.FilePath())
	}
	name := df.FilePath()
	equal(k, "size of "+name, df.FileSizeBytes(), f.size)
	equal(k, "number of rows of "+name, df.Count(), f.parsed.NumRows())
	k.splitOffsets(f, df)
	for at, l := range f.leaves {
		if l.id == 0 {
			k.problem("%s: column %s has no field id", name, l.path)
			continue
		}
		k.statistics(f, df, at)
		field, ok := k.fieldOf(l.id)
		if now, live := k.meta.CurrentSchema().FindFieldByID(l.id); ok && live && now.Required && !l.repeated && at < len(f.leaves) && field.ID == l.id {
			k.required(f, name, at, field)
		}
	}
	k.layout(f, df)
}

// required checks that a required top-level column has no nulls.
func (k *check) required(f *file, name string, at int, field iceberg.NestedField) {
	if field.Name != f.leaves[at].path {
		return // in a struct, which may be null itself
	}
	for row, v := range f.all(at) {
		if v == nil {
			k.problem("%s: row %d has no value of required column %s", name, row, field.Name)
			return
		}
	}
}

func (k *check) splitOffsets(f *file, df iceberg.DataFile) {
	said := df.SplitOffsets()
	if said == nil {
		return
	}
	var is []int64
	for _, g := range f.parsed.Metadata().RowGroups {
		is = append(is, chunkStart(&g.Columns[0].MetaData))
	}
	equal(k, "split offsets of "+df.FilePath(), fmt.Sprint(said), fmt.Sprint(is))
}

// statistics compares an entry's counts, sizes and bounds of a column with its values.
func (k *check) statistics(f *file, df iceberg.DataFile, at int) {
	l := f.leaves[at]
	name := df.FilePath() + ": column " + l.path
	var values, nulls, nans, size int64
	for g, columns := range f.groups {
		for _, v := range columns[at].values {
			values++
			switch {
			case v == nil:
				nulls++
			case isNaN(v):
				nans++
			}
		}
		size += f.parsed.Metadata().RowGroups[g].Columns[at].MetaData.TotalCompressedSize
	}
	for what, pair := range map[string]struct {
		said map[int]int64
		is   int64
	}{
		"value count": {df.ValueCounts(), values}, "null count": {df.NullValueCounts(), nulls},
		"NaN count": {df.NaNValueCounts(), nans}, "size": {df.ColumnSizes(), size},
	} {
		if said, ok := pair.said[l.id]; ok {
			equal(k, name+": "+what, said, pair.is)
		}
	}
	for _, bound := range []struct {
		of    map[int][]byte
		upper bool
	}{{df.LowerBoundValues(), false}, {df.UpperBoundValues(), true}} {
		b, ok := bound.of[l.id]
		if !ok {
			continue
		}
		limit, err := l.bound(b)
		if err != nil {
			k.problem("%s: bound: %w", name, err)
			continue
		}
		if isNaN(limit) {
			k.problem("%s: NaN is no bound", name)
		}
		if v, out := outside(f.all(at), limit, bound.upper); out {
			k.problem("%s: bound %v excludes %v", name, limit, v)
		}
	}
}

// outside finds a value beyond a bound. Bounds are not of NaNs.
func outside(values []any, limit any, upper bool) (any, bool) {
	for _, v := range values {
		if v == nil || isNaN(v) {
			continue
		}
		if c := compare(v, limit); upper && c > 0 || !upper && c < 0 {
			return v, true
		}
	}
	return nil, false
}
