// Package script runs data-driven tests: text files of commands, their input and their output, which a reader learns the
// behaviour from, and which -update rewrites.
//
//	# a comment
//	command word key=value key="two words"
//	input, any number of lines
//	----
//	output, up to an empty line
package script

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected output of data-driven tests")

// Command is one command of a script.
type Command struct {
	Name  string
	Words []string          // arguments without a key
	Args  map[string]string // arguments with one
	Input string            // without the last line's end
	Pos   string            // file:line
}

// Lines are the input's lines; none for an empty input.
func (c *Command) Lines() []string {
	if c.Input == "" {
		return nil
	}
	return strings.Split(c.Input, "\n")
}

// Run gives each command of a file to do, and compares what it returns.
func Run(t *testing.T, path string, do func(t *testing.T, c *Command) string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	for i := 0; i < len(lines); {
		if line := lines[i]; strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			out.WriteString(line + "\n")
			i++
			continue
		}
		pos := fmt.Sprintf("%s:%d", path, i+1)
		c, err := parse(lines[i])
		if err != nil {
			t.Fatalf("%s: %v", pos, err)
		}
		c.Pos = pos
		head := lines[i]
		i++
		start := i
		for i < len(lines) && lines[i] != "----" {
			i++
		}
		if i == len(lines) {
			t.Fatalf("%s: no ---- after the command", pos)
		}
		c.Input = strings.Join(lines[start:i], "\n")
		i++
		start = i
		for i < len(lines) && lines[i] != "" {
			i++
		}
		want := strings.Join(lines[start:i], "\n")
		got := strings.TrimRight(do(t, c), "\n")
		if t.Failed() {
			t.FailNow()
		}
		if got != want && !*update {
			t.Fatalf("%s: %s\ngot:\n%s\nwant:\n%s", pos, head, indent(got), indent(want))
		}
		out.WriteString(head + "\n")
		if c.Input != "" {
			out.WriteString(c.Input + "\n")
		}
		out.WriteString("----\n")
		if got != "" {
			out.WriteString(got + "\n")
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }

func parse(line string) (*Command, error) {
	words, err := split(line)
	if err != nil {
		return nil, err
	}
	c := &Command{Name: words[0], Args: map[string]string{}}
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			c.Args[k] = v
		} else {
			c.Words = append(c.Words, w)
		}
	}
	return c, nil
}

// split cuts a line at spaces that are not in double quotes.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	quoted, any := false, false
	for _, r := range line {
		switch {
		case r == '"':
			quoted, any = !quoted, true
		case r == ' ' && !quoted:
			if any {
				words = append(words, word.String())
			}
			word.Reset()
			any = false
		default:
			word.WriteRune(r)
			any = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote is not closed: %s", line)
	}
	if any {
		words = append(words, word.String())
	}
	return words, nil
}
