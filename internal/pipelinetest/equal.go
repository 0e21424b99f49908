package pipelinetest

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// equal compares an expected value with one that was found, of the same type. Numbers of floating point are equal if
// nine digits are: a test writes down what a mean looks like, not its last bit.
func equal(want arrow.Array, i int, found arrow.Array, j int) bool {
	if want.IsNull(i) || found.IsNull(j) {
		return want.IsNull(i) && found.IsNull(j)
	}
	switch want := want.(type) {
	case *array.Float32:
		return near(float64(want.Value(i)), float64(found.(*array.Float32).Value(j)), 1e-6)
	case *array.Float64:
		return near(want.Value(i), found.(*array.Float64).Value(j), 1e-9)
	case *array.Struct:
		found := found.(*array.Struct)
		for f := range want.NumField() {
			if !equal(want.Field(f), i, found.Field(f), j) {
				return false
			}
		}
		return true
	case *array.Map:
		return equalMaps(want, i, found.(*array.Map), j)
	case *array.List:
		from, to := want.ValueOffsets(i)
		start, end := found.(*array.List).ValueOffsets(j)
		return equalLists(want.ListValues(), from, to, found.(*array.List).ListValues(), start, end)
	}
	return array.SliceEqual(want, int64(i), int64(i+1), found, int64(j), int64(j+1))
}

func near(a, b, digits float64) bool {
	if math.IsNaN(a) || math.IsNaN(b) || math.IsInf(a, 0) || math.IsInf(b, 0) {
		return a == b || math.IsNaN(a) && math.IsNaN(b)
	}
	return math.Abs(a-b) <= digits*max(math.Abs(a), math.Abs(b))
}

func equalLists(want arrow.Array, from, to int64, found arrow.Array, start, end int64) bool {
	if to-from != end-start {
		return false
	}
	for k := range to - from {
		if !equal(want, int(from+k), found, int(start+k)) {
			return false
		}
	}
	return true
}

// equalMaps compares maps by key, whatever the order of their entries.
func equalMaps(want *array.Map, i int, found *array.Map, j int) bool {
	from, to := want.ValueOffsets(i)
	start, end := found.ValueOffsets(j)
	if to-from != end-start {
		return false
	}
	for k := from; k < to; k++ {
		same := false
		for l := start; l < end && !same; l++ {
			same = equal(want.Keys(), int(k), found.Keys(), int(l)) && equal(want.Items(), int(k), found.Items(), int(l))
		}
		if !same {
			return false
		}
	}
	return true
}

// holds tells whether a refused row, as JSON, has the fields of a map.
func holds(row string, fields map[string]any) bool {
	var found map[string]any
	if decode([]byte(row), &found) != nil {
		return false
	}
	for name, want := range fields {
		if !sameJSON(want, found[name]) {
			return false
		}
	}
	return true
}

// sameJSON compares a value of a test with one of a refused row.
func sameJSON(want, found any) bool {
	text, err := json.Marshal(want)
	if err != nil || decode(text, &want) != nil {
		return false
	}
	if a, number := want.(json.Number); number {
		b, number := found.(json.Number)
		return number && sameNumber(a, b)
	}
	a, errA := json.Marshal(want)
	b, errB := json.Marshal(found)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

func sameNumber(a, b json.Number) bool {
	if !strings.ContainsAny(a.String()+b.String(), ".eE") {
		return a == b
	}
	x, errA := a.Float64()
	y, errB := b.Float64()
	return errA == nil && errB == nil && near(x, y, 1e-9)
}

func decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}
