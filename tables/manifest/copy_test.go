package manifest_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/manifest"
)

// A manifest that entries are copied into has what one has that the library writes of them.
func TestWithoutIsWhatTheLibraryWrites(t *testing.T) {
	copied := 0
	random.Seeds(t, 60, func(t *testing.T, run *random.Run) {
		rng := run.Rand
		m, raw := written(t, rng)
		if m.SequenceNum() == 0 {
			return // files of format 1, which the library cannot always write again
		}
		if rng.IntN(2) == 0 {
			raw = foreign(t, rng, raw, false)
		}
		if m.Version() == 3 && m.ManifestContent() == iceberg.ManifestContentData {
			first := rng.Int64N(1 << 40)
			m = renumbered{m, &first}
		}
		drop := map[string]bool{}
		want, removed := rewritten(t, m, raw, func(path string) bool {
			_, seen := drop[path]
			if !seen {
				drop[path] = rng.IntN(3) == 0
			}
			return drop[path]
		})
		var out bytes.Buffer
		var gone []string
		rest, err := manifest.Without(context.Background(), &out, m, raw, m.Version(), func(e *manifest.Entries, i int) (bool, error) {
			if drop[string(e.Path(i))] {
				gone = append(gone, string(e.Path(i)))
			}
			return drop[string(e.Path(i))], nil
		})
		if m.Version() == 1 {
			require.ErrorIs(t, err, manifest.ErrOtherFormat)
			require.Zero(t, out.Len())
			return
		}
		require.NoError(t, err)
		require.Equal(t, removed, gone)
		if want == nil {
			require.Zero(t, out.Len())
			require.Zero(t, rest.Files)
			return
		}
		copied++
		require.EqualValues(t, out.Len(), rest.Bytes)
		require.EqualValues(t, []int64{int64(want.file.ExistingDataFiles()), want.file.ExistingRows(), want.file.MinSequenceNum()}, []int64{rest.Files, rest.Rows, rest.MinSequence})
		compareWritten(t, rng, want, out.Bytes(), rest)
	})
	t.Logf("%d were copied", copied)
}

type rewrittenManifest struct {
	file    iceberg.ManifestFile
	content []byte
	version int
	spec    iceberg.PartitionSpec
}

// rewritten is a manifest as the library writes it without some files; nil if nothing is left.
func rewritten(t *testing.T, m iceberg.ManifestFile, raw []byte, drop func(string) bool) (out *rewrittenManifest, removed []string) {
	var content bytes.Buffer
	spec := specs[m.PartitionSpecID()]
	w, err := iceberg.NewManifestWriter(m.Version(), &content, spec, schema, 0, iceberg.WithManifestWriterContent(m.ManifestContent()))
	require.NoError(t, err)
	entries, err := iceberg.ReadManifest(m, bytes.NewReader(raw), true)
	require.NoError(t, err)
	left := 0
	for _, e := range entries {
		if drop(e.DataFile().FilePath()) {
			removed = append(removed, e.DataFile().FilePath())
			continue
		}
		left++
		require.NoError(t, w.Existing(e))
	}
	if left == 0 {
		return nil, removed
	}
	file, err := w.ToManifestFile("new.avro", 0)
	require.NoError(t, err)
	return &rewrittenManifest{file, content.Bytes(), m.Version(), spec}, removed
}

func compareWritten(t *testing.T, rng *rand.Rand, want *rewrittenManifest, got []byte, rest *manifest.Rest) {
	of := iceberg.NewManifestFile(want.version, "new.avro", 0, int32(want.spec.ID()), 99).Content(want.file.ManifestContent()).SequenceNum(1000, 1).Build()
	wanted, err := iceberg.ReadManifest(of, bytes.NewReader(want.content), false)
	require.NoError(t, err)
	read, err := iceberg.ReadManifest(of, bytes.NewReader(got), false)
	require.NoError(t, err)
	require.Equal(t, len(wanted), len(read))
	for i := range wanted {
		require.Equal(t, told(wanted[i]), told(read[i]), "entry %d", i)
		require.Equal(t, iceberg.EntryStatusEXISTING, read[i].Status())
	}
	w, err := iceberg.NewManifestWriter(want.version, io.Discard, want.spec, schema, 0, iceberg.WithManifestWriterContent(want.file.ManifestContent()))
	require.NoError(t, err)
	for _, e := range rest.Partitions {
		require.NoError(t, w.Existing(e))
	}
	summary, err := w.ToManifestFile("x", 0)
	require.NoError(t, err)
	require.Equal(t, want.file.Partitions(), summary.Partitions())
	same(t, rng, of, got, got, true)
}
