package validity

import (
	"fmt"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

// layout checks a data file's partition values and order against its rows.
func (k *check) layout(f *file, df iceberg.DataFile) {
	name := df.FilePath()
	spec := k.meta.PartitionSpecByID(int(df.SpecID()))
	if spec == nil {
		k.problem("%s has partition spec %d, which is not in the table", name, df.SpecID())
		return
	}
	for i := range spec.NumFields() {
		k.partition(f, df, spec.Field(i))
	}
	if id := df.SortOrderID(); id != nil && *id != table.UnsortedSortOrderID {
		k.sorted(f, name, *id)
	}
}

func (k *check) partition(f *file, df iceberg.DataFile, field iceberg.PartitionField) {
	said, present := df.Partition()[field.FieldID]
	if !present {
		k.problem("%s has no value of partition field %s", df.FilePath(), field.Name)
		return
	}
	var saidScalar any
	if lit, ok := k.partitionLiteral(field, said); ok {
		saidScalar = literalScalar(lit)
	}
	source, ok := k.fieldOf(field.SourceID())
	if !ok || source.InitialDefault != nil {
		return
	}
	values := []any{nil} // a file older than the column
	if at := f.leafOf(field.SourceID()); at >= 0 {
		values = f.all(at)
	}
	for row, v := range values {
		var is any
		lit, err := literalOf(source.Type, v)
		if err != nil {
			k.problem("%s: column %s: %w", df.FilePath(), source.Name, err)
			return
		}
		if out := field.Transform.Apply(lit); out.Valid {
			is = literalScalar(out.Val)
		}
		if compare(is, saidScalar) != 0 {
			k.problem("%s: row %d has %v for %s, and the file %v", df.FilePath(), row, is, field.Name, saidScalar)
			return
		}
	}
}

// fieldOf finds a column in the current schema, or in a former one.
func (k *check) fieldOf(id int) (iceberg.NestedField, bool) {
	if f, ok := k.meta.CurrentSchema().FindFieldByID(id); ok {
		return f, true
	}
	for _, s := range k.meta.Schemas() {
		if f, ok := s.FindFieldByID(id); ok {
			return f, true
		}
	}
	return iceberg.NestedField{}, false
}

// partitionLiteral is a partition value as iceberg-go reads it; false for null.
func (k *check) partitionLiteral(field iceberg.PartitionField, value any) (iceberg.Literal, bool) {
	switch v := value.(type) {
	case nil:
		return nil, false
	case iceberg.Literal:
		return v, true
	case bool:
		return iceberg.NewLiteral(v), true
	case int:
		return iceberg.NewLiteral(int32(v)), true
	case int32:
		return iceberg.NewLiteral(v), true
	case int64:
		return iceberg.NewLiteral(v), true
	case float32:
		return iceberg.NewLiteral(v), true
	case float64:
		return iceberg.NewLiteral(v), true
	case iceberg.Date:
		return iceberg.NewLiteral(v), true
	case iceberg.Time:
		return iceberg.NewLiteral(v), true
	case iceberg.Timestamp:
		return iceberg.NewLiteral(v), true
	case iceberg.TimestampNano:
		return iceberg.NewLiteral(v), true
	case string:
		return iceberg.NewLiteral(v), true
	case []byte:
		return iceberg.NewLiteral(v), true
	case uuid.UUID:
		return iceberg.NewLiteral(v), true
	case iceberg.Decimal:
		return iceberg.NewLiteral(v), true
	}
	k.problem("partition field %s has a value of type %T", field.Name, value)
	return nil, false
}

// literalOf is a value of a leaf as its column's type has it.
func literalOf(t iceberg.Type, v any) (out iceberg.Optional[iceberg.Literal], err error) {
	if v == nil {
		return out, nil
	}
	some := func(l iceberg.Literal) (iceberg.Optional[iceberg.Literal], error) {
		return iceberg.Optional[iceberg.Literal]{Val: l, Valid: true}, nil
	}
	switch t := t.(type) {
	case iceberg.BooleanType:
		return some(iceberg.NewLiteral(v.(int64) == 1))
	case iceberg.Int32Type:
		return some(iceberg.NewLiteral(int32(v.(int64))))
	case iceberg.Int64Type:
		return some(iceberg.NewLiteral(v.(int64)))
	case iceberg.Float32Type:
		return some(iceberg.NewLiteral(float32(v.(float64))))
	case iceberg.Float64Type:
		return some(iceberg.NewLiteral(v.(float64)))
	case iceberg.DateType:
		return some(iceberg.NewLiteral(iceberg.Date(v.(int64))))
	case iceberg.TimeType:
		return some(iceberg.NewLiteral(iceberg.Time(v.(int64))))
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return some(iceberg.NewLiteral(iceberg.Timestamp(v.(int64))))
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return some(iceberg.NewLiteral(iceberg.TimestampNano(v.(int64))))
	case iceberg.StringType:
		return some(iceberg.NewLiteral(v.(string)))
	case iceberg.BinaryType:
		return some(iceberg.NewLiteral([]byte(v.(string))))
	case iceberg.FixedType:
		return some(iceberg.FixedLiteral([]byte(v.(string))))
	case iceberg.UUIDType:
		id, err := uuid.FromBytes([]byte(v.(string)))
		if err != nil {
			return out, err
		}
		return some(iceberg.NewLiteral(id))
	case iceberg.DecimalType:
		return some(iceberg.NewLiteral(iceberg.Decimal{Val: decimal128.FromBigInt(v.(*big.Int)), Scale: t.Scale()}))
	}
	return out, fmt.Errorf("no literals of %s", t)
}

// literalScalar makes a literal comparable with compare.
func literalScalar(l iceberg.Literal) any {
	switch v := l.Any().(type) {
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case int32:
		return int64(v)
	case int64:
		return v
	case float32:
		return float64(v)
	case float64:
		return v
	case iceberg.Date:
		return int64(v)
	case iceberg.Time:
		return int64(v)
	case iceberg.Timestamp:
		return int64(v)
	case iceberg.TimestampNano:
		return int64(v)
	case string:
		return v
	case []byte:
		return string(v)
	case uuid.UUID:
		return string(v[:])
	case iceberg.Decimal:
		return v.Val.BigInt()
	}
	panic(fmt.Sprintf("no scalar of %T", l.Any()))
}

func compareLiterals(a, b iceberg.Literal) int { return compare(literalScalar(a), literalScalar(b)) }

// sorted checks that a file's rows are in the order that it claims.
func (k *check) sorted(f *file, name string, id int) {
	var order *table.SortOrder
	for _, o := range k.meta.SortOrders() {
		if o.OrderID() == id {
			order = &o
		}
	}
	if order == nil {
		k.problem("%s has sort order %d, which is not in the table", name, id)
		return
	}
	var columns [][]any
	for i := range order.Len() {
		field := order.Field(i)
		at := f.leafOf(field.SourceIDs[0])
		source, ok := k.fieldOf(field.SourceIDs[0])
		if at < 0 || !ok {
			return // dropped, or younger than the file: all rows are equal
		}
		values := f.all(at)
		for r, v := range values {
			lit, err := literalOf(source.Type, v)
			if err != nil {
				k.problem("%s: column %s: %w", name, source.Name, err)
				return
			}
			values[r] = nil
			if out := field.Transform.Apply(lit); out.Valid {
				values[r] = literalScalar(out.Val)
			}
		}
		columns = append(columns, values)
	}
	for r := 1; len(columns) > 0 && r < len(columns[0]); r++ {
		for i, values := range columns {
			c := inOrder(order.Field(i), values[r-1], values[r])
			if c > 0 {
				k.problem("%s claims sort order %d, and row %d comes before row %d", name, id, r, r-1)
				return
			}
			if c < 0 {
				break
			}
		}
	}
}

func inOrder(field table.SortField, a, b any) int {
	if a == nil || b == nil {
		first := compare(a, b) // nulls first
		if field.NullOrder == table.NullsLast {
			return -first
		}
		return first
	}
	if field.Direction == table.SortDESC {
		return compare(b, a)
	}
	return compare(a, b)
}
