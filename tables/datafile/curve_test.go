package datafile

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func keysColumn(keys [][]byte) keyColumn {
	return keyColumn{appendKey: func(dst []byte, row int) []byte { return append(dst, keys[row]...) }}
}

func learned(keys [][]byte) (*curveColumn, *curveSample) {
	var s curveSample
	for row := range keys {
		s.add(keysColumn(keys), row)
	}
	var c curveColumn
	c.learn(&s)
	return &c, &s
}

// A sample knows of values what they share and eight bytes more, in whatever order they come and however long they are.
func TestCurveSampleIsSmall(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, shared := range []int{0, 3, 8, 100, 50_000} {
		var keys [][]byte
		for range 3000 {
			key := make([]byte, shared+rng.IntN(20))
			for i := range key[shared:] {
				key[shared+i] = byte(rng.IntN(3))
			}
			keys = append(keys, key)
		}
		keys = append(keys, make([]byte, shared)) // nothing but what is shared
		c, s := learned(keys)
		require.Equal(t, make([]byte, shared), c.prefix)
		require.LessOrEqual(t, 8*cap(s.words)+len(s.first), 64<<10+shared)
		slices.SortFunc(keys, bytes.Compare)
		var want []uint64
		for i := range curveQuantiles {
			want = append(want, eight(keys[i*(len(keys)-1)/(curveQuantiles-1)][shared:]))
		}
		require.Equal(t, slices.Compact(want), c.quantiles)
	}
	long := [][]byte{[]byte(strings.Repeat("x", 1000))}
	var s curveSample
	for range 10 * curveSampled {
		s.add(keysColumn(long), 0)
	}
	require.Less(t, len(s.words), 2*curveSampled)
	require.GreaterOrEqual(t, len(s.words), curveSampled)
}

// Ranks grow with keys, and a word has that of its bytes, whatever is shared and however values are spread.
func TestCurveRanks(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for name, value := range map[string]func() uint64{
		"small":  func() uint64 { return 1<<63 + rng.Uint64N(1000) },
		"skewed": func() uint64 { return uint64(math.Exp(rng.Float64() * 44)) },
		"any":    rng.Uint64,
		"few":    func() uint64 { return rng.Uint64N(3) << 62 },
		"one":    func() uint64 { return 7 },
	} {
		var sampled, keys [][]byte
		for range 5000 {
			sampled = append(sampled, binary.BigEndian.AppendUint64(nil, value()))
			keys = append(keys, binary.BigEndian.AppendUint64(nil, value()), binary.BigEndian.AppendUint64(nil, rng.Uint64()))
		}
		c, _ := learned(sampled)
		keys = append(keys, sampled...)
		slices.SortFunc(keys, bytes.Compare)
		const most = 1<<curveBits - 1
		last, different := uint64(1), map[uint64]bool{}
		for _, key := range keys {
			rank := c.rank(key, most)
			require.True(t, rank >= last && rank <= most, "%s: rank %d after %d", name, rank, last)
			require.Equal(t, rank, c.rankWord(binary.BigEndian.Uint64(key), most), name)
			last, different[rank] = rank, true
		}
		if name == "skewed" || name == "any" {
			require.Greater(t, len(different), 4000, name)
		}
	}
}

// A row's bits are those of its columns' ranks in turn.
func TestCurveSpreads(t *testing.T) {
	require.Equal(t, uint64(0b11_01_10), spread(0b101, 0, 2)|spread(0b110, 1, 2))
	require.Equal(t, uint64(1<<63), spread(1<<15, 0, 4))
	require.Equal(t, uint64(1), spread(1, 63, 64))
}
