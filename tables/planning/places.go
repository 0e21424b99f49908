package planning

import (
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/tables/datafile"
)

// Places are partitions, each of one spec of a table, as some of its files lie in. They tell which manifests may list a file of
// one of them, by the summaries of the manifest list alone.
type Places struct{ specs map[int32]*specPlaces }

// specPlaces are those of one spec.
type specPlaces struct {
	fields   []iceberg.NestedField
	position []int // of the fields in the spec
	keys     map[string]bool
	// conditions hold one for each partition; all is when something is not known of one of them, so that it may lie anywhere.
	conditions []*datafile.Condition
	all        bool
}

// PlacesOf are the partitions that files lie in.
func PlacesOf(meta table.Metadata, files ...iceberg.DataFile) *Places {
	p := &Places{specs: map[int32]*specPlaces{}}
	for _, f := range files {
		s := p.specs[f.SpecID()]
		if s == nil {
			s = newSpecPlaces(meta, f.SpecID())
			p.specs[f.SpecID()] = s
		}
		s.add(f)
	}
	return p
}

func newSpecPlaces(meta table.Metadata, id int32) *specPlaces {
	s := &specPlaces{keys: map[string]bool{}}
	spec := meta.PartitionSpecByID(int(id))
	if spec == nil {
		s.all = true
		return s
	}
	for i := range spec.NumFields() {
		part := spec.Field(i)
		if source, ok := sourceField(meta, part.SourceID()); ok {
			s.fields = append(s.fields, iceberg.NestedField{ID: part.FieldID, Name: part.Name, Type: part.Transform.ResultType(source.Type)})
			s.position = append(s.position, i)
		}
	}
	return s
}

// sourceField is the column that a partition field is made of, which may have been dropped since.
func sourceField(meta table.Metadata, id int) (iceberg.NestedField, bool) {
	for _, s := range append([]*iceberg.Schema{meta.CurrentSchema()}, meta.Schemas()...) {
		if f, ok := s.FindFieldByID(id); ok {
			return f, true
		}
	}
	return iceberg.NestedField{}, false
}

func (s *specPlaces) add(f iceberg.DataFile) {
	partition := f.Partition()
	key := datafile.PartitionKey(int(f.SpecID()), partition)
	if s.keys[key] {
		return
	}
	s.keys[key] = true
	var expr iceberg.BooleanExpression = iceberg.AlwaysTrue{}
	for _, field := range s.fields {
		value, known := partition[field.ID]
		if !known {
			continue
		}
		if equal := equals(field, value); equal != nil {
			expr = iceberg.NewAnd(expr, equal)
		}
	}
	condition, err := datafile.NewCondition(iceberg.NewSchema(0, s.fields...), expr)
	if err != nil || condition == nil {
		s.all = true
		return
	}
	s.conditions = append(s.conditions, condition)
}

// equals is the condition that a partition field has a value; nil where nothing is to be said, as of floating-point numbers, of
// which bounds may leave some out, and of a value that no longer is of the field's type.
func equals(field iceberg.NestedField, value any) iceberg.BooleanExpression {
	column := iceberg.Reference(field.Name)
	var out iceberg.BooleanExpression
	if literal, ok := value.(iceberg.Literal); ok {
		value = literal.Any()
	}
	switch v := value.(type) {
	case nil:
		out = iceberg.IsNull(column)
	case bool:
		out = iceberg.EqualTo(column, v)
	case int32:
		out = iceberg.EqualTo(column, v)
	case int64:
		out = iceberg.EqualTo(column, v)
	case iceberg.Date:
		out = iceberg.EqualTo(column, v)
	case iceberg.Time:
		out = iceberg.EqualTo(column, v)
	case iceberg.Timestamp:
		out = iceberg.EqualTo(column, v)
	case string:
		out = iceberg.EqualTo(column, v)
	case []byte:
		out = iceberg.EqualTo(column, v)
	case uuid.UUID:
		out = iceberg.EqualTo(column, v)
	case iceberg.Decimal:
		out = iceberg.EqualTo(column, v)
	default:
		return nil
	}
	if _, err := datafile.NewCondition(iceberg.NewSchema(0, field), out); err != nil {
		return nil
	}
	return out
}

// Has says whether a file lies in one of the partitions.
func (p *Places) Has(f iceberg.DataFile) bool {
	s := p.specs[f.SpecID()]
	return s != nil && s.keys[datafile.PartitionKey(int(f.SpecID()), f.Partition())]
}

// Manifests says which manifests may list a file of one of the partitions.
func (p *Places) Manifests(all []iceberg.ManifestFile) []bool {
	keep := make([]bool, len(all))
	at := map[int32][]int{}
	for i, m := range all {
		at[m.PartitionSpecID()] = append(at[m.PartitionSpecID()], i)
	}
	for spec, indexes := range at {
		s := p.specs[spec]
		if s == nil {
			continue
		}
		some := make([]iceberg.ManifestFile, len(indexes))
		for i, index := range indexes {
			some[i] = all[index]
		}
		for i, may := range s.manifests(some) {
			keep[indexes[i]] = may
		}
	}
	return keep
}

func (s *specPlaces) manifests(all []iceberg.ManifestFile) []bool {
	keep := make([]bool, len(all))
	if s.all {
		return truth(len(all))
	}
	known := map[int]*datafile.Bounds{}
	for i, f := range s.fields {
		known[f.ID] = summaryBounds(all, s.position[i], f.Type)
	}
	for _, c := range s.conditions {
		may := truth(len(all))
		c.Narrow(may, func(f iceberg.NestedField) *datafile.Bounds { return known[f.ID] })
		for i := range keep {
			keep[i] = keep[i] || may[i]
		}
	}
	return keep
}

func truth(n int) []bool {
	out := make([]bool, n)
	for i := range out {
		out[i] = true
	}
	return out
}
