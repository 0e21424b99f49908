package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// DecodeOptions are what a file's text may refer to.
type DecodeOptions struct {
	// Parameters are the run's values for the file's parameters; the others have their defaults.
	Parameters map[string]string
	// AllowUnset gives a parameter that has neither value nor default one of its type, so that a file can be checked
	// without a run.
	AllowUnset bool
	// Getenv answers ${env:NAME}; nil is os.LookupEnv.
	Getenv func(string) (string, bool)
	// Secrets are the environment variables that hold secrets, beside those whose names say so: a file may not refer to them.
	Secrets []string
}

// Decode reads a pipeline file. All its mistakes come at once, sorted by position; the Pipeline is nil if one of them is
// an Error.
func Decode(file string, data []byte, opts DecodeOptions) (*Pipeline, Diagnostics) {
	d, root, found := start(file, data, opts, "a pipeline", false)
	if root == nil {
		return nil, found
	}
	parameters := d.bind(root, opts)
	d.findDefaults(root)
	p := &Pipeline{}
	pipelineLanguage.shape().at(d, root, p)
	for i := range p.Parameters {
		p.Parameters[i].Value = parameters[p.Parameters[i].Name.Value]
	}
	sum := sha256.Sum256(data)
	p.Digest = hex.EncodeToString(sum[:])
	found = d.finish(data)
	if found.Err() != nil {
		return nil, found
	}
	return p, found
}

// start parses a file and surveys it. Without a root the diagnostics say why, unless nothing is expected. The lines of a hidden file, which may hold
// a secret where none should be, are not shown before they are understood.
func start(file string, data []byte, opts DecodeOptions, what string, hidden bool) (*decoder, *yaml.Node, Diagnostics) {
	doc, failed := parse(file, data)
	d := &decoder{doc: doc, getenv: opts.Getenv, secrets: opts.Secrets, reported: map[string]bool{}, secret: map[int]bool{}}
	if d.getenv == nil {
		d.getenv = os.LookupEnv
	}
	switch {
	case failed != nil && hidden:
		return nil, nil, failed
	case failed != nil:
		return nil, nil, failed.WithSource(data)
	case doc.root == nil && what == "":
		return d, nil, nil
	case doc.root == nil:
		d.fail(Pos{file, 1, 1}, "the file is empty: expected %s", what)
		return nil, nil, d.finish(data)
	case !d.survey(doc.root, 0):
		return nil, nil, d.finish(data)
	}
	return d, doc.root, nil
}

// rootMember finds a key of the file's outermost map, before that is decoded.
func (d *decoder) rootMember(root *yaml.Node, name string) (member, bool) {
	if root.Kind == yaml.MappingNode {
		for _, m := range d.members(root) {
			if m.name == name {
				return m, true
			}
		}
	}
	return member{}, false
}

func (d *decoder) findDefaults(root *yaml.Node) {
	if m, ok := d.rootMember(root, "defaults"); ok {
		if n := d.follow(m.value); n != nil && n.Kind == yaml.MappingNode {
			d.defaults = n
		}
	}
}

// bind decides the parameters' values, which every other key may refer to.
func (d *decoder) bind(root *yaml.Node, opts DecodeOptions) map[string]string {
	var declared []Parameter
	at := d.pos(root)
	if m, ok := d.rootMember(root, "parameters"); ok {
		at = d.pos(m.key)
		parametersShape.at(d, m.value, &declared)
	}
	values := map[string]string{}
	for _, p := range declared {
		name := p.Name.Value
		values[name] = parameterTypes[p.Type].unset
		if p.Type == "string" || p.Type == "" {
			values[name] = name
		}
		if p.given != nil {
			if d.checkParameter(p.given.Pos, p, p.given.Value, "default") {
				values[name] = p.given.Value
			}
		}
		value, set := opts.Parameters[name]
		switch {
		case set && d.checkParameter(p.Name.Pos, p, value, "value"):
			values[name] = value
		case !set && p.given == nil && !opts.AllowUnset:
			d.fail(p.Name.Pos, "parameter %q needs a value: it has no default, and the run sets none", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(opts.Parameters)) {
		if _, ok := values[name]; !ok {
			known := slices.Sorted(maps.Keys(values))
			d.failHint(at, didYouMean(name, known), "the run sets a parameter %q: %s", shorten(name), knownParameters(known))
		}
	}
	d.parameters = values
	return values
}

// parameterTypes hold how a value of each type is checked, and a value that stands for one not yet known.
var parameterTypes = map[string]struct {
	unset string
	parse func(string) error
}{
	"string":    {"", func(string) error { return nil }},
	"int":       {"0", func(s string) error { _, err := strconv.ParseInt(s, 10, 64); return err }},
	"float":     {"0", func(s string) error { _, err := strconv.ParseFloat(s, 64); return err }},
	"bool":      {"false", parseBool},
	"date":      {"1970-01-01", func(s string) error { _, err := time.Parse(time.DateOnly, s); return err }},
	"timestamp": {"1970-01-01T00:00:00Z", parseTimestamp},
}

var errNotBool = errors.New("expected true or false")

func parseBool(s string) error {
	if s != "true" && s != "false" {
		return errNotBool
	}
	return nil
}

func parseTimestamp(s string) (err error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999"} {
		if _, err = time.Parse(layout, s); err == nil {
			return nil
		}
	}
	return err
}

func (d *decoder) checkParameter(at Pos, p Parameter, value, what string) bool {
	t, ok := parameterTypes[p.Type]
	if !ok || t.parse(value) == nil {
		return true
	}
	d.fail(at, "%s %q of parameter %q is not %s", what, shorten(value), p.Name.Value, typeInWords(p.Type))
	return false
}

func typeInWords(name string) string {
	switch name {
	case "int":
		return "a whole number"
	case "float":
		return "a number"
	case "bool":
		return "true or false"
	case "date":
		return "a date such as 2013-01-31"
	}
	return "a time such as 2013-01-31T06:00:00Z"
}
