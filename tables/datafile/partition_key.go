package datafile

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// PartitionKey is the same for two files' partition values, by field id, if and only if they lie in one partition of a spec.
// Values are quoted: a printed map is not enough, for a text may look like the fields that follow it. A null may also be left out,
// and a column that has been widened from float to double may have values of either.
func PartitionKey(spec int, values map[int]any) string {
	var key strings.Builder
	fmt.Fprint(&key, spec)
	for _, field := range slices.Sorted(maps.Keys(values)) {
		v := values[field]
		if v == nil {
			continue
		}
		if narrow, ok := v.(float32); ok {
			v = float64(narrow)
		}
		fmt.Fprintf(&key, " %d:%s", field, strconv.Quote(fmt.Sprint(v)))
	}
	return key.String()
}
