package planning

import (
	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/tables/datafile"
)

// rules are a filter as it is asked of manifests and of their files.
type rules struct {
	schema     *iceberg.Schema
	filter     iceberg.BooleanExpression
	values     *datafile.Condition // on the files' bounds; nil where every row passes
	partitions map[int32]*partitionFilter
}

func newRules(schema *iceberg.Schema, filter iceberg.BooleanExpression) (*rules, error) {
	values, err := datafile.NewCondition(schema, filter)
	if err != nil {
		return nil, err
	}
	return &rules{schema: schema, filter: filter, values: values, partitions: map[int32]*partitionFilter{}}, nil
}

// holds says of which files of a manifest, among those to keep, a row may pass.
func (p *planner) holds(r *rules, m *listed, among []bool) ([]bool, error) {
	partition, err := r.partition(p.meta, m.spec)
	if err != nil {
		return nil, err
	}
	keep := append([]bool(nil), among...)
	partition.files(keep, m)
	r.values.Narrow(keep, m.bounds)
	return keep, nil
}
