package csv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// render reads everything and prints a line a record: its place, its fields in brackets, or its fault.
func render(r io.Reader, opts Options) (string, error) {
	var b strings.Builder
	s := NewScanner(r, opts)
	for s.Next() {
		fmt.Fprintf(&b, "%d@%d", s.Record(), s.Line())
		if f := s.Fault(); f != nil {
			fmt.Fprintf(&b, " fault %d:%d field %d: %s: %q\n", f.Line, f.Column, f.Field, f.Reason, s.Raw())
			continue
		}
		for i, f := range s.Fields() {
			line, column := s.Position(i)
			fmt.Fprintf(&b, " %d:%d[%s]", line, column, f)
		}
		b.WriteString("\n")
	}
	return b.String(), s.Err()
}

func TestScanner(t *testing.T) {
	tests := []struct {
		name, in string
		opts     Options
		want     string
	}{
		{"nothing", "", Options{}, ""},
		{"plain", "a,b\n1,2\n", Options{}, "1@1 1:1[a] 1:3[b]\n2@2 2:1[1] 2:3[2]\n"},
		{"no last newline", "a,b\n1,", Options{}, "1@1 1:1[a] 1:3[b]\n2@2 2:1[1] 2:3[]\n"},
		{"CRLF", "a,b\r\n1,\"2\"\r\n", Options{}, "1@1 1:1[a] 1:3[b]\n2@2 2:1[1] 2:3[2]\n"},
		{"blank lines", "\n\na\n\r\n\nb\n\n", Options{}, "1@3 3:1[a]\n2@6 6:1[b]\n"},
		{"quotes", `"a","b ""c""",""` + "\n", Options{}, `1@1 1:1[a] 1:5[b "c"] 1:15[]` + "\n"},
		{"only quotes", `"""",""""""` + "\n", Options{}, `1@1 1:1["] 1:6[""]` + "\n"},
		{"delimiter in quotes", `"a,b",c`, Options{}, "1@1 1:1[a,b] 1:7[c]\n"},
		{"line breaks in quotes", "\"a\nb\r\nc\",\"d\n\",e\nf\n", Options{}, "1@1 1:1[a\nb\r\nc] 3:4[d\n] 4:3[e]\n2@5 5:1[f]\n"},
		{"quotes inside bare text", `a"b,c ""d` + "\n", Options{}, `1@1 1:1[a"b] 1:5[c ""d]` + "\n"},
		{"space before a quote", `a, "b"` + "\n", Options{}, `1@1 1:1[a] 1:3[ "b"]` + "\n"},
		{"carriage return inside", "a\rb,c\n", Options{}, "1@1 1:1[a\rb] 1:5[c]\n"},
		{"other delimiter and quote", "a;'b;''c'\n", Options{Delimiter: ";", Quote: '\''}, "1@1 1:1[a] 1:3[b;'c]\n"},
		{"delimiter of several bytes", "a→\"b→c\"→d\ne→f\n", Options{Delimiter: "→"},
			"1@1 1:1[a] 1:5[b→c] 1:15[d]\n2@2 2:1[e] 2:5[f]\n"},
		{"no quoting", "\"a,b\"\n", Options{NoQuote: true}, "1@1 1:1[\"a] 1:4[b\"]\n"},

		{"text behind a quote", "x,\"a\"b,c\nd,e\n", Options{},
			"1@1 fault 1:6 field 1: text follows the closing quote: \"x,\\\"a\\\"b,c\"\n2@2 2:1[d] 2:3[e]\n"},
		{"unclosed quote", "a,\"b\nc,d\ne,f\n", Options{},
			"1@1 fault 1:3 field 1: the quote is not closed before the end of the file: \"a,\\\"b\"\n2@2 2:1[c] 2:3[d]\n3@3 3:1[e] 3:3[f]\n"},
		{"unclosed quote, another follows", "1,\"b\n2,\"c\"\n3,d\n", Options{},
			"1@1 fault 2:4 field 1: text follows the closing quote: \"1,\\\"b\"\n2@2 2:1[2] 2:3[c]\n3@3 3:1[3] 3:3[d]\n"},
		{"quote as the last byte", "a,\"", Options{}, "1@1 fault 1:3 field 1: the quote is not closed before the end of the file: \"a,\\\"\"\n"},
		{"line too long", "a,b\n" + strings.Repeat("x", 40) + "\nc,d\n", Options{MaxRecord: 20},
			"1@1 1:1[a] 1:3[b]\n2@2 fault 2:1 field -1: the record is longer than 20 bytes: \"" + strings.Repeat("x", 20) + "\"\n3@3 3:1[c] 3:3[d]\n"},
		{"record as long as allowed", "12345,\"9\"\r\n12345678,0\r\n123456,890\r\n", Options{MaxRecord: 10},
			"1@1 1:1[12345] 1:7[9]\n2@2 2:1[12345678] 2:10[0]\n3@3 3:1[123456] 3:8[890]\n"},
		{"unclosed quote above the bound", "a,\"b\n" + strings.Repeat("c,d\n", 10), Options{MaxRecord: 20},
			"1@1 fault 1:3 field 1: the quote is not closed within 20 bytes: \"a,\\\"b\"\n" + rows(2, 10, "c", "d")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for kind, r := range map[string]io.Reader{
				"whole": strings.NewReader(tt.in), "bytes": iotest.OneByteReader(strings.NewReader(tt.in)),
				"data and EOF": iotest.DataErrReader(strings.NewReader(tt.in)),
			} {
				got, err := render(r, tt.opts)
				require.NoError(t, err)
				require.Equal(t, tt.want, got, kind)
			}
		})
	}
}

func rows(from, count int, a, b string) string {
	var s strings.Builder
	for i := from; i < from+count; i++ {
		fmt.Fprintf(&s, "%d@%d %d:1[%s] %d:3[%s]\n", i, i, i, a, i, b)
	}
	return s.String()
}

// An error of the stream is reported, and the record that it cut is not handed out.
func TestScannerError(t *testing.T) {
	broken := errors.New("broken")
	for _, in := range []string{"a,b\n1,2\n3,", "a,b\n1,2\n\"3,\n", "a,b\n1,2\n"} {
		got, err := render(io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)), Options{})
		require.ErrorIs(t, err, broken)
		require.Equal(t, "1@1 1:1[a] 1:3[b]\n2@2 2:1[1] 2:3[2]\n", got, "%q", in)
	}
}

// An unclosed quote at the beginning of a large file costs one row and two passes, not the file.
func TestScannerUnclosedQuoteInLargeFile(t *testing.T) {
	const n = 300_000
	in := "0,\"x\n" + strings.Repeat("1,some text of no matter\n", n)
	s := NewScanner(strings.NewReader(in), Options{MaxRecord: 1 << 20})
	faults, good := 0, 0
	for s.Next() {
		if s.Fault() != nil {
			faults++
		} else {
			good++
		}
	}
	require.NoError(t, s.Err())
	require.Equal(t, 1, faults)
	require.Equal(t, n, good)
}

// FuzzScanner checks that no input makes the scanner fail, that how the stream is cut into reads does not matter, that
// every line is accounted for, and that fields joined again are the record.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{"a,b\n1,\"2\n\"\n", "\"", "\"a\"b\n\"\"\n,\r\n", "a,\"b\nc\n\"\"\"\n", "\r\n\r,\n"} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, limit uint8) {
		opts := Options{MaxRecord: int64(limit)}
		whole, err := render(bytes.NewReader(in), opts)
		require.NoError(t, err)
		cut, err := render(iotest.HalfReader(iotest.OneByteReader(bytes.NewReader(in))), opts)
		require.NoError(t, err)
		require.Equal(t, whole, cut)

		s := NewScanner(bytes.NewReader(in), opts)
		lines := strings.Split(string(in), "\n")
		next := int64(1)
		for s.Next() {
			require.GreaterOrEqual(t, s.Line(), next)
			for _, skipped := range lines[next-1 : s.Line()-1] {
				require.Empty(t, strings.TrimSuffix(skipped, "\r"), "line skipped before %d", s.Line())
			}
			if s.Fault() != nil {
				next = s.Line() + 1
				continue
			}
			next = s.Line() + int64(bytes.Count(s.Raw(), []byte("\n"))) + 1
			if limit > 0 {
				require.LessOrEqual(t, len(s.Raw()), int(limit))
			}
		}
	})
}

// FuzzRoundTrip checks that what is quoted by the rules reads as it was.
func FuzzRoundTrip(f *testing.F) {
	f.Add("a", "b\"c\nd", "", uint8(7))
	f.Add("\r\n", ",", "\"", uint8(1))
	f.Fuzz(func(t *testing.T, a, b, c string, quoted uint8) {
		want := []string{a, b, c}
		var in bytes.Buffer
		for row := range 3 {
			for i, v := range want {
				if i > 0 {
					in.WriteByte(',')
				}
				if strings.ContainsAny(v, "\",\r\n") || quoted>>i&1 == 1 {
					v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
				}
				in.WriteString(v)
			}
			in.WriteString([]string{"\n", "\r\n", ""}[row])
		}
		s := NewScanner(&in, Options{})
		for row := range 3 {
			require.True(t, s.Next())
			require.Nil(t, s.Fault())
			got := make([]string, 0, 3)
			for _, v := range s.Fields() {
				got = append(got, string(v))
			}
			require.Equal(t, want, got, "row %d", row)
		}
		require.False(t, s.Next())
	})
}

func BenchmarkScanner(b *testing.B) {
	for name, line := range map[string]string{
		"bare":   "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n",
		"quoted": "\"2013\",\"1\",\"1\",\"517\",\"515\",\"2\",\"830\",\"UA\",\"1545\",\"N14228\",\"EWR\",\"a \"\"b\"\" c\"\n",
	} {
		in := []byte(strings.Repeat(line, 10_000))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				s := NewScanner(bytes.NewReader(in), Options{})
				for s.Next() {
				}
			}
		})
	}
}
