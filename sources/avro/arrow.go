package avro

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"

	"github.com/varve-lake/varve/internal/columntype"
)

// maxArrowNodes bounds the columns, nested ones counted, that a schema unfolds to: one that names a type twice at each
// of many levels is small as text and huge as a table.
const maxArrowNodes = 100_000

// Columns are the fields of a record as Arrow fields: as they are decoded, and as what they mean. They differ where the
// meaning must be checked value by value: a uuid is decoded as its text or bytes.
//
// A union of null and one type is that type, nullable; of several numbers the widest; of any others a struct of
// member0, member1, ... of which one is not null, as Spark reads it.
func (s *Schema) Columns() (decoded, meant []arrow.Field, err error) {
	if s.Kind != Record {
		return nil, nil, fmt.Errorf("the file's values are not records")
	}
	budget := maxArrowNodes
	for _, f := range s.Fields {
		d, err := f.Type.arrow(false, &budget)
		if err != nil {
			return nil, nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		m, err := f.Type.arrow(true, &budget)
		if err != nil {
			return nil, nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		decoded = append(decoded, arrow.Field{Name: f.Name, Type: d, Nullable: true})
		meant = append(meant, arrow.Field{Name: f.Name, Type: m, Nullable: true})
	}
	return decoded, meant, nil
}

func (s *Schema) arrow(meant bool, budget *int) (arrow.DataType, error) {
	if *budget--; *budget < 0 {
		return nil, fmt.Errorf("the schema unfolds to more than %d columns", maxArrowNodes)
	}
	if t := s.logical(meant); t != nil {
		return t, nil
	}
	switch s.Kind {
	case Boolean:
		return arrow.FixedWidthTypes.Boolean, nil
	case Int:
		return arrow.PrimitiveTypes.Int32, nil
	case Long:
		return arrow.PrimitiveTypes.Int64, nil
	case Float:
		return arrow.PrimitiveTypes.Float32, nil
	case Double:
		return arrow.PrimitiveTypes.Float64, nil
	case Bytes:
		return arrow.BinaryTypes.Binary, nil
	case Fixed:
		return &arrow.FixedSizeBinaryType{ByteWidth: s.Size}, nil
	case Array:
		items, err := s.Items.arrow(meant, budget)
		return columntype.List(items), err
	case Map:
		values, err := s.Items.arrow(meant, budget)
		if err != nil {
			return nil, err
		}
		return arrow.MapOf(arrow.BinaryTypes.String, values), nil
	case Record:
		return s.structType(meant, budget)
	case Union:
		return s.unionType(meant, budget)
	}
	return arrow.BinaryTypes.String, nil // string, enum, and null, which no table has
}

// logical is the Arrow type of a logical type, or nil.
func (s *Schema) logical(meant bool) arrow.DataType {
	if t := s.instant(); t != nil {
		return t
	}
	switch {
	case s.Logical == "date" && s.Kind == Int:
		return arrow.FixedWidthTypes.Date32
	case s.Logical == "time-millis" && s.Kind == Int, s.Logical == "time-micros" && s.Kind == Long:
		return arrow.FixedWidthTypes.Time64us
	case s.Logical == "uuid" && meant && (s.Kind == String || s.Kind == Fixed && s.Size == 16):
		return extensions.NewUUIDType()
	case s.decimal():
		return &arrow.Decimal128Type{Precision: int32(s.Precision), Scale: int32(s.Scale)}
	}
	return nil
}

func (s *Schema) decimal() bool {
	return s.Logical == "decimal" && (s.Kind == Bytes || s.Kind == Fixed && s.Size > 0) &&
		s.Precision >= 1 && s.Precision <= 38 && s.Scale >= 0 && s.Scale <= s.Precision
}

func (s *Schema) instant() arrow.DataType {
	if s.Kind != Long {
		return nil
	}
	switch s.Logical {
	case "timestamp-millis", "timestamp-micros":
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case "timestamp-nanos":
		return &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}
	case "local-timestamp-millis", "local-timestamp-micros":
		return &arrow.TimestampType{Unit: arrow.Microsecond}
	case "local-timestamp-nanos":
		return &arrow.TimestampType{Unit: arrow.Nanosecond}
	}
	return nil
}

func (s *Schema) structType(meant bool, budget *int) (arrow.DataType, error) {
	fields := make([]arrow.Field, 0, len(s.Fields))
	for _, f := range s.Fields {
		t, err := f.Type.arrow(meant, budget)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		fields = append(fields, arrow.Field{Name: f.Name, Type: t, Nullable: true})
	}
	if len(fields) == 0 {
		return nil, fmt.Errorf("record %s has no fields", s.Name)
	}
	return arrow.StructOf(fields...), nil
}

func (s *Schema) unionType(meant bool, budget *int) (arrow.DataType, error) {
	members := s.members()
	switch {
	case len(members) == 0:
		return arrow.BinaryTypes.String, nil
	case len(members) == 1:
		return members[0].arrow(meant, budget)
	case s.integers():
		return arrow.PrimitiveTypes.Int64, nil
	case s.numbers():
		return arrow.PrimitiveTypes.Float64, nil
	}
	fields := make([]arrow.Field, len(members))
	for i, m := range members {
		t, err := m.arrow(meant, budget)
		if err != nil {
			return nil, err
		}
		fields[i] = arrow.Field{Name: fmt.Sprintf("member%d", i), Type: t, Nullable: true}
	}
	return arrow.StructOf(fields...), nil
}

// members are the branches of a union other than null.
func (s *Schema) members() (members []*Schema) {
	for _, b := range s.Branches {
		if b.Kind != Null {
			members = append(members, b)
		}
	}
	return members
}

// integers tells whether all members are plain int or long; numbers, whether they are plain numbers.
func (s *Schema) integers() bool { return s.allWithin(Int, Long) }
func (s *Schema) numbers() bool  { return s.allWithin(Int, Double) }

func (s *Schema) allWithin(first, last Kind) bool {
	for _, m := range s.members() {
		if m.Kind < first || m.Kind > last || m.Logical != "" {
			return false
		}
	}
	return true
}
