package planning

import (
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
)

// partitionFilter is what the filter means for the partitions of one spec: it holds for every partition that may have a row that
// passes. Its condition is nil where it says nothing.
type partitionFilter struct {
	spec      iceberg.PartitionSpec
	condition *datafile.Condition
	position  map[int]int // of partition fields in the spec, by id
}

// partition is what the rules say of the partitions of a spec.
func (r *rules) partition(meta table.Metadata, id int32) (*partitionFilter, error) {
	if f, ok := r.partitions[id]; ok { // all are made by choose, before anything runs in parallel
		return f, nil
	}
	spec := meta.PartitionSpecByID(int(id))
	if spec == nil {
		return nil, fmt.Errorf("partition spec %d is not in the table", id)
	}
	f := &partitionFilter{spec: *spec, position: map[int]int{}}
	for i := range spec.NumFields() {
		f.position[spec.Field(i).FieldID] = i
	}
	if r.filter != nil && spec.NumFields() > 0 {
		var err error
		if f.condition, err = project(r.schema, spec, r.filter); err != nil {
			return nil, err
		}
	}
	r.partitions[id] = f
	return f, nil
}

// project gives the specification's inclusive projection of a filter.
func project(schema *iceberg.Schema, spec *iceberg.PartitionSpec, filter iceberg.BooleanExpression) (*datafile.Condition, error) {
	plain, err := iceberg.RewriteNotExpr(filter)
	if err != nil {
		return nil, err
	}
	bound, err := iceberg.BindExpr(schema, plain, true)
	if err != nil {
		return nil, err
	}
	v := &projection{schema: schema, spec: spec, used: map[int]iceberg.NestedField{}}
	projected, err := iceberg.VisitExpr(bound, v)
	if err != nil {
		return nil, err
	}
	fields := make([]iceberg.NestedField, 0, len(v.used))
	for _, f := range v.used {
		fields = append(fields, f)
	}
	return datafile.NewCondition(iceberg.NewSchema(0, fields...), projected)
}

// projection is the visitor that projects.
type projection struct {
	schema *iceberg.Schema
	spec   *iceberg.PartitionSpec
	used   map[int]iceberg.NestedField // partition fields that the projection names
}

func (*projection) VisitTrue() iceberg.BooleanExpression  { return iceberg.AlwaysTrue{} }
func (*projection) VisitFalse() iceberg.BooleanExpression { return iceberg.AlwaysFalse{} }

// VisitNot meets none: they were worked into the predicates.
func (*projection) VisitNot(iceberg.BooleanExpression) iceberg.BooleanExpression {
	return iceberg.AlwaysTrue{}
}

func (*projection) VisitAnd(left, right iceberg.BooleanExpression) iceberg.BooleanExpression {
	return iceberg.NewAnd(left, right)
}

func (*projection) VisitOr(left, right iceberg.BooleanExpression) iceberg.BooleanExpression {
	return iceberg.NewOr(left, right)
}

func (*projection) VisitUnbound(iceberg.UnboundPredicate) iceberg.BooleanExpression {
	return iceberg.AlwaysTrue{}
}

// VisitBound asks every partition field of the column: each holds where the predicate does.
func (v *projection) VisitBound(p iceberg.BoundPredicate) iceberg.BooleanExpression {
	source := p.Ref().Field()
	var out iceberg.BooleanExpression = iceberg.AlwaysTrue{}
	for _, part := range v.spec.FieldsBySourceID(source.ID) {
		projected := projectOne(part, p)
		if projected == nil {
			continue // this transform says nothing of such a predicate
		}
		field := iceberg.NestedField{ID: part.FieldID, Name: part.Name, Type: part.Transform.ResultType(source.Type)}
		if _, err := datafile.NewCondition(iceberg.NewSchema(0, field), projected); err != nil {
			continue
		}
		v.used[field.ID] = field
		out = iceberg.NewAnd(out, projected)
	}
	return out
}

// projectOne is what a predicate means for one partition field of its column; nil is nothing.
func projectOne(part iceberg.PartitionField, p iceberg.BoundPredicate) iceberg.BooleanExpression {
	if t, whole, known := truncatedBy(part.Transform, p.Ref().Field().Type); whole {
		if !known {
			return nil
		}
		return t.project(part.Name, p)
	}
	projected, err := part.Transform.Project(part.Name, p)
	if err != nil || projected == nil {
		return nil
	}
	return projected
}

// files clears keep for the files whose partition is excluded.
func (f *partitionFilter) files(keep []bool, m *listed) { f.condition.Narrow(keep, m.values) }

// manifests says which manifests are not excluded by the summaries of their partitions.
func (f *partitionFilter) manifests(all []iceberg.ManifestFile) []bool {
	keep := truth(len(all))
	if f.condition == nil {
		return keep
	}
	f.condition.Narrow(keep, func(field iceberg.NestedField) *datafile.Bounds {
		return summaryBounds(all, f.position[field.ID], field.Type)
	})
	return keep
}

// summaryBounds is what manifests' summaries say of the partition field at a position of their spec.
func summaryBounds(all []iceberg.ManifestFile, at int, t iceberg.Type) *datafile.Bounds {
	low, high := make([][]byte, len(all)), make([][]byte, len(all))
	nulls, allNull := make([]int64, len(all)), make([]bool, len(all))
	for i, m := range all {
		nulls[i] = -1
		s := m.Partitions()
		if at >= len(s) {
			continue // no summary
		}
		summarise(s[at], t, &low[i], &high[i], &nulls[i], &allNull[i])
	}
	return datafile.NewBounds(t, low, high, nulls, allNull)
}

func summarise(s iceberg.FieldSummary, t iceberg.Type, low, high *[]byte, nulls *int64, allNull *bool) {
	if s.LowerBound != nil {
		*low = orEmpty(*s.LowerBound)
	}
	if s.UpperBound != nil {
		*high = orEmpty(*s.UpperBound)
	}
	*nulls = 0
	if s.ContainsNull {
		*nulls = 1
		// Bounds are left out where there is no value, and where all values are NaN.
		mayBeNaN := s.ContainsNaN == nil && floating(t) || s.ContainsNaN != nil && *s.ContainsNaN
		*allNull = s.LowerBound == nil && s.UpperBound == nil && !mayBeNaN && !mayBeEmpty(t)
	}
}

func floating(t iceberg.Type) bool {
	switch t.(type) {
	case iceberg.Float32Type, iceberg.Float64Type:
		return true
	}
	return false
}

// mayBeEmpty tells types of which some writers leave out a bound without bytes.
func mayBeEmpty(t iceberg.Type) bool {
	switch t.(type) {
	case iceberg.StringType, iceberg.BinaryType:
		return true
	}
	return false
}
