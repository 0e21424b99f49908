package keys

import (
	"bytes"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
)

// Within clears keep where a column's value is certainly outside of two bounds,
// which are words for all types but text, UUIDs and bytes. Nulls are outside
// unless nulls says that they are to be kept; values without a place in the
// order are kept.
func Within(a arrow.Array, low, high uint64, lowest, highest []byte, nulls bool, keep []bool) {
	if e, ok := a.(*extensions.UUIDArray); ok {
		a = e.Storage()
	}
	if a.NullN() > 0 && !nulls {
		for i := range keep {
			keep[i] = keep[i] && a.IsValid(i)
		}
	}
	if a.DataType().ID() == arrow.NULL {
		return
	}
	outside := func(i int) bool { return false }
	if at, ok := ordered(a); ok {
		outside = func(i int) bool {
			w, placed := at(i)
			return placed && (w < low || w > high)
		}
	} else if _, fixed := a.(*array.FixedSizeBinary); fixed || isText(a) {
		outside = func(i int) bool {
			b := textAt(a, i)
			return bytes.Compare(b, lowest) < 0 || bytes.Compare(b, highest) > 0
		}
	}
	for i := range keep {
		if keep[i] && a.IsValid(i) && outside(i) {
			keep[i] = false
		}
	}
}
