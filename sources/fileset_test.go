package sources_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/sources"
)

// memory keeps states in memory.
type memory map[string][]byte

func (m memory) ReadState(_ context.Context, uri string) (io.ReadCloser, error) {
	b, ok := m[uri]
	if !ok {
		return nil, errors.New("no such state")
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (m memory) WriteState(_ context.Context, name string, body io.Reader) (string, error) {
	b, err := io.ReadAll(body)
	m["mem:"+name] = b
	return "mem:" + name, err
}

func file(i int) sources.File {
	return sources.File{URI: fmt.Sprintf("file:///landing/day=%03d/%08d.csv.gz", i%365, i), Size: int64(i), ModTime: time.UnixMicro(int64(i)).UTC()}
}

func span(from, to int) (files []sources.File) {
	for i := from; i < to; i++ {
		files = append(files, file(i))
	}
	return files
}

func seq(files []sources.File) iter.Seq2[sources.File, error] {
	return func(yield func(sources.File, error) bool) {
		for _, f := range files {
			if !yield(f, nil) {
				return
			}
		}
	}
}

func fresh(t testing.TB, s *sources.FileSet, files []sources.File) (uris []string, changed int) {
	for f, err := range s.New(context.Background(), seq(files), func(sources.File) { changed++ }) {
		require.NoError(t, err)
		uris = append(uris, f.URI)
	}
	return uris, changed
}

func TestFileSet(t *testing.T) {
	ctx, states := context.Background(), memory{}
	s, err := sources.LoadFileSet(ctx, states, nil)
	require.NoError(t, err)
	body, err := s.Save(ctx, states)
	require.NoError(t, err)
	require.JSONEq(t, `{"kind":"files","count":0}`, string(body))

	total := 0
	for run := range 100 {
		s, err = sources.LoadFileSet(ctx, states, body)
		require.NoError(t, err)
		require.Equal(t, total, s.Len())
		listed := span(0, total+1+run%7)
		uris, changed := fresh(t, s, append(listed, listed...))
		require.Len(t, uris, 1+run%7, "new ones, each once")
		require.Zero(t, changed)
		s.Add(listed...)
		total = len(listed)
		body, err = s.Save(ctx, states)
		require.NoError(t, err)
		again, err := s.Save(ctx, states)
		require.NoError(t, err)
		require.Equal(t, body, again)
	}
	written := 0
	for _, b := range states {
		written += len(b)
	}
	require.Less(t, written, 100*len(states[head(t, body)])+200_000, "states are deltas")

	// An older checkpoint still stands: a rolled back table goes on from it.
	s, err = sources.LoadFileSet(ctx, states, body)
	require.NoError(t, err)
	f := file(7)
	f.Size++
	uris, changed := fresh(t, s, []sources.File{f, file(8), file(total)})
	require.Equal(t, []string{file(total).URI}, uris)
	require.Equal(t, 1, changed, "a loaded file that changed is told, not loaded again")
	f = file(9)
	f.ETag = "x"
	require.True(t, s.Has(f))
}

func head(t *testing.T, body json.RawMessage) string {
	var c struct{ State string }
	require.NoError(t, json.Unmarshal(body, &c))
	return c.State
}

// The same files give the same state whatever the order, so that an activity that runs twice writes the same bytes.
func TestFileSetIsDeterministic(t *testing.T) {
	var bodies []string
	for _, reverse := range []bool{false, true} {
		states := memory{}
		var s sources.FileSet
		files := span(0, 1000)
		if reverse {
			slices.Reverse(files)
		}
		s.Add(files...)
		body, err := s.Save(context.Background(), states)
		require.NoError(t, err)
		bodies = append(bodies, string(body)+string(slices.Concat(slices.Collect(maps.Values(states))...)))
	}
	require.Equal(t, bodies[0], bodies[1])
}

func TestFileSetDamage(t *testing.T) {
	ctx := context.Background()
	save := func() (memory, json.RawMessage) {
		states := memory{}
		var s sources.FileSet
		s.Add(span(0, 1000)...)
		_, err := s.Save(ctx, states)
		require.NoError(t, err)
		s.Add(file(2000))
		body, err := s.Save(ctx, states)
		require.NoError(t, err)
		require.Len(t, states, 2)
		return states, body
	}
	tests := []struct {
		name   string
		damage func(memory, json.RawMessage) json.RawMessage
		want   string
	}{
		{"other kind", func(memory, json.RawMessage) json.RawMessage { return json.RawMessage(`{"kind":"snapshot"}`) }, `it is of kind "snapshot"`},
		{"not JSON", func(memory, json.RawMessage) json.RawMessage { return json.RawMessage(`{`) }, "unexpected end of JSON"},
		{"a state is gone", func(m memory, b json.RawMessage) json.RawMessage { clear(m); return b }, "no such state"},
		{"a state is cut", func(m memory, b json.RawMessage) json.RawMessage {
			for k, v := range m {
				m[k] = v[:len(v)-9]
			}
			return b
		}, "its digest is"},
		{"another state in its place", func(m memory, b json.RawMessage) json.RawMessage {
			var s sources.FileSet
			s.Add(span(5, 1005)...)
			other := memory{}
			_, err := s.Save(ctx, other)
			require.NoError(t, err)
			for k := range m {
				if k != head(t, b) {
					m[k] = slices.Collect(maps.Values(other))[0]
				}
			}
			return b
		}, "its digest is"},
	}
	for _, tt := range tests {
		states, body := save()
		body = tt.damage(states, body)
		_, err := sources.LoadFileSet(ctx, states, body)
		require.ErrorContains(t, err, tt.want, tt.name)
	}
}

// Many names are loaded, looked up and saved in time that grows with their number, not its square.
func TestFileSetOfManyFiles(t *testing.T) {
	const n = 100_000
	ctx, states := context.Background(), memory{}
	var s sources.FileSet
	s.Add(span(0, n)...)
	body, err := s.Save(ctx, states)
	require.NoError(t, err)
	before := len(states[head(t, body)])
	loaded, err := sources.LoadFileSet(ctx, states, body)
	require.NoError(t, err)
	count := 0
	for _, err := range loaded.New(ctx, func(yield func(sources.File, error) bool) {
		for i := range n + 10 {
			if !yield(file(i), nil) {
				return
			}
		}
	}, nil) {
		require.NoError(t, err)
		count++
	}
	require.Equal(t, 10, count)
	loaded.Add(span(n, n+10)...)
	body, err = loaded.Save(ctx, states)
	require.NoError(t, err)
	require.Less(t, len(states[head(t, body)]), before/100, "ten more files do not rewrite a million")
}

func TestFileSetPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	var s sources.FileSet
	var last error
	for _, err := range s.New(context.Background(), func(yield func(sources.File, error) bool) { yield(sources.File{}, broken) }, nil) {
		last = err
	}
	require.ErrorIs(t, last, broken)
}

func BenchmarkFileSetOfAMillion(b *testing.B) {
	ctx, states := context.Background(), memory{}
	var s sources.FileSet
	s.Add(span(0, 1_000_000)...)
	body, err := s.Save(ctx, states)
	require.NoError(b, err)
	for b.Loop() {
		loaded, err := sources.LoadFileSet(ctx, states, body)
		require.NoError(b, err)
		fresh(b, loaded, span(0, 1_000_010))
		loaded.Add(span(1_000_000, 1_000_010)...)
		_, err = loaded.Save(ctx, states)
		require.NoError(b, err)
	}
}
