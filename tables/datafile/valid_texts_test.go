package datafile

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"
)

// A text that is not UTF-8 is found wherever it stands; lists and maps that are empty, or not there, hold none.
func TestInvalidTextInLists(t *testing.T) {
	lists := array.NewListBuilder(memory.DefaultAllocator, arrow.BinaryTypes.String)
	for range 2 {
		lists.Append(true)
		lists.AppendNull()
	}
	_, found := invalidText(lists.NewArray())
	require.False(t, found)
	maps := array.NewMapBuilder(memory.DefaultAllocator, arrow.BinaryTypes.String, arrow.BinaryTypes.String, false)
	maps.Append(true)
	maps.AppendNull()
	_, found = invalidText(maps.NewArray())
	require.False(t, found)
	_, found = invalidText(array.NewStringBuilder(memory.DefaultAllocator).NewArray())
	require.False(t, found)

	lists.Append(true)
	lists.ValueBuilder().(*array.StringBuilder).Append("whole")
	lists.Append(true)
	lists.ValueBuilder().(*array.StringBuilder).Append("br\xffken")
	a := lists.NewArray()
	text, found := invalidText(a)
	require.True(t, found)
	require.Equal(t, "br\xffken", string(text))
	_, found = invalidText(array.NewSlice(a, 0, 1))
	require.False(t, found)
}
