package sql

import "strings"

// token is a lexical element of a statement, text[start:end]. Space and comments are no tokens.
type token struct {
	kind       tokenKind
	start, end int
}

type tokenKind uint8

const (
	wordToken   tokenKind = iota // a bare identifier or keyword
	quotedToken                  // "an identifier"
	stringToken                  // 'text', E'text', $$text$$
	numberToken
	markToken // one other byte
)

func (t token) text(query string) string { return query[t.start:t.end] }

// is reports whether t is the bare word, in any case.
func (t token) is(query, word string) bool {
	return t.kind == wordToken && strings.EqualFold(t.text(query), word)
}

// tokenize splits a statement by PostgreSQL's lexical rules, which DuckDB's parser keeps: comments nest, quotes are
// doubled, E” takes backslashes, $tag$ quotes. What is left open at the end is left to the parser to report.
func tokenize(query string) []token {
	var tokens []token
	for at := 0; at < len(query); {
		if end := skipBlank(query, at); end > at {
			at = end
			continue
		}
		kind, end := lex(query, at)
		tokens = append(tokens, token{kind, at, end})
		at = end
	}
	return tokens
}

func skipBlank(query string, at int) int {
	switch rest := query[at:]; {
	case strings.ContainsRune(" \t\r\n\f\v", rune(rest[0])):
		return at + 1
	case strings.HasPrefix(rest, "--"):
		if n := strings.IndexAny(rest, "\r\n"); n >= 0 {
			return at + n
		}
		return len(query)
	case strings.HasPrefix(rest, "/*"):
		return skipComment(query, at)
	}
	return at
}

func skipComment(query string, at int) int {
	depth := 0
	for at < len(query) {
		switch {
		case strings.HasPrefix(query[at:], "/*"):
			depth++
			at += 2
		case strings.HasPrefix(query[at:], "*/"):
			depth--
			at += 2
			if depth == 0 {
				return at
			}
		default:
			at++
		}
	}
	return at
}

func lex(query string, at int) (tokenKind, int) {
	c := query[at]
	switch {
	case (c == 'e' || c == 'E') && at+1 < len(query) && query[at+1] == '\'':
		return stringToken, endOfQuoted(query, at+1, '\'', true)
	case c == '\'':
		return stringToken, endOfQuoted(query, at, '\'', false)
	case c == '"':
		return quotedToken, endOfQuoted(query, at, '"', false)
	case c == '$':
		if end, ok := endOfDollarQuoted(query, at); ok {
			return stringToken, end
		}
	case c >= '0' && c <= '9':
		end := at + 1
		for end < len(query) && (isWordByte(query[end]) || query[end] == '.') {
			end++
		}
		return numberToken, end
	case isWordByte(c):
		end := at + 1
		for end < len(query) && isWordByte(query[end]) {
			end++
		}
		return wordToken, end
	}
	return markToken, at + 1
}

// isWordByte holds for every byte of a non-ASCII letter too, as in PostgreSQL.
func isWordByte(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func endOfQuoted(query string, at int, quote byte, backslashes bool) int {
	for at++; at < len(query); at++ {
		switch {
		case backslashes && query[at] == '\\':
			at++
		case query[at] == quote && at+1 < len(query) && query[at+1] == quote:
			at++
		case query[at] == quote:
			return at + 1
		}
	}
	return len(query)
}

func endOfDollarQuoted(query string, at int) (int, bool) {
	end := at + 1
	for end < len(query) && isWordByte(query[end]) {
		end++
	}
	// $1 is a parameter.
	if end >= len(query) || query[end] != '$' || end > at+1 && query[at+1] >= '0' && query[at+1] <= '9' {
		return 0, false
	}
	tag := query[at : end+1]
	if n := strings.Index(query[end+1:], tag); n >= 0 {
		return end + 1 + n + len(tag), true
	}
	return len(query), true
}

func (t token) isName() bool { return t.kind == wordToken || t.kind == quotedToken }

// name is an identifier without its quotes.
func (t token) name(query string) string {
	text := t.text(query)
	if t.kind != quotedToken {
		return text
	}
	return strings.ReplaceAll(strings.TrimSuffix(text[1:], `"`), `""`, `"`)
}

// plainString is the value of 'text', not of the other kinds of strings.
func (t token) plainString(query string) (string, bool) {
	text := t.text(query)
	if t.kind != stringToken || len(text) < 2 || text[0] != '\'' || text[len(text)-1] != '\'' {
		return "", false
	}
	return strings.ReplaceAll(text[1:len(text)-1], "''", "'"), true
}
