package sources

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type statesInMemory map[string][]byte

func (m statesInMemory) ReadState(_ context.Context, uri string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[uri])), nil
}

func (m statesInMemory) WriteState(_ context.Context, name string, body io.Reader) (string, error) {
	content, err := io.ReadAll(body)
	m[name] = content
	return name, err
}

// However few names are held at a time, and in whatever order they come: the states are the same, byte by byte, and nothing is left on
// the disk. What is held stays bounded.
func TestNamesArePutAsideOnTheDisk(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	r := rand.New(rand.NewPCG(1, 1))
	whole, parted := statesInMemory{}, statesInMemory{}
	var bodies [2]json.RawMessage
	total := 0
	for round := range 12 {
		var files []File
		for range r.IntN(400) {
			files = append(files, File{URI: fmt.Sprintf("s3://lake/%d/%05d.csv", r.IntN(9), total), Size: int64(total), ModTime: time.Unix(int64(total), 0).UTC()})
			total++
		}
		for i, states := range []statesInMemory{whole, parted} {
			set, err := LoadFileSet(ctx, states, bodies[i])
			require.NoError(t, err)
			if set.TempDir = dir; i == 1 {
				set.added.most = 7
			}
			r.Shuffle(len(files), func(a, b int) { files[a], files[b] = files[b], files[a] })
			set.Add(files...)
			set.Add(files...)
			if i == 1 {
				require.Less(t, len(set.added.held), 7)
				require.Len(t, set.added.runs, len(files)/7)
			}
			bodies[i], err = set.Save(ctx, states)
			require.NoError(t, err)
			again, err := set.Save(ctx, states)
			require.NoError(t, err)
			require.Equal(t, bodies[i], again)
			require.Equal(t, total, set.Len())
		}
		require.Equal(t, string(bodies[0]), string(bodies[1]), "round %d", round)
	}
	require.Equal(t, whole, parted)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
	last, err := LoadFileSet(ctx, parted, bodies[1])
	require.NoError(t, err)
	require.Equal(t, total, last.Len())
}

// More files than are held at all go by way of the disk, names and state.
func TestAFirstLoadOfVeryManyFiles(t *testing.T) {
	const n = 2*maxHeld + 17
	ctx, states := t.Context(), statesInMemory{}
	set := &FileSet{TempDir: t.TempDir()}
	for i := range n {
		set.Add(File{URI: fmt.Sprintf("s3://lake/%07d.csv", i*7919%n), Size: 1})
		require.Less(t, len(set.added.held), maxHeld)
	}
	body, err := set.Save(ctx, states)
	require.NoError(t, err)
	loaded, err := LoadFileSet(ctx, states, body)
	require.NoError(t, err)
	require.Equal(t, n, loaded.Len())
}

// A folder that names cannot be put aside in is an error of Save, and not a set that lacks files.
func TestNamesThatCannotBePutAside(t *testing.T) {
	set := &FileSet{TempDir: t.TempDir() + "/none"}
	set.added.most = 2
	set.Add(File{URI: "a"}, File{URI: "b"}, File{URI: "c"})
	_, err := set.Save(t.Context(), statesInMemory{})
	require.ErrorContains(t, err, "put names aside")
}
