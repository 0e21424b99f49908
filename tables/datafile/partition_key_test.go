package datafile

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPartitionKeyIsOfValues(t *testing.T) {
	key := func(values map[int]any) string { return PartitionKey(1, values) }
	require.Equal(t, key(map[int]any{1000: float32(0.1)}), key(map[int]any{1000: float64(float32(0.1))}), "a column that was widened")
	require.Equal(t, key(map[int]any{1000: nil, 1001: 2}), key(map[int]any{1001: 2}), "a null that is said and one that is left out")
	require.NotEqual(t, key(map[int]any{1000: nil}), key(map[int]any{1000: "null"}))
	require.NotEqual(t, key(map[int]any{1000: "a 1001:b"}), key(map[int]any{1000: "a", 1001: "b"}))
	require.NotEqual(t, key(map[int]any{1000: 1}), PartitionKey(2, map[int]any{1000: 1}))
}
