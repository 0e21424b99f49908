package tables

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

// ReplacePartitions makes the staged rows the only rows of the partitions that they lie in; other partitions stay. With
// columns, whole slices of the partitioning are replaced: of a table partitioned by days(ts) and carrier, columns ts
// replaces the days that the staged rows lie in, for all carriers. Staged rows without any replace nothing. Rows that
// others append to these partitions meanwhile are replaced too, as in Replace.
//
// Files of an older partition spec are replaced where their partition tells that all of their rows are concerned, and
// kept where it tells that none is; where it does not tell, nothing is committed and the error is an IncompatibleError.
func (t *Table) ReplacePartitions(ctx context.Context, opts CommitOptions, columns []string, staged ...*Staged) (Result, error) {
	files, result := gather(staged)
	return t.commit(ctx, "replace partitions of", opts, result, func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
		change := &commit.Change{Operation: commit.Overwrite, AddData: files}
		if len(files) == 0 {
			return change, nil
		}
		replaced, err := replacedSlices(t.name, head.Metadata(), columns, files)
		if err != nil {
			return nil, err
		}
		return change, replaced.choose(ctx, head, change)
	})
}

// partitionPart is one dimension of a partitioning, whichever spec it is in: a transform of a source column.
type partitionPart struct {
	source    int
	transform string
}

// slices says which partitions are replaced: those whose values in parts are one of keys.
type slicesReplaced struct {
	table string
	meta  table.Metadata
	parts []partitionPart
	keys  map[string]bool
	rows  [][]string // the keys' values, for comparing with files that know some of them only
}

func replacedSlices(name string, meta table.Metadata, columns []string, files []iceberg.DataFile) (*slicesReplaced, error) {
	out := &slicesReplaced{table: name, meta: meta, keys: map[string]bool{}}
	specID := files[0].SpecID()
	for _, f := range files {
		if f.SpecID() != specID {
			return nil, fmt.Errorf("staged files of different partition specs (%d and %d): stage them again", specID, f.SpecID())
		}
	}
	spec := meta.PartitionSpecByID(int(specID))
	if spec == nil {
		return nil, fmt.Errorf("staged files of partition spec %d, which the table does not have", specID)
	}
	parts, err := chosenParts(meta.CurrentSchema(), *spec, columns)
	if err != nil {
		return nil, &IncompatibleError{Table: name, Reason: err.Error()}
	}
	out.parts = parts
	for _, f := range files {
		values, _, err := out.values(f)
		if err != nil {
			return nil, err
		}
		if key := strings.Join(values, "\x00"); !out.keys[key] {
			out.keys[key] = true
			out.rows = append(out.rows, values)
		}
	}
	return out, nil
}

// chosenParts are the parts of a spec that come from the named columns; all of them if none is named.
func chosenParts(schema *iceberg.Schema, spec iceberg.PartitionSpec, columns []string) ([]partitionPart, error) {
	var parts []partitionPart
	used := map[string]bool{}
	for _, f := range spec.Fields() {
		if _, void := f.Transform.(iceberg.VoidTransform); void {
			continue
		}
		name := columnName(schema, f.SourceID())
		if len(columns) > 0 && !slices.Contains(columns, name) && !slices.Contains(columns, f.Name) {
			continue
		}
		used[name], used[f.Name] = true, true
		parts = append(parts, partitionPart{source: f.SourceID(), transform: f.Transform.String()})
	}
	for _, c := range columns {
		if !used[c] {
			return nil, fmt.Errorf("it is not partitioned by %s, but by %s", c,
				strings.Join(formatPartition(spec, schema), ", "))
		}
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("it is not partitioned: replace it as a whole")
	}
	return parts, nil
}

// values gives a file's partition in the parts. known is false for a part that the file's own spec does not have.
func (s *slicesReplaced) values(f iceberg.DataFile) (values []string, known []bool, err error) {
	spec := s.meta.PartitionSpecByID(int(f.SpecID()))
	if spec == nil {
		return nil, nil, fmt.Errorf("file %s: no partition spec %d", f.FilePath(), f.SpecID())
	}
	partition := f.Partition()
	values, known = make([]string, len(s.parts)), make([]bool, len(s.parts))
	for _, field := range spec.Fields() {
		part := partitionPart{source: field.SourceID(), transform: field.Transform.String()}
		if i := slices.Index(s.parts, part); i >= 0 {
			values[i], known[i] = partitionValue(partition[field.FieldID]), true
		}
	}
	return values, known, nil
}

// partitionValue is a value's text for comparing. Null is told apart from any text.
func partitionValue(v any) string {
	if v == nil {
		return "null"
	}
	if lit, ok := v.(interface{ Any() any }); ok {
		v = lit.Any()
	}
	return "=" + strconv.Quote(fmt.Sprint(v))
}

// choose puts the live files that are replaced into the change.
func (s *slicesReplaced) choose(ctx context.Context, head *table.Table, change *commit.Change) error {
	removed := map[string]bool{}
	return eachLiveFile(ctx, head, func(f iceberg.DataFile) error {
		if f.ContentType() != iceberg.EntryContentData {
			// Deletes of one data file go with it. Those of a partition may also be of files that stay with it in a slice of
			// an older spec: they apply to nothing else, and maintenance drops them.
			if removed[commit.ReferencedFile(f)] {
				change.RemoveDeletes = append(change.RemoveDeletes, f)
			}
			return nil
		}
		gone, err := s.covers(f)
		if gone {
			change.RemoveData = append(change.RemoveData, f)
			removed[f.FilePath()] = true
		}
		return err
	})
}

// covers tells whether all rows of a file lie in replaced partitions.
func (s *slicesReplaced) covers(f iceberg.DataFile) (bool, error) {
	values, known, err := s.values(f)
	if err != nil {
		return false, err
	}
	if !slices.Contains(known, false) {
		return s.keys[strings.Join(values, "\x00")], nil
	}
	for _, row := range s.rows {
		overlap := true
		for i := range row {
			overlap = overlap && (!known[i] || row[i] == values[i])
		}
		if overlap {
			return false, &IncompatibleError{Table: s.table, Reason: fmt.Sprintf("file %s was written "+
				"under partition spec %d, by which it may hold rows both inside and outside of the replaced partitions: "+
				"rewrite it first, or replace the whole table", f.FilePath(), f.SpecID())}
		}
	}
	return false, nil
}
