package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds of a file. They are far above any real pipeline, and keep a hostile one from costing more than a moment.
const (
	maxFileSize = 1 << 20 // bytes
	maxDepth    = 64      // of nested lists and maps
	maxNodes    = 200_000 // visited in all, each alias counted as what it stands for
	maxExpanded = 8 << 20 // bytes of text after substitution
	maxFindings = 1000    // diagnostics kept
)

// document is a file's text and its YAML tree.
type document struct {
	file  string
	lines []string
	root  *yaml.Node // nil for an empty file
}

// parse reads one YAML document. On an error the document has no root.
func parse(file string, data []byte) (*document, Diagnostics) {
	doc := &document{file: file}
	if len(data) > maxFileSize {
		return doc, doc.failure(1, fmt.Sprintf("the file has %d bytes; at most %d are read", len(data), maxFileSize), "")
	}
	if at := invalidUTF8(data); at >= 0 {
		doc.lines = splitLines(string(data[:at]))
		line := len(doc.lines)
		column := utf8.RuneCountInString(doc.lines[line-1]) + 1
		return doc, Diagnostics{{Pos: Pos{file, line, column}, Message: "the file is not UTF-8 text"}}
	}
	doc.lines = splitLines(string(data))
	root, err := parseYAML(data)
	if err != nil {
		return doc, doc.syntaxError(err)
	}
	doc.root = root
	return doc, nil
}

// parseYAML reads the only document of data; nil if there is none.
func parseYAML(data []byte) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil { // the library panics on its own inconsistencies; they are the file's fault here
			err = fmt.Errorf("yaml: the file cannot be read: %v", r)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var node, second yaml.Node
	if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, fmt.Errorf("yaml: line %d: a second document begins; a file holds one", max(second.Line, 1))
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		return node.Content[0], nil
	}
	return nil, nil
}

var (
	yamlLine      = regexp.MustCompile(`^yaml: (?:line (\d+): )?((?s).*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxError places an error of the YAML library, which knows lines only, and those roughly.
func (doc *document) syntaxError(err error) Diagnostics {
	parts := yamlLine.FindStringSubmatch(err.Error())
	if parts == nil {
		return doc.failure(1, "not YAML: "+err.Error(), "")
	}
	line, _ := strconv.Atoi(parts[1])
	message, hint := parts[2], ""
	if name := unknownAnchor.FindStringSubmatch(message); name != nil {
		message = fmt.Sprintf("alias *%s has no anchor &%s before it", name[1], name[1])
		for i, text := range doc.lines {
			if strings.Contains(text, "*"+name[1]) {
				line = i + 1
				break
			}
		}
	}
	line = min(max(line, 1), len(doc.lines))
	text := strings.TrimSpace(doc.lines[line-1])
	switch {
	case strings.HasPrefix(doc.lines[line-1], "\t") || strings.Contains(message, "found character that cannot start any token") && strings.Contains(doc.lines[line-1], "\t"):
		hint = "indent with spaces: YAML forbids tabs"
	case strings.Contains(message, "did not find expected alphabetic") && strings.Contains(text, "*"):
		hint = `an asterisk begins an alias in YAML; write "*" in quotes`
	case strings.Contains(message, "did not find expected ',' or"):
		hint = "within { } and [ ], write a value that has , [ ] { } : or # in it in quotes"
	}
	return doc.failure(line, "not YAML: "+message, hint)
}

// failure is one diagnostic at the first character of a line.
func (doc *document) failure(line int, message, hint string) Diagnostics {
	column := 1
	if line <= len(doc.lines) {
		text := doc.lines[line-1]
		column += utf8.RuneCountInString(text) - utf8.RuneCountInString(strings.TrimLeft(text, " \t"))
	}
	return Diagnostics{{Pos: Pos{doc.file, line, column}, Message: message, Hint: hint}}
}

func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return -1
}

// splitLines splits where the YAML library counts a line: at LF, CR, CR LF and Unicode's NEL, LS and PS. There is always
// a first line.
func splitLines(s string) []string {
	s = strings.TrimPrefix(s, "\ufeff")
	var lines []string
	start := 0
	for i := 0; i < len(s); {
		size := 0
		switch {
		case strings.HasPrefix(s[i:], "\r\n"):
			size = 2
		case s[i] == '\n' || s[i] == '\r':
			size = 1
		case strings.HasPrefix(s[i:], "\u0085"):
			size = 2
		case strings.HasPrefix(s[i:], "\u2028") || strings.HasPrefix(s[i:], "\u2029"):
			size = 3
		}
		if size == 0 {
			i++
			continue
		}
		lines = append(lines, s[start:i])
		i += size
		start = i
	}
	return append(lines, s[start:])
}

// tag is what a plain scalar is by YAML 1.2's core schema, whatever the library took it for: yes, no, on, off, 0b1, 1_000
// and dates are strings.
type tag string

const (
	tagNull   tag = "null"
	tagBool   tag = "boolean"
	tagInt    tag = "integer"
	tagFloat  tag = "number"
	tagString tag = "string"
)

var (
	coreInt   = regexp.MustCompile(`^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$`)
	coreFloat = regexp.MustCompile(`^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$`)
	coreNonFi = regexp.MustCompile(`^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
)

// resolve gives a plain text's tag.
func resolve(text string) tag {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return tagNull
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return tagBool
	}
	switch c := text[0]; {
	case c != '.' && c != '-' && c != '+' && (c < '0' || c > '9'):
		return tagString
	case coreInt.MatchString(text):
		return tagInt
	case coreFloat.MatchString(text), coreNonFi.MatchString(text):
		return tagFloat
	}
	return tagString
}

// knownTags are the explicit tags that a file may use.
var knownTags = map[string]tag{"!!null": tagNull, "!!bool": tagBool, "!!int": tagInt, "!!float": tagFloat, "!!str": tagString}

// scalarTag gives a scalar's tag, by its text after substitution.
func scalarTag(n *yaml.Node, text string) tag {
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		if known, ok := knownTags[n.Tag]; ok {
			return known
		}
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return tagString
	}
	return resolve(text)
}

// describe names a node for "expected ..., found ...".
func describe(n *yaml.Node, text string) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch scalarTag(n, text) {
	case tagNull:
		return "nothing"
	case tagString:
		return "the string " + strconv.Quote(shorten(text))
	}
	return shorten(text)
}

// shorten bounds a text that a message quotes.
func shorten(text string) string {
	if runes := []rune(text); len(runes) > 60 {
		return string(runes[:59]) + "…"
	}
	return text
}
