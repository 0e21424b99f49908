package activities

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMemoryIsDividedWithoutRemainder(t *testing.T) {
	for _, memory := range []int64{256 << 20, 512 << 20, 2 << 30, 64 << 30} {
		for _, parallelism := range []int{1, 2, 8, 64} {
			t.Run(fmt.Sprintf("%d MiB, %d threads", memory>>20, parallelism), func(t *testing.T) {
				c := Config{Memory: memory, Parallelism: parallelism}.withDefaults()
				activities := c.share() * int64(c.atOnce())
				require.LessOrEqual(t, activities+c.sqlMemory(), memory*3/4)
				require.GreaterOrEqual(t, c.share(), int64(smallestShare))
				require.GreaterOrEqual(t, c.mergeShare(), c.share())
				require.LessOrEqual(t, 2*c.mergeShare(), c.activityMemory())
				require.GreaterOrEqual(t, c.atOnce(), 2)
				require.LessOrEqual(t, c.Heap()+c.sqlMemory(), memory)
			})
		}
	}
}

func TestTheBudgetMakesOthersWait(t *testing.T) {
	b := newBudget(100)
	first, err := b.take(t.Context(), 1000) // more than there is: all of it
	require.NoError(t, err)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.take(cancelled, 1)
	require.ErrorIs(t, err, context.Canceled)

	got := make(chan error)
	go func() {
		second, err := b.take(t.Context(), 60)
		if err == nil {
			second()
		}
		got <- err
	}()
	select {
	case <-got:
		t.Fatal("the memory was given twice")
	default:
	}
	first()
	require.NoError(t, <-got)
}
