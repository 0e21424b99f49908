package datafile

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// PartitionKey is the same for two files' partition values, by field id, if and only if they lie in one partition of a spec.
// Values are quoted: a printed map is not enough, for a text may look like the fields that follow it.
func PartitionKey(spec int, values map[int]any) string {
	var key strings.Builder
	fmt.Fprint(&key, spec)
	for _, field := range slices.Sorted(maps.Keys(values)) {
		text := "null"
		if v := values[field]; v != nil {
			text = strconv.Quote(fmt.Sprint(v))
		}
		fmt.Fprintf(&key, " %d:%s", field, text)
	}
	return key.String()
}
