package spec

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reference is ${name}, ${env:NAME}, or either escaped by a second dollar.
var reference = regexp.MustCompile(`\$?\$\{[^{}]*\}?`)

var (
	parameterRef = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)
	envRef       = regexp.MustCompile(`^\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}$`)
)

// text substitutes a scalar's references and keeps the way back to the file. It is false if one has no value, which is
// reported.
func (d *decoder) text(n *yaml.Node) (Text, bool) {
	raw := n.Value
	if !strings.Contains(raw, "${") {
		return newText(d.doc, n, raw, nil), true
	}
	at := newText(d.doc, n, raw, nil)
	var value strings.Builder
	var pieces []piece
	last, complete := 0, true
	for _, span := range reference.FindAllStringIndex(raw, -1) {
		from, to := span[0], span[1]
		value.WriteString(raw[last:from])
		last = to
		replaced, ok := d.lookup(at.At(from), raw[from:to])
		complete = complete && ok
		if d.expanded += len(replaced); d.expanded > maxExpanded {
			d.fail(at.Pos, "parameters expand the file to more than %d bytes", maxExpanded)
			replaced, complete = "", false
		}
		pieces = append(pieces, piece{value.Len(), value.Len() + len(replaced), from})
		value.WriteString(replaced)
	}
	value.WriteString(raw[last:])
	return newText(d.doc, n, value.String(), pieces), complete
}

// lookup is the value of one reference; one without is reported.
func (d *decoder) lookup(at Pos, ref string) (string, bool) {
	if strings.HasPrefix(ref, "$$") {
		return ref[1:], true
	}
	if name := envRef.FindStringSubmatch(ref); name != nil {
		return d.environment(at, name[1])
	}
	name := parameterRef.FindStringSubmatch(ref)
	if name == nil {
		d.failHint(at, "write $${ for the characters themselves", "%q is not a reference: expected ${parameter} or ${env:NAME}", shorten(ref))
		return "", false
	}
	if d.parameters == nil {
		d.fail(at, "%s: a parameter cannot stand here; only ${env:NAME} can", ref)
		return "", false
	}
	value, ok := d.parameters[name[1]]
	if !ok {
		known := slices.Sorted(maps.Keys(d.parameters))
		d.failHint(at, didYouMean(name[1], known), "no parameter %q: %s", name[1], knownParameters(known))
	}
	return value, ok
}

func knownParameters(known []string) string {
	if len(known) == 0 {
		return "the pipeline has no parameters"
	}
	return "the pipeline has " + quoteList(known, "and")
}

func (d *decoder) environment(at Pos, name string) (string, bool) {
	if secretName(name) {
		d.failHint(at, "name it in varve.yaml as {env: "+name+"}", "${env:%s} looks like a secret: secrets are named by varve.yaml, never inlined", name)
		return "", false
	}
	if slices.Contains(d.secrets, name) {
		d.fail(at, "${env:%s} is a secret, which varve.yaml names: secrets are named, never inlined", name)
		return "", false
	}
	value, ok := d.getenv(name)
	if !ok {
		d.fail(at, "environment variable %s is not set", name)
	}
	if credentialsIn(value) != nil {
		d.fail(at, "the URI in ${env:%s} holds a user or password: secrets are named by varve.yaml, never inlined", name)
		return "", false
	}
	return value, ok
}

// refuseReference reports a reference in a key, where nothing is substituted.
func (d *decoder) refuseReference(at Pos, text string) bool {
	if !strings.Contains(text, "${") {
		return false
	}
	d.fail(at, "key %q: references are substituted in values, not in keys", shorten(text))
	return true
}
