package glob

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func match(p *Pattern, file string) bool {
	s := p.Start()
	for _, name := range strings.Split(strings.Trim(file, "/"), "/") {
		s = s.Step(name, true)
	}
	return s.Match()
}

func TestMatch(t *testing.T) {
	tests := []struct{ pattern, yes, no string }{
		{"/a/b.csv", "/a/b.csv", "/a/b /a /a/b.csv/c"},
		{"/a/*.csv", "/a/b.csv /a/c.csv", "/a/b.json /a/x/b.csv /a/.b.csv /a/_b.csv"},
		{"/a/**/*.csv", "/a/b.csv /a/x/b.csv /a/x/y/b.csv /a/x=1/y=2/b.csv /a/_x=1/b.csv", "/b.csv /a/x/b.json /a/.x/b.csv /a/_x/b.csv"},
		{"/a/**", "/a/b /a/x/b", "/a /b"},
		{"/**/b", "/b /a/b /a/a/b", "/a/c"},
		{"/a/**/**/b/**/c", "/a/b/c /a/x/b/y/z/c", "/a/c"},
		{"/a/{x,y}/*.{csv,json}", "/a/x/b.csv /a/y/b.json", "/a/z/b.csv /a/x/b.txt"},
		{"/a/{x/y,z}/b", "/a/x/y/b /a/z/b", "/a/x/b"},
		{"/a/{x,y{1,2}}", "/a/x /a/y1 /a/y2", "/a/y"},
		{"/a/?.csv", "/a/b.csv /a/é.csv", "/a/bc.csv"},
		{"/a/[a-c].csv", "/a/b.csv", "/a/d.csv"},
		{"/a/[!a-c].csv", "/a/d.csv", "/a/b.csv"},
		{`/a/\*.csv`, "/a/*.csv", "/a/b.csv"},
		{`/a/\{x,y\}`, "/a/{x,y}", "/a/x"},
		{"/a/./x/../b", "/a/b", "/a/x/b"},
		{"/a/.*", "/a/.b", "/a/b"},
		{"/a/_*", "/a/_b", "/a/b"},
	}
	for _, tt := range tests {
		p, err := Compile(tt.pattern)
		require.NoError(t, err, tt.pattern)
		for _, file := range strings.Fields(tt.yes) {
			require.True(t, match(p, file), "%s should match %s", tt.pattern, file)
		}
		for _, file := range strings.Fields(tt.no) {
			require.False(t, match(p, file), "%s should not match %s", tt.pattern, file)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		"/a/{b":                          `glob "/a/{b": a { is not closed`,
		"/a/b}":                          `glob "/a/b}": a } without a {`,
		"/a/[b":                          `glob "/a/[b": "[b" is not a pattern: a class is not closed, or a backslash stands at the end`,
		`/a\`:                            `glob "/a\\": "a\\" is not a pattern: a class is not closed, or a backslash stands at the end`,
		strings.Repeat("{a,b,c,d,e}", 5): `glob "` + strings.Repeat("{a,b,c,d,e}", 5) + `": its braces make more than 1000 patterns`,
	} {
		_, err := Compile(pattern)
		require.EqualError(t, err, want)
	}
}

func TestNames(t *testing.T) {
	p, err := Compile("/a/{x,y}/*")
	require.NoError(t, err)
	names, ok := p.Start().Names()
	require.True(t, ok)
	require.Equal(t, []string{"a"}, names)
	names, ok = p.Start().Step("a", true).Names()
	require.True(t, ok)
	require.Equal(t, []string{"x", "y"}, names)
	_, ok = p.Start().Step("a", true).Step("x", true).Names()
	require.False(t, ok)
	require.False(t, p.Start().Step("b", true).More())
}

func FuzzCompile(f *testing.F) {
	f.Add("/a/{x,y}/**/[a-b]?*.csv", "/a/x/b.csv")
	f.Fuzz(func(t *testing.T, pattern, file string) {
		if p, err := Compile(pattern); err == nil {
			match(p, file)
		}
	})
}
