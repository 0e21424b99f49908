package random

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// SparkLiteral writes a value as Spark's SQL, "" of a kind that Spark has none of.
func SparkLiteral(v any, k *Kind) string {
	if k.Spark == "" {
		return ""
	}
	body := ""
	switch v := v.(type) {
	case nil:
		body = "NULL"
	case bool:
		body = strconv.FormatBool(v)
	case int64:
		switch k.Name {
		case "date":
			body = "'" + time.Unix(v*86400, 0).UTC().Format(time.DateOnly) + "'"
		case "timestamp", "timestamptz": // the session's time zone is UTC
			body = fmt.Sprintf("timestamp_micros(%d)", v)
		default:
			body = strconv.FormatInt(v, 10)
		}
	case float64:
		body = "'" + strconv.FormatFloat(v, 'g', -1, 64) + "'"
	case decimal128.Num:
		body = "'" + v.ToString(2) + "'"
	case string:
		body = "'" + v + "'" // no quote or backslash is among the words
	case []byte:
		body = "X'" + hex.EncodeToString(v) + "'"
	case List:
		body = "array(" + strings.Join(sparkEach(v, KindNamed("int")), ", ") + ")"
	case Record:
		body = "named_struct('a', " + SparkLiteral(v[0], KindNamed("int")) + ", 'b', " + SparkLiteral(v[1], KindNamed("string")) + ")"
	case Dict:
		var out []string
		for _, e := range v {
			out = append(out, SparkLiteral(e[0], KindNamed("string")), SparkLiteral(e[1], KindNamed("long")))
		}
		body = "map(" + strings.Join(out, ", ") + ")"
	}
	return "CAST(" + body + " AS " + k.Spark + ")"
}

func sparkEach(values []any, k *Kind) []string {
	var out []string
	for _, v := range values {
		out = append(out, SparkLiteral(v, k))
	}
	return out
}
