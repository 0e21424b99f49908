package jsontext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// tree reads a value the slow way, for comparison with encoding/json.
func tree(p *Parser) (any, error) {
	k, err := p.Peek()
	if err != nil {
		return nil, err
	}
	switch k {
	case Null:
		return nil, p.Null()
	case Bool:
		return p.Bool()
	case Number:
		raw, err := p.Number()
		return json.Number(raw), err
	case String:
		s, err := p.String()
		return string(s), err
	case Array:
		list := []any{}
		for err = p.Enter(); err == nil; {
			var ok bool
			var v any
			if ok, err = p.NextElement(); err != nil || !ok {
				break
			}
			v, err = tree(p)
			list = append(list, v)
		}
		return list, err
	}
	object := map[string]any{}
	for err = p.Enter(); err == nil; {
		var key []byte
		var ok bool
		if key, ok, err = p.NextKey(); err != nil || !ok {
			break
		}
		name := string(key)
		object[name], err = tree(p)
	}
	return object, err
}

func parse(text []byte) (any, error) {
	var p Parser
	p.Reset(text)
	v, err := tree(&p)
	if err == nil {
		err = p.End()
	}
	return v, err
}

var texts = []string{
	`{"a":1,"b":[true,null,"x"],"c":{"d":-1.5e+10}}`, ` [ ] `, `{}`, `"\u00e9\ud83d\ude00\ud800x\n\"\\\/"`, `0`, `-0.0`,
	`[1,2,{"a":[]}]`, "\t\r\n1 ", `"é"`,
}

func TestParserReadsAsEncodingJSON(t *testing.T) {
	for _, text := range texts {
		got, err := parse([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, reference(t, text), got, text)
	}
}

func reference(t *testing.T, text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var want any
	require.NoError(t, d.Decode(&want))
	return want
}

func TestSyntaxErrors(t *testing.T) {
	tests := []struct{ in, want string }{
		{``, `not JSON at character 1: a value is missing`},
		{`{"a":}`, `not JSON at character 6: a value cannot begin with '}'`},
		{`{"a":1,}`, `not JSON at character 8: nothing follows the comma`},
		{`{"a" 1}`, `not JSON at character 6: expected a colon, found '1'`},
		{`{a:1}`, `not JSON at character 2: expected a key in quotes, found 'a'`},
		{`[1 2]`, `not JSON at character 4: expected a comma or ], found '2'`},
		{`[1`, `not JSON at character 3: expected a comma or ], found the end`},
		{`"a`, `not JSON at character 3: the string is not closed`},
		{`"a` + "\n" + `"`, `not JSON at character 3: a control character in a string`},
		{`"\x"`, `not JSON at character 2: an unknown escape`},
		{`"\u12"`, `not JSON at character 2: an escape of four hexadecimal digits is incomplete`},
		{`nul`, `not JSON at character 1: expected null`},
		{`01`, `not JSON at character 2: more text after the value: '1'`},
		{`1.`, `not JSON at character 3: a digit is missing after the point`},
		{`1e`, `not JSON at character 3: a digit is missing in the exponent`},
		{`-`, `not JSON at character 2: a digit is missing`},
		{`{} {}`, `not JSON at character 4: more text after the value: '{'`},
		{strings.Repeat("[", 300), `not JSON at character 257: nested deeper than 256`},
	}
	for _, tt := range tests {
		_, err := parse([]byte(tt.in))
		require.EqualError(t, err, tt.want, tt.in)
		var p Parser
		p.Reset([]byte(tt.in))
		if _, err = p.Skip(); err == nil {
			err = p.End()
		}
		require.EqualError(t, err, tt.want, "skip %s", tt.in)
	}
}

// FuzzParser compares with encoding/json: the same texts are JSON, and mean the same.
func FuzzParser(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parse(text)
		if err != nil && strings.Contains(err.Error(), "nested deeper") {
			return
		}
		require.Equal(t, json.Valid(text), err == nil, fmt.Sprint(err))
		var p Parser
		p.Reset(text)
		raw, skipErr := p.Skip()
		if err == nil {
			require.NoError(t, skipErr)
			require.Equal(t, bytes.Trim(text, " \t\r\n"), raw)
			if utf8.Valid(text) {
				require.Equal(t, reference(t, string(text)), got)
			}
		}
	})
}
