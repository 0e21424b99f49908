package random

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/google/uuid"
)

// Text writes a value so that two are equal, bit for bit, if their texts are.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case decimal128.Num:
		return v.BigInt().String()
	case string:
		return strconv.Quote(v)
	case []byte:
		return "x" + hex.EncodeToString(v)
	case uuid.UUID:
		return v.String()
	case List:
		out := make([]string, len(v))
		for i, e := range v {
			out[i] = Text(e)
		}
		return "[" + strings.Join(out, " ") + "]"
	case Record:
		return "(" + Text(List(v)) + ")"
	case Dict:
		var out []string
		for _, e := range v {
			out = append(out, Text(e[0])+":"+Text(e[1]))
		}
		slices.Sort(out)
		return "{" + strings.Join(out, " ") + "}"
	}
	panic(fmt.Sprintf("no text of %T", v))
}
