package datafile

import (
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Each UUID with small letters comes out of its bytes as it went in, and no other text of its length is taken for one.
func TestPackedTextsComeBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 13))
	for range 20_000 {
		var id uuid.UUID
		for i := range id {
			id[i] = byte(rng.Uint32())
		}
		text, packed, out := []byte(id.String()), make([]byte, packedBytes), make([]byte, unpackedText)
		require.True(t, pack(packed, text), "%s", text)
		unpack36(out, packed)
		require.Equal(t, string(text), string(out))
		at := rng.IntN(unpackedText)
		text[at] = byte(rng.Uint32())
		other := pack(packed, text)
		unpack36(out, packed)
		require.Equal(t, string(text) == string(out), other, "%q", text)
	}
	for c := range 256 { // anywhere
		for at := range unpackedText {
			text, packed, out := []byte("01234567-89ab-cdef-0123-456789abcdef"), make([]byte, packedBytes), make([]byte, unpackedText)
			text[at] = byte(c)
			dash := at == 8 || at == 13 || at == 18 || at == 23
			valid := dash && c == '-' || !dash && (c >= '0' && c <= '9' || c >= 'a' && c <= 'f')
			require.Equal(t, valid, pack(packed, text), "%q", text)
			if unpack36(out, packed); valid {
				require.Equal(t, string(text), string(out))
			}
		}
	}
}
