package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBinaryName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "worker")
	require.NoError(t, os.WriteFile(path, []byte("four"), 0o755))
	require.NoError(t, os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)))
	file, err := os.Stat(path)
	require.NoError(t, err)
	const built = "varve built 1970-01-01T00:00:01Z, 4 bytes"
	for version, want := range map[string]string{
		"v0.0.0-20261126133308-2cc295a65276": "varve v0.0.0-20261126133308-2cc295a65276",
		"":                                   built, // all of these are of builds that differ
		"(devel)":                            built,
		"v1.2.3+dirty":                       built,
		"v0.0.0-20261126133308-2cc295a65276+dirty": built,
	} {
		require.Equal(t, want, binaryName(version, file), version)
	}
	require.Empty(t, binaryName("(devel)", nil), "the SDK hashes it")
}
