package sql

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// travel is a table reference with a version: `silver.flights FOR VERSION AS OF 17`.
type travel struct {
	start, end int // of the whole in the query
	namespace  string
	table      string
	version    Version
	view       string // under which DuckDB finds it, in the same namespace
}

// rewriteTravel replaces each such reference, which DuckDB's parser does not know, with the name of a view. The text
// keeps its length, so that positions stay true; there is always room, also for the alias that bindAlias adds.
func rewriteTravel(query string) (string, []travel, error) {
	tokens := tokenize(query)
	out := []byte(query)
	var found []travel
	for i := range tokens {
		unit, at, ok := travelClause(query, tokens[i:])
		if !ok {
			continue
		}
		t, err := readTravel(query, tokens, i, i+at, unit)
		if err != nil {
			return "", nil, err
		}
		t.view = "@" + strconv.Itoa(len(found)+1)
		overwrite(out, t.start, t.end, t.reference())
		found = append(found, t)
	}
	return string(out), found, nil
}

// reference is the name that stands in the rewritten query.
func (t travel) reference() string { return quoteName(t.namespace) + "." + quoteName(t.view) }

// bindAlias lets the query go on to name the columns of an unaliased reference by its table.
func (t travel) bindAlias(text string) string {
	out := []byte(text)
	overwrite(out, t.start, t.end, t.reference()+" AS "+quoteName(t.table))
	return string(out)
}

// travelClause reports whether tokens begin with FOR ... AS OF, and the index of the value's token.
func travelClause(query string, tokens []token) (unit string, value int, ok bool) {
	if len(tokens) < 4 || !tokens[0].is(query, "FOR") || !tokens[2].is(query, "AS") || !tokens[3].is(query, "OF") {
		return "", 0, false
	}
	switch t := tokens[1]; {
	case t.is(query, "VERSION"), t.is(query, "SYSTEM_VERSION"):
		return "VERSION", 4, true
	case t.is(query, "TIMESTAMP"), t.is(query, "SYSTEM_TIME"):
		value = 4
		// TIMESTAMP '2013-01-01' says nothing more than its text.
		if len(tokens) > 4 && (tokens[4].is(query, "TIMESTAMP") || tokens[4].is(query, "TIMESTAMPTZ") || tokens[4].is(query, "DATE")) {
			value = 5
		}
		return "TIMESTAMP", value, true
	}
	return "", 0, false
}

// readTravel reads the name before the token at clause and the value at the token at value.
func readTravel(query string, tokens []token, clause, value int, unit string) (travel, error) {
	wants := "a snapshot id, or a tag or branch in single quotes"
	if unit == "TIMESTAMP" {
		wants = "a time in single quotes"
	}
	if value >= len(tokens) {
		return travel{}, errorAt(query, tokens[clause].start, Syntax, "%s AS OF wants %s", unit, wants)
	}
	last := tokens[value]
	if last.kind != stringToken && (unit != "VERSION" || last.kind != numberToken) {
		return travel{}, errorAt(query, last.start, Syntax, "%s AS OF wants %s, not %s", unit, wants, last.text(query))
	}
	version, err := parseVersion(unit, last, query)
	if err != nil {
		return travel{}, errorAt(query, last.start, Syntax, "%v", err)
	}
	if clause < 3 || !tokens[clause-1].isName() || tokens[clause-2].text(query) != "." || !tokens[clause-3].isName() ||
		clause > 3 && tokens[clause-4].text(query) == "." {
		return travel{}, errorAt(query, tokens[clause].start, Syntax,
			"%s AS OF follows the name of a table, namespace.table, and stands before its alias", unit)
	}
	return travel{
		start: tokens[clause-3].start, end: last.end, version: version,
		namespace: tokens[clause-3].name(query), table: tokens[clause-1].name(query),
	}, nil
}

// overwrite puts text at start and blanks the rest up to end.
func overwrite(query []byte, start, end int, text string) {
	n := copy(query[start:end], text)
	for i := start + n; i < end; i++ {
		query[i] = ' '
	}
}

var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07",
	"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04", "2006-01-02",
}

func parseVersion(unit string, value token, query string) (Version, error) {
	if value.kind == numberToken {
		id, err := strconv.ParseInt(value.text(query), 10, 64)
		if err != nil {
			return Version{}, fmt.Errorf("%s is not a snapshot id", value.text(query))
		}
		return Version{SnapshotID: &id}, nil
	}
	text, ok := value.plainString(query)
	if !ok || text == "" {
		return Version{}, fmt.Errorf("%s is not a version: write 'a tag' in plain single quotes", value.text(query))
	}
	if unit == "VERSION" {
		return Version{Ref: text}, nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			t = t.UTC()
			return Version{Timestamp: &t}, nil
		}
	}
	return Version{}, fmt.Errorf("%q is not a time: write 2013-01-31, 2013-01-31 12:00:00 (in UTC) or 2013-01-31T12:00:00-05:00", text)
}

func quoteString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func quoteName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
