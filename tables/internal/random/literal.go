package random

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// Literals is a value as Iceberg's transforms take it.
func Literals(k *Kind, v any) (out iceberg.Optional[iceberg.Literal]) {
	if v == nil {
		return out
	}
	out.Valid = true
	switch v := v.(type) {
	case bool:
		out.Val = iceberg.NewLiteral(v)
	case int64:
		out.Val = wholeLiteral(k, v)
	case decimal128.Num:
		out.Val = iceberg.NewLiteral(iceberg.Decimal{Val: v, Scale: 2})
	case string:
		out.Val = iceberg.NewLiteral(v)
	case uuid.UUID:
		out.Val = iceberg.NewLiteral(v)
	default:
		panic(fmt.Sprintf("no literal of %T", v))
	}
	return out
}

func wholeLiteral(k *Kind, v int64) iceberg.Literal {
	switch k.Name {
	case "int":
		return iceberg.NewLiteral(int32(v))
	case "date":
		return iceberg.NewLiteral(iceberg.Date(v))
	case "time":
		return iceberg.NewLiteral(iceberg.Time(v))
	case "timestamp", "timestamptz":
		return iceberg.NewLiteral(iceberg.Timestamp(v))
	}
	return iceberg.NewLiteral(v)
}
