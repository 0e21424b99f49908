package datafile

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// Two decoders, C's and one in Go, get the page back: of few UUIDs and many, of every digit at every place, with levels and without.
func TestUUIDFramesAreThePages(t *testing.T) {
	goDecoder, err := zstd.NewReader(nil)
	require.NoError(t, err)
	defer goDecoder.Close()
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 17))
		n := rng.IntN(40)
		switch rng.IntN(4) {
		case 0:
			n = uuidsABlock*rng.IntN(3) + rng.IntN(12)
		case 1:
			n = rng.IntN(8000)
		}
		levels := make([]byte, []int{0, 6, 900}[rng.IntN(3)])
		for i := range levels {
			levels[i] = byte(rng.Uint32())
		}
		ids := make([]byte, packedBytes*n)
		constant := rng.IntN(8)
		for i := range ids {
			ids[i] = byte(rng.Uint32())
			switch constant {
			case 0:
				ids[i] = 0xff
			case 1:
				ids[i] = 0
			}
		}
		page := append([]byte{}, levels...)
		for at := 0; at < len(ids); at += packedBytes {
			page = append(binary.LittleEndian.AppendUint32(page, unpackedText), uuid.UUID(ids[at:]).String()...)
		}
		frame := appendUUIDFrame([]byte("before"), levels, ids)
		require.Equal(t, "before", string(frame[:6]))
		frame = frame[6:]
		got, err := zstdCodec{}.DecodeWithError(make([]byte, len(page)), frame)
		require.NoError(t, err, "seed %d: %d", seed, n)
		require.Equal(t, string(page), string(got), "seed %d", seed)
		got, err = goDecoder.DecodeAll(frame, nil)
		require.NoError(t, err, "seed %d: %d", seed, n)
		require.Equal(t, string(page), string(got), "seed %d", seed)
	}
}

// BenchmarkUUIDFrame compresses a page beside zstd itself.
func BenchmarkUUIDFrame(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	ids, n := make([]byte, packedBytes*3277), 3277.0
	for i := range ids {
		ids[i] = byte(rng.Uint32())
	}
	var page, out []byte
	for at := 0; at < len(ids); at += packedBytes {
		page = appendPlainUUID(page, ids[at:])
	}
	for name, compress := range map[string]func(){
		"frame": func() { out = appendUUIDFrame(out[:0], nil, ids) },
		"zstd":  func() { out = zstdCodec{}.Encode(out, page) },
	} {
		out = make([]byte, 0, 2*len(page))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				compress()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
			b.ReportMetric(float64(len(out))/n, "bytes/row")
		})
		frame := out
		into := make([]byte, len(page))
		b.Run(name+"/read", func(b *testing.B) {
			for b.Loop() {
				if _, err := (zstdCodec{}).DecodeWithError(into, frame); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
