package maintain

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/tables/datafile"
)

// manifestOrder says into which of a number of manifests a file goes: files in the order of their partitions' values, and
// as many in each manifest. What it keeps follows the number of partitions.
type manifestOrder struct {
	spec    int
	outputs int
	files   int64
	// next is how many files come before the next one of each partition.
	next map[string]int64
}

// orderOf reads manifests of one spec for the partitions of their files.
func orderOf(ctx context.Context, store iceio.IO, meta table.Metadata, g *manifestGroup) (*manifestOrder, error) {
	spec := meta.PartitionSpecByID(int(g.spec))
	if spec == nil {
		return nil, fmt.Errorf("partition spec %d is not in the table", g.spec)
	}
	type partition struct {
		key    string
		values []any
		files  int64
	}
	o := &manifestOrder{spec: int(g.spec), outputs: g.outputs, next: map[string]int64{}}
	known := map[string]*partition{}
	err := eachEntry(ctx, store, g.inputs, g.content, func(e iceberg.ManifestEntry) {
		o.files++
		values := e.DataFile().Partition()
		key := datafile.PartitionKey(o.spec, values)
		p := known[key]
		if p == nil {
			p = &partition{key: key}
			for i := range spec.NumFields() {
				p.values = append(p.values, values[spec.Field(i).FieldID])
			}
			known[key] = p
		}
		p.files++
	})
	if err != nil {
		return nil, err
	}
	var order []*partition
	for _, p := range known {
		order = append(order, p)
	}
	slices.SortFunc(order, func(a, b *partition) int {
		return cmp.Or(slices.CompareFunc(a.values, b.values, compareValues), cmp.Compare(a.key, b.key))
	})
	before := int64(0)
	for _, p := range order {
		o.next[p.key] = before
		before += p.files
	}
	return o, nil
}

// place is the manifest, from 0, of the next file of a partition.
func (o *manifestOrder) place(values map[int]any) (int, error) {
	key := datafile.PartitionKey(o.spec, values)
	at, known := o.next[key]
	if !known || at >= o.files {
		return 0, fmt.Errorf("a file of partition %s came up that was not there before", key)
	}
	o.next[key] = at + 1
	return int(at * int64(o.outputs) / o.files), nil
}

// compareValues orders two values of a partition field; nulls come first.
func compareValues(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	switch x := a.(type) {
	case int32:
		return compareAs(x, b)
	case int64:
		return compareAs(x, b)
	case float32:
		return compareAs(x, b)
	case float64:
		return compareAs(x, b)
	case string:
		return compareAs(x, b)
	case iceberg.Date:
		return compareAs(x, b)
	case iceberg.Time:
		return compareAs(x, b)
	case iceberg.Timestamp:
		return compareAs(x, b)
	case iceberg.TimestampNano:
		return compareAs(x, b)
	case []byte:
		if y, ok := b.([]byte); ok {
			return bytes.Compare(x, y)
		}
	case uuid.UUID:
		if y, ok := b.(uuid.UUID); ok {
			return bytes.Compare(x[:], y[:])
		}
	case bool:
		if y, ok := b.(bool); ok && x != y {
			if y {
				return -1
			}
			return 1
		}
		return 0
	case iceberg.DecimalLiteral:
		if y, ok := b.(iceberg.DecimalLiteral); ok {
			return x.Val.Cmp(y.Val) // of one field, so of one scale
		}
	}
	return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
}

// compareAs compares values of one type; others, as of a column that was widened, come in some fixed order.
func compareAs[T cmp.Ordered](a T, b any) int {
	if y, ok := b.(T); ok {
		return cmp.Compare(a, y)
	}
	return cmp.Compare(fmt.Sprintf("%T", a), fmt.Sprintf("%T", b))
}
