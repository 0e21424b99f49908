package sql

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
)

// readFilters reads the conjuncts of a condition as DuckDB prints it, "((n > 3) AND (day >= '2013-01-01'::DATE))".
// Those it does not understand it leaves out, and says that it is not whole.
func readFilters(s *session, r *relation, condition string) (filters []Filter, whole bool) {
	f := &filterReader{session: s, relation: r, text: condition, whole: true}
	f.conjunct(tokenize(condition))
	return f.filters, f.whole
}

type filterReader struct {
	session  *session
	relation *relation
	text     string
	filters  []Filter
	whole    bool
}

func (f *filterReader) conjunct(tokens []token) {
	tokens = f.unwrap(tokens)
	if !f.has(tokens, "BETWEEN") {
		if parts := f.split(tokens, "AND"); len(parts) > 1 {
			for _, part := range parts {
				f.conjunct(part)
			}
			return
		}
	}
	if parts := f.split(tokens, "OR"); len(parts) > 1 {
		f.disjunct(parts)
		return
	}
	if found, ok := f.comparison(tokens); ok {
		f.filters = append(f.filters, found...)
	} else {
		f.whole = false
	}
}

// disjunct reads (c = 1) OR (c = 2), DuckDB's form of a short IN.
func (f *filterReader) disjunct(parts [][]token) {
	in := Filter{Op: In}
	for _, part := range parts {
		found, ok := f.comparison(f.unwrap(part))
		if !ok || len(found) != 1 || found[0].Op != Equal || in.Column != "" && in.Column != found[0].Column {
			f.whole = false
			return
		}
		in.Column = found[0].Column
		in.Values = append(in.Values, found[0].Values...)
	}
	f.filters = append(f.filters, in)
}

// unwrap takes off parentheses around the whole.
func (f *filterReader) unwrap(tokens []token) []token {
	for len(tokens) >= 2 && f.word(tokens[0]) == "(" && f.closing(tokens) == len(tokens)-1 {
		tokens = tokens[1 : len(tokens)-1]
	}
	return tokens
}

// closing is the index of the parenthesis that closes the first token.
func (f *filterReader) closing(tokens []token) int {
	depth := 0
	for i, t := range tokens {
		switch f.word(t) {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// word is a token's text, "" for one with quotes: text in quotes is never an operator.
func (f *filterReader) word(t token) string {
	if t.kind == stringToken || t.kind == quotedToken {
		return ""
	}
	return t.text(f.text)
}

func (f *filterReader) has(tokens []token, word string) bool { return len(f.split(tokens, word)) > 1 }

// split cuts at a word outside of parentheses.
func (f *filterReader) split(tokens []token, word string) [][]token {
	var parts [][]token
	depth, from := 0, 0
	for i, t := range tokens {
		switch f.word(t) {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			depth--
		case word:
			if depth == 0 {
				parts = append(parts, tokens[from:i])
				from = i + 1
			}
		}
	}
	return append(parts, tokens[from:])
}

// comparison reads a condition on one column.
func (f *filterReader) comparison(tokens []token) ([]Filter, bool) {
	if len(tokens) == 2 && f.word(tokens[0]) == "NOT" {
		field, ok := f.column(tokens[1])
		return []Filter{{field.Name, Equal, []any{false}}}, ok && field.Type.ID() == arrow.BOOL
	}
	if len(tokens) == 0 {
		return nil, false
	}
	if len(tokens) > 1 && prefixFunctions[f.word(tokens[0])] {
		return f.prefix(tokens[1:])
	}
	field, ok := f.column(tokens[0])
	if !ok {
		return nil, false
	}
	rest := tokens[1:]
	words := make([]string, 0, len(rest))
	for _, t := range rest {
		words = append(words, f.word(t))
	}
	switch joined := strings.Join(words, " "); {
	case joined == "":
		return []Filter{{field.Name, Equal, []any{true}}}, len(rest) == 0 && field.Type.ID() == arrow.BOOL
	case joined == "IS NULL":
		return []Filter{{Column: field.Name, Op: IsNull}}, true
	case joined == "IS NOT NULL":
		return []Filter{{Column: field.Name, Op: NotNull}}, true
	case words[0] == "BETWEEN":
		return f.between(field, rest[1:])
	case words[0] == "IN" && len(words) > 1 && words[1] == "(":
		return f.list(field, rest[1:])
	}
	op, n := operator(words)
	if op == "" {
		return nil, false
	}
	value, ok := f.literal(field.Type, rest[n:])
	return []Filter{{field.Name, op, []any{value}}}, ok
}

// between reads a range. DuckDB prints bounds that are not part of it as if they were: as a filter that is no harm, as
// the whole of a condition it would be.
func (f *filterReader) between(field arrow.Field, tokens []token) ([]Filter, bool) {
	f.whole = false
	parts := f.split(tokens, "AND")
	if len(parts) != 2 {
		return nil, false
	}
	low, ok := f.literal(field.Type, parts[0])
	high, also := f.literal(field.Type, parts[1])
	return []Filter{{field.Name, GreaterOrEqual, []any{low}}, {field.Name, LessOrEqual, []any{high}}}, ok && also
}

// list reads the constants of IN. Among them a null lets no row more through: what equals none of the others is unknown then.
func (f *filterReader) list(field arrow.Field, tokens []token) ([]Filter, bool) {
	if f.closing(tokens) != len(tokens)-1 {
		return nil, false
	}
	in := Filter{Column: field.Name, Op: In}
	for _, part := range f.split(tokens[1:len(tokens)-1], ",") {
		if len(part) == 1 && f.word(part[0]) == "NULL" {
			continue
		}
		value, ok := f.literal(field.Type, part)
		if !ok {
			return nil, false
		}
		in.Values = append(in.Values, value)
	}
	return []Filter{in}, len(in.Values) > 0
}

// prefixFunctions are what DuckDB makes of LIKE 'text%', and how one says it oneself.
var prefixFunctions = map[string]bool{"prefix": true, "starts_with": true}

// prefix reads (column, 'text').
func (f *filterReader) prefix(tokens []token) ([]Filter, bool) {
	if f.word(tokens[0]) != "(" || f.closing(tokens) != len(tokens)-1 {
		return nil, false
	}
	parts := f.split(tokens[1:len(tokens)-1], ",")
	if len(parts) != 2 || len(parts[0]) != 1 {
		return nil, false
	}
	field, ok := f.column(parts[0][0])
	if !ok || field.Type.ID() != arrow.STRING {
		return nil, false
	}
	value, ok := f.literal(field.Type, parts[1])
	return []Filter{{field.Name, StartsWith, []any{value}}}, ok
}

// operator reads the tokens of an operator, which are one byte each.
func operator(words []string) (Operator, int) {
	if len(words) >= 2 {
		switch op := Operator(words[0] + words[1]); op {
		case NotEqual, LessOrEqual, GreaterOrEqual:
			return op, 2
		}
	}
	switch op := Operator(words[0]); op {
	case Equal, Less, Greater:
		return op, 1
	}
	return "", 0
}

func (f *filterReader) column(t token) (arrow.Field, bool) {
	r, c, ok := f.session.column(t.text(f.text))
	if !ok || r != f.relation {
		return arrow.Field{}, false
	}
	return r.schema.Field(c), true
}

// literal reads a constant as a value of a column's type. DuckDB casts constants to the type of the column, or else
// the column to the type of the constant, which is no comparison for here.
func (f *filterReader) literal(t arrow.DataType, tokens []token) (any, bool) {
	if len(tokens) == 0 {
		return nil, false
	}
	first, cast := tokens[0], ""
	if first.kind == stringToken {
		for _, t := range tokens[1:] {
			cast += f.word(t) + " "
		}
		text, ok := first.plainString(f.text)
		if !ok {
			return nil, false
		}
		return quotedLiteral(t, text, strings.TrimSpace(cast))
	}
	text := ""
	for _, t := range tokens {
		text += f.word(t)
	}
	switch t := t.(type) {
	case *arrow.Int32Type:
		n, err := strconv.ParseInt(text, 10, 32)
		return int32(n), err == nil
	case *arrow.Int64Type:
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil
	case *arrow.BooleanType:
		return text == "true", text == "true" || text == "false"
	case *arrow.Decimal128Type:
		whole, fraction, _ := strings.Cut(text, ".")
		if int32(len(fraction)) != t.Scale || strings.Trim(whole+fraction, "0123456789-") != "" {
			return nil, false
		}
		n, err := decimal128.FromString(text, t.Precision, t.Scale)
		return n, err == nil
	}
	return nil, false
}

// quotedLiteral reads 'text'::cast. The Go types are those that Filter promises.
func quotedLiteral(t arrow.DataType, text, cast string) (any, bool) {
	switch t := t.(type) {
	case *arrow.StringType:
		return text, cast == ""
	case *arrow.Date32Type:
		at, err := time.Parse("2006-01-02", text)
		return arrow.Date32FromTime(at), err == nil && cast == ": : DATE"
	case *arrow.TimestampType:
		if t.Unit != arrow.Microsecond {
			return nil, false
		}
		layout, want := "2006-01-02 15:04:05.999999", ": : TIMESTAMP"
		if t.TimeZone != "" {
			layout, want = "2006-01-02 15:04:05.999999Z07", ": : TIMESTAMP WITH TIME ZONE"
		}
		at, err := time.Parse(layout, text)
		return arrow.Timestamp(at.UnixMicro()), err == nil && cast == want
	case *extensions.UUIDType:
		b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
		if err != nil || len(b) != 16 || cast != ": : UUID" {
			return nil, false
		}
		return [16]byte(b), true
	}
	return nil, false
}
