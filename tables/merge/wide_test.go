package merge

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBatchesOfWideTables: a batch of a thousand columns has fewer rows than one of ten.
func TestBatchesOfWideTables(t *testing.T) {
	require.Equal(t, batchRows, rowsOf(0))
	require.Equal(t, batchRows, rowsOf(10))
	require.Equal(t, 2097, rowsOf(1000))
	require.Equal(t, 1024, rowsOf(100_000))
}
