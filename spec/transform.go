package spec

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// partitionTransforms are Iceberg's, each with whether it takes a number first. Singular forms are read as the plural.
var partitionTransforms = map[string]bool{
	"identity": false, "years": false, "months": false, "days": false, "hours": false, "void": false,
	"bucket": true, "truncate": true,
}

var transformNames = []string{"identity", "years", "months", "days", "hours", "bucket", "truncate", "void"}

// transform is one parsed partition or sort term.
type transform struct {
	name   string // "" for a plain column
	number int
	column string
}

func (t transform) String() string {
	switch {
	case t.name == "" || t.name == "identity":
		return t.column
	case partitionTransforms[t.name]:
		return fmt.Sprintf("%s(%d, %s)", t.name, t.number, t.column)
	}
	return t.name + "(" + t.column + ")"
}

// parseTransform reads column, days(column), bucket(16, column) and their like.
func parseTransform(s string) (transform, *problem) {
	open := strings.IndexByte(s, '(')
	if open < 0 {
		column := strings.TrimSpace(s)
		if column == "" || strings.ContainsAny(column, ",)") {
			return transform{}, &problem{message: fmt.Sprintf("%q: expected a column, or a transform of one such as days(ts) or bucket(16, id)", shorten(s))}
		}
		return transform{column: column}, nil
	}
	name := strings.TrimSpace(s[:open])
	switch name {
	case "year", "month", "day", "hour":
		name += "s"
	}
	numbered, known := partitionTransforms[name]
	if !known {
		return transform{}, &problem{
			message: fmt.Sprintf("unknown transform %q: expected %s", shorten(name), strings.Join(transformNames, ", ")),
			hint:    didYouMean(name, transformNames),
		}
	}
	inside, after, closed := strings.Cut(s[open+1:], ")")
	if !closed || strings.TrimSpace(after) != "" {
		return transform{}, &problem{offset: len(s), message: fmt.Sprintf("%q: expected ) at the end", shorten(s))}
	}
	t := transform{name: name, column: strings.TrimSpace(inside)}
	if numbered {
		number, column, found := strings.Cut(inside, ",")
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if !found || err != nil || n < 1 || n > 1<<30 {
			return transform{}, &problem{offset: open + 1, message: fmt.Sprintf("%s takes a number above zero and a column, as in %s(16, id)", name, name)}
		}
		t.number, t.column = n, strings.TrimSpace(column)
	}
	if t.column == "" || strings.ContainsAny(t.column, ",(") {
		return transform{}, &problem{offset: open + 1, message: fmt.Sprintf("%s takes one column, found %q", name, shorten(inside))}
	}
	return t, nil
}

// partitionPattern also lets the halves through of a term that YAML splits at its comma (see terms).
const partitionPattern = `^[^(),]+$|^(identity|years?|months?|days?|hours?|void)\([^(),]+\)$|^(bucket|truncate)\( *[0-9]+ *(,[^(),]+\))?$|^[^(),]+\)$`

// terms reads a list of transforms. In a flow list YAML takes the comma of an unquoted bucket(16, id) for its own and
// makes two items of it: they are put together again.
func terms(label string, term shape[Text]) shape[[]Text] {
	s := list(label, term)
	return shape[[]Text]{s.kind, func(d *decoder, n *yaml.Node, out *[]Text) {
		if n.Kind == yaml.SequenceNode && n.Style&yaml.FlowStyle != 0 {
			n = rejoin(n)
		}
		s.decode(d, n, out)
	}}
}

// rejoin gives a flow list in which an item that opens a parenthesis is joined to the next, which closes it.
func rejoin(n *yaml.Node) *yaml.Node {
	joined := *n
	joined.Content = nil
	for i := 0; i < len(n.Content); i++ {
		item := n.Content[i]
		if i+1 < len(n.Content) && opens(item) && closes(n.Content[i+1]) {
			whole := *item
			whole.Value += ", " + n.Content[i+1].Value
			item = &whole
			i++
		}
		joined.Content = append(joined.Content, item)
	}
	return &joined
}

func opens(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0 && strings.Contains(n.Value, "(") && !strings.Contains(n.Value, ")")
}

func closes(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0 && strings.Contains(n.Value, ")") && !strings.Contains(n.Value, "(")
}

// aPartition reads a partition field and writes it in its usual form.
var aPartition = scalar(stringKind("a column or a transform of one", partitionPattern), onlyString, func(t Text) (Text, *problem) {
	parsed, wrong := parseTransform(t.Value)
	if wrong != nil {
		return t, wrong
	}
	return t.as(parsed.String()), nil
})

// as is the same place with a value in its usual form.
func (t Text) as(value string) Text {
	if t.Value == value {
		return t
	}
	return Text{Value: value, Pos: t.Pos}
}

// aSort reads a sort term: a column or transform, then asc or desc, then nulls first or nulls last.
var aSort = scalar(stringKind("a column, with asc or desc", ""), onlyString, func(t Text) (Text, *problem) {
	if name, _, found := strings.Cut(t.Value, "("); found && strings.TrimSpace(name) == "zorder" {
		return t, &problem{message: "zorder is not yet supported in an order of rows", hint: "compaction lays them along one: maintenance: {compact: {strategy: zorder, columns: [a, b]}}"}
	}
	term, order := cutOrder(t.Value)
	parsed, wrong := parseTransform(term)
	if wrong != nil {
		return t, wrong
	}
	if parsed.name == "" && strings.ContainsAny(parsed.column, " \t") {
		if words := strings.Fields(parsed.column); len(words) > 1 {
			return t, &problem{offset: strings.Index(t.Value, words[1]), message: fmt.Sprintf("unexpected %q: expected asc or desc, then nulls first or nulls last", shorten(words[1]))}
		}
	}
	return t.as(strings.TrimSpace(parsed.String() + " " + order)), nil
})

// cutOrder splits the direction off a sort term; asc is not written.
func cutOrder(s string) (term, order string) {
	words := strings.Fields(s)
	nulls := ""
	if n := len(words); n > 2 && strings.EqualFold(words[n-2], "nulls") {
		if last := strings.ToLower(words[n-1]); last == "first" || last == "last" {
			nulls = "nulls " + last
			words = words[:n-2]
		}
	}
	direction := ""
	if n := len(words); n > 1 {
		switch strings.ToLower(words[n-1]) {
		case "asc":
			words = words[:n-1]
		case "desc":
			direction, words = "desc", words[:n-1]
		}
	}
	return strings.Join(words, " "), strings.TrimSpace(direction + " " + nulls)
}
