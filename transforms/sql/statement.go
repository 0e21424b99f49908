package sql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strings"
)

// statement is one SELECT that was parsed and found to be allowed.
type statement struct {
	query string // as the user wrote it
	text  string // as DuckDB runs it, of the same length
	refs  []reference
	limit int64 // rows that suffice if there is one table and nothing but projections and filters; 0: unknown
}

// reference is a table that the statement reads, once for each version.
type reference struct {
	namespace, table string
	version          Version
	view             string // its name for DuckDB within the namespace
	offset           int    // of its first mention
}

func (r reference) name() string { return r.namespace + "." + r.table }

// tableFunctions are those that make rows of their arguments alone.
var tableFunctions = map[string]bool{
	"range": true, "generate_series": true, "unnest": true, "json_each": true, "json_tree": true,
	"repeat": true, "repeat_row": true,
}

// parse checks that query is a single SELECT over tables of the lake.
func parse(conn *connection, query string) (*statement, error) {
	if at := strings.IndexByte(query, 0); at >= 0 {
		return nil, errorAt(query, at, Syntax, "a NUL character in the statement")
	}
	text, travels, err := rewriteTravel(query)
	if err != nil {
		return nil, err
	}
	tree, err := syntaxTree(conn, query, text)
	if err != nil {
		return nil, err
	}
	w := &walker{query: query, text: text, travels: travels, ctes: map[string]bool{}, seen: map[string]bool{}}
	w.collectCTEs(tree)
	if err := w.walk(tree); err != nil {
		return nil, err
	}
	if len(w.travels) > 0 {
		return nil, errorAt(query, w.travels[0].start, Syntax, "AS OF belongs to the name of a table in FROM")
	}
	sort.SliceStable(w.refs, func(i, j int) bool { return w.refs[i].offset < w.refs[j].offset })
	return &statement{query: query, text: w.text, refs: w.refs, limit: rowLimit(tree)}, nil
}

// syntaxTree is DuckDB's own parse of a single SELECT.
func syntaxTree(conn *connection, query, text string) (any, error) {
	serialized, err := conn.queryText("SELECT json_serialize_sql("+quoteString(text)+")", 0)
	if err != nil {
		return nil, translate(query, err)
	}
	var parsed struct {
		Error        bool   `json:"error"`
		ErrorType    string `json:"error_type"`
		ErrorMessage string `json:"error_message"`
		Position     string `json:"position"`
		Statements   []any  `json:"statements"`
	}
	d := json.NewDecoder(strings.NewReader(serialized))
	d.UseNumber()
	if err := d.Decode(&parsed); err != nil {
		return nil, fmt.Errorf("sql engine: read the syntax tree: %w", err)
	}
	switch {
	case parsed.Error && parsed.ErrorType == "parser":
		return nil, errorAt(query, position(parsed.Position), Syntax, "%s", parsed.ErrorMessage)
	case parsed.Error:
		return nil, errorAt(query, firstToken(query), Refused, "only SELECT statements are allowed here")
	case len(parsed.Statements) == 0:
		return nil, errorAt(query, 0, Syntax, "the statement is empty")
	case len(parsed.Statements) > 1:
		return nil, errorAt(query, secondStatement(query), Refused, "only one statement is allowed here")
	}
	return parsed.Statements[0], nil
}

func firstToken(query string) int {
	if tokens := tokenize(query); len(tokens) > 0 {
		return tokens[0].start
	}
	return 0
}

func secondStatement(query string) int {
	ended := false
	for _, t := range tokenize(query) {
		if semicolon := t.text(query) == ";"; ended && !semicolon {
			return t.start
		} else if semicolon {
			ended = true
		}
	}
	return -1
}

// walker goes through a syntax tree for what it reads.
type walker struct {
	query, text string
	travels     []travel // those not met yet
	ctes        map[string]bool
	seen        map[string]bool
	refs        []reference
}

// collectCTEs gathers the names of all WITH clauses. Their scopes do not matter: no other table has a bare name.
func (w *walker) collectCTEs(node any) {
	switch n := node.(type) {
	case map[string]any:
		if ctes, ok := n["cte_map"].(map[string]any); ok {
			entries, _ := ctes["map"].([]any)
			for _, e := range entries {
				if entry, ok := e.(map[string]any); ok {
					w.ctes[strings.ToLower(text(entry, "key"))] = true
				}
			}
		}
		for _, child := range n {
			w.collectCTEs(child)
		}
	case []any:
		for _, child := range n {
			w.collectCTEs(child)
		}
	}
}

func (w *walker) walk(node any) error {
	switch n := node.(type) {
	case map[string]any:
		if err := w.visit(n); err != nil {
			return err
		}
		keys := make([]string, 0, len(n))
		for key := range n {
			keys = append(keys, key)
		}
		sort.Strings(keys) // so that of several mistakes the same is reported each time
		for _, key := range keys {
			if err := w.walk(n[key]); err != nil {
				return err
			}
		}
	case []any:
		for _, child := range n {
			if err := w.walk(child); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walker) visit(n map[string]any) error {
	switch text(n, "type") {
	case "BASE_TABLE":
		if _, ok := n["table_name"]; ok {
			return w.table(n)
		}
	case "TABLE_FUNCTION":
		function, ok := n["function"].(map[string]any)
		if !ok {
			return errorAt(w.query, offset(n), Refused, "this table function is not allowed here")
		}
		if name := text(function, "function_name"); !tableFunctions[strings.ToLower(name)] {
			e := errorAt(w.query, offset(n), Refused, "the table function %s is not allowed here", name)
			e.Hint = "a query reads tables of the lake only; files are read by a table's source"
			return e
		}
	case "SHOW_REF":
		return errorAt(w.query, firstToken(w.query), Refused, "only SELECT statements are allowed here")
	}
	return nil
}

func (w *walker) table(n map[string]any) error {
	catalog, namespace, table, at := text(n, "catalog_name"), text(n, "schema_name"), text(n, "table_name"), offset(n)
	folded := strings.ToLower(table)
	switch {
	case catalog == "" && (namespace == "" || strings.EqualFold(namespace, "recurring")) && w.ctes[folded]:
		return nil
	case n["at_clause"] != nil:
		e := errorAt(w.query, at, Syntax, "AT is not allowed here")
		e.Hint = "write FOR VERSION AS OF 17, FOR VERSION AS OF 'tag' or FOR TIMESTAMP AS OF '2013-01-31'"
		return e
	case catalog != "":
		return errorAt(w.query, at, Binding, "table %s.%s.%s: a table is named namespace.table", catalog, namespace, table)
	case namespace == "":
		return errorAt(w.query, at, Binding, "table %s: a table is named namespace.table, and no WITH defines %s", table, table)
	}
	ref := reference{namespace: namespace, table: table, view: table, offset: at}
	for i, t := range w.travels {
		if t.start == at {
			ref.table, ref.view, ref.version = t.table, t.view, t.version
			if text(n, "alias") == "" {
				w.text = t.bindAlias(w.text)
			}
			w.travels = append(w.travels[:i:i], w.travels[i+1:]...)
			break
		}
	}
	if key := ref.namespace + "\x00" + ref.view; !w.seen[key] {
		w.seen[key] = true
		w.refs = append(w.refs, ref)
	}
	return nil
}

func text(n map[string]any, key string) string {
	s, _ := n[key].(string)
	return s
}

// offset is where a node begins in the statement, -1 if it was not written there.
func offset(n map[string]any) int {
	number, _ := n["query_location"].(json.Number)
	return position(number.String())
}

func position(s string) int {
	var at int
	if _, err := fmt.Sscan(string(bytes.TrimSpace([]byte(s))), &at); err != nil || at < 0 {
		return -1
	}
	return at
}

// rowLimit is LIMIT and OFFSET of a statement that has no other clause like them, 0 if it is not of that form.
func rowLimit(tree any) int64 {
	statement, _ := tree.(map[string]any)
	node, _ := statement["node"].(map[string]any)
	modifiers, _ := node["modifiers"].([]any)
	if len(modifiers) != 1 || countModifiers(tree) != 1 {
		return 0
	}
	modifier, _ := modifiers[0].(map[string]any)
	limit, ok := constant(modifier["limit"])
	if text(modifier, "type") != "LIMIT_MODIFIER" || !ok {
		return 0
	}
	if modifier["offset"] == nil {
		return limit
	}
	skip, ok := constant(modifier["offset"])
	if !ok || limit > math.MaxInt64-skip {
		return 0
	}
	return limit + skip
}

// countModifiers counts the clauses LIMIT, ORDER BY and DISTINCT.
func countModifiers(node any) int {
	n := 0
	switch node := node.(type) {
	case map[string]any:
		modifiers, _ := node["modifiers"].([]any)
		n += len(modifiers)
		for _, child := range node {
			n += countModifiers(child)
		}
	case []any:
		for _, child := range node {
			n += countModifiers(child)
		}
	}
	return n
}

// constant is a whole number of 0 or more that is written out.
func constant(node any) (int64, bool) {
	expression, _ := node.(map[string]any)
	value, _ := expression["value"].(map[string]any)
	number, ok := value["value"].(json.Number)
	if !ok || text(expression, "class") != "CONSTANT" {
		return 0, false
	}
	n, err := number.Int64()
	return n, err == nil && n >= 0
}
