package lines

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func scan(r io.Reader, limit int64) (string, error) {
	var b strings.Builder
	s := NewScanner(r, limit)
	for s.Next() {
		fmt.Fprintf(&b, "%d[%s]", s.Number(), s.Bytes())
		if s.TooLong() {
			b.WriteString("!")
		}
	}
	return b.String(), s.Err()
}

func TestScanner(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "",
		"a":                  "1[a]",
		"a\n":                "1[a]",
		"\n\na\r\n\r\nb":     "1[]2[]3[a]4[]5[b]",
		"a\rb\n":             "1[a\rb]",
		"12345\n123456\n1":   "1[12345]2[12345]!3[1]",
		"12345\r\n123456789": "1[12345]2[12345]!",
		"12345\r":            "1[12345]",
	} {
		for kind, r := range map[string]io.Reader{"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in))} {
			got, err := scan(r, 5)
			require.NoError(t, err)
			require.Equal(t, want, got, "%q %s", in, kind)
		}
	}
}

func TestScannerErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, in := range []string{"a\nb", "a\n", "a\n" + strings.Repeat("b", 20)} {
		got, err := scan(io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)), 5)
		require.ErrorIs(t, err, broken)
		require.Equal(t, "1[a]", got)
	}
	_, err := scan(stuck{}, 5)
	require.ErrorIs(t, err, io.ErrNoProgress)
}

// stuck is a reader that gives neither bytes nor an error.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func FuzzScanner(f *testing.F) {
	f.Add("a\r\n\nb", uint8(3))
	f.Fuzz(func(t *testing.T, in string, limit uint8) {
		whole, err := scan(strings.NewReader(in), int64(limit))
		require.NoError(t, err)
		cut, err := scan(iotest.HalfReader(iotest.OneByteReader(strings.NewReader(in))), int64(limit))
		require.NoError(t, err)
		require.Equal(t, whole, cut)
		if limit == 0 {
			lines := strings.Split(in, "\n")
			if lines[len(lines)-1] == "" {
				lines = lines[:len(lines)-1]
			}
			var want strings.Builder
			for i, line := range lines {
				fmt.Fprintf(&want, "%d[%s]", i+1, strings.TrimSuffix(line, "\r"))
			}
			require.Equal(t, want.String(), whole)
		}
	})
}
