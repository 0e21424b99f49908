package spec

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones must not depend on the machine
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/varve-lake/varve/internal/columntype"
)

var (
	onlyString = []tag{tagString}
	anyScalar  = []tag{tagString, tagInt, tagFloat, tagBool}
	anyValue   = []tag{tagString, tagInt, tagFloat, tagBool, tagNull}
)

// stringKind describes a string, with an optional pattern.
func stringKind(label, pattern string) *kind {
	schema := map[string]any{"type": "string"}
	if pattern != "" {
		schema["pattern"] = pattern
	}
	return &kind{label: label, scalar: schema}
}

// textLike makes a shape of strings that pass a check; the check may be nil.
func textLike(label, pattern string, check func(s string) *problem) shape[Text] {
	return scalar(stringKind(label, pattern), onlyString, func(t Text) (Text, *problem) {
		if t.Value == "" {
			return t, &problem{message: fmt.Sprintf("expected %s, found an empty string", label)}
		}
		if check != nil {
			if wrong := check(t.Value); wrong != nil {
				return t, wrong
			}
		}
		return t, nil
	})
}

func plain(s shape[Text]) shape[string] { return convert(s, func(t Text) string { return t.Value }) }

var (
	aString = convert(scalar(stringKind("a string", ""), onlyString, func(t Text) (Text, *problem) { return t, nil }),
		func(t Text) string { return t.Value })

	// aLiteral is any scalar, taken as its text.
	aLiteral = scalar(&kind{label: "a string, number or boolean", scalar: map[string]any{"type": []string{"string", "number", "boolean"}}},
		anyScalar, func(t Text) (Text, *problem) { return t, nil })

	anExpression = scalar(&kind{label: "an expression", scalar: map[string]any{"type": []string{"string", "number", "boolean", "null"}}},
		anyValue, func(t Text) (Text, *problem) {
			if strings.TrimSpace(t.Value) == "" || t.Value == "~" {
				return t, &problem{message: "expected an expression, found nothing"}
			}
			return t, nil
		})

	aQuery = textLike("a SQL query", "", func(s string) *problem {
		if strings.TrimSpace(s) == "" {
			return &problem{message: "expected a SQL query, found nothing"}
		}
		return nil
	})

	aBoolean = scalar(&kind{label: "true or false", scalar: map[string]any{"type": "boolean"}}, []tag{tagBool},
		func(t Text) (bool, *problem) { return strings.EqualFold(t.Value, "true"), nil })
)

// anInteger reads a whole number within bounds.
func anInteger(low, high int) shape[int] {
	label := fmt.Sprintf("a whole number from %d", low)
	schema := map[string]any{"type": "integer", "minimum": low}
	if high < 1<<31-1 {
		label += fmt.Sprintf(" to %d", high)
		schema["maximum"] = high
	}
	return scalar(&kind{label: label, scalar: schema}, []tag{tagInt}, func(t Text) (int, *problem) {
		n, err := strconv.ParseInt(strings.TrimPrefix(t.Value, "+"), integerBase(t.Value), 64)
		if err != nil || n < int64(low) || n > int64(high) {
			return 0, &problem{message: fmt.Sprintf("expected %s, found %s", label, shorten(t.Value))}
		}
		return int(n), nil
	})
}

// aNumber reads a number of at least low.
func aNumber(low float64) shape[float64] {
	return numberLike(fmt.Sprintf("a number of at least %g", low), map[string]any{"type": "number", "minimum": low}, func(v float64) bool { return v >= low })
}

// aShare reads a number above zero and up to one.
var aShare = numberLike("a number above 0, up to 1", map[string]any{"type": "number", "exclusiveMinimum": 0, "maximum": 1},
	func(v float64) bool { return v > 0 && v <= 1 })

func numberLike(label string, schema map[string]any, within func(v float64) bool) shape[float64] {
	return scalar(&kind{label: label, scalar: schema}, []tag{tagInt, tagFloat}, func(t Text) (float64, *problem) {
		v, err := strconv.ParseFloat(t.Value, 64)
		if err != nil || math.IsInf(v, 0) || !within(v) {
			return 0, &problem{message: fmt.Sprintf("expected %s, found %s", label, shorten(t.Value))}
		}
		return v, nil
	})
}

// integerBase is 0, which understands 0x and 0o, unless that would take a leading zero for octal.
func integerBase(s string) int {
	if strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0o") {
		return 0
	}
	return 10
}

// aDuration reads a duration of at least low.
func aDuration(low time.Duration) shape[time.Duration] {
	return scalar(stringKind("a duration", durationPattern), []tag{tagString, tagInt, tagFloat}, func(t Text) (time.Duration, *problem) {
		v, err := ParseDuration(t.Value)
		switch {
		case err != nil:
			return 0, &problem{message: err.Error()}
		case v < low:
			return 0, &problem{message: fmt.Sprintf("expected a duration of at least %s, found %s", low, t.Value)}
		}
		return v, nil
	})
}

var aSize = sizeUpTo(math.MaxInt64)

// sizeUpTo reads a number of bytes above zero.
func sizeUpTo(high int64) shape[int64] {
	return scalar(stringKind("a size", sizePattern), []tag{tagString, tagInt, tagFloat}, func(t Text) (int64, *problem) {
		v, err := ParseSize(t.Value)
		switch {
		case err != nil:
			return 0, &problem{message: err.Error()}
		case v == 0:
			return 0, &problem{message: "expected a size above zero, found " + shorten(t.Value)}
		case v > high:
			return 0, &problem{message: fmt.Sprintf("expected a size of at most %d bytes, found %s", high, shorten(t.Value))}
		}
		return v, nil
	})
}

// enum reads one of a closed list of words.
func enum(values ...value) shape[string] {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = v.name
	}
	label := strings.Join(names, " | ")
	return scalar(&kind{label: label, values: values}, anyScalar, func(t Text) (string, *problem) {
		for _, v := range values {
			switch {
			case v.name == t.Value && v.later:
				return "", &problem{message: t.Value + " is not yet supported"}
			case v.name == t.Value:
				return v.name, nil
			}
		}
		return "", &problem{message: fmt.Sprintf("expected %s, found %q", quoteList(names, "or"), shorten(t.Value)), hint: didYouMean(t.Value, names)}
	})
}

const identifierPattern = `^[A-Za-z_][A-Za-z0-9_]*$`

var identifierForm = regexp.MustCompile(identifierPattern)

const pipelinePattern = `^[A-Za-z][A-Za-z0-9_-]*$`

var pipelineForm = regexp.MustCompile(pipelinePattern)

var aPipelineName = textLike("a pipeline's name", pipelinePattern, func(s string) *problem {
	if !pipelineForm.MatchString(s) || len(s) > 100 {
		return &problem{message: fmt.Sprintf("pipeline name %q: expected a letter, then letters, digits, _ and -, at most 100", shorten(s))}
	}
	return nil
})

var aName = textLike("a name", identifierPattern, func(s string) *problem {
	if !identifierForm.MatchString(s) {
		return &problem{message: fmt.Sprintf("name %q: expected a letter or _, then letters, digits and _", shorten(s))}
	}
	return nil
})

const tablePattern = `^[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$`

// quarantineSuffix ends the name of the table that keeps another's refused rows.
const quarantineSuffix = "__quarantine"

var aTable = textLike("a table's name, namespace.name,", tablePattern, func(s string) *problem {
	namespace, name, found := strings.Cut(s, ".")
	switch {
	case !found || !identifierForm.MatchString(namespace) || !identifierForm.MatchString(name):
		return &problem{message: fmt.Sprintf("table %q: expected namespace.name, such as silver.flights, of letters, digits and _", shorten(s))}
	case len(s) > 200:
		return &problem{message: "a table's name is at most 200 characters long"}
	}
	return nil
})

// aColumn names an existing column; files and other engines may have made it, so any text will do.
var aColumn = textLike("a column's name", "", func(s string) *problem {
	for i, r := range s {
		if unicode.IsControl(r) {
			return &problem{offset: i, message: "a column's name has a control character"}
		}
	}
	return nil
})

// reservedColumns are Iceberg's metadata columns.
var reservedColumns = map[string]bool{
	"_file": true, "_pos": true, "_deleted": true, "_spec_id": true, "_partition": true, "_row_id": true,
	"_last_updated_sequence_number": true,
}

// aNewColumn names a column that the pipeline makes.
var aNewColumn = textLike("a column's name", "", func(s string) *problem {
	if reservedColumns[s] {
		return &problem{message: fmt.Sprintf("column name %q is reserved by Iceberg", s)}
	}
	for i, r := range s {
		if unicode.IsControl(r) {
			return &problem{offset: i, message: "a column's name has a control character"}
		}
	}
	return nil
})

var aType = textLike("a type", "", func(s string) *problem {
	_, err := columntype.Parse(s)
	var typed *columntype.Error
	if errors.As(err, &typed) {
		wrong := &problem{offset: typed.Offset, message: typed.Message}
		if typed.Hint != "" {
			wrong.hint = fmt.Sprintf("did you mean %q?", typed.Hint)
		}
		return wrong
	}
	return nil
})

var aTimezone = plain(textLike("an IANA time zone", "", func(s string) *problem {
	if _, err := time.LoadLocation(s); err != nil || s == "Local" {
		return &problem{message: fmt.Sprintf("unknown time zone %q: expected an IANA name, such as America/New_York", shorten(s))}
	}
	return nil
}))

// laterStores are the schemes of stores that are not read yet.
var laterStores = map[string]bool{"abfs": true, "abfss": true, "http": true, "https": true}

var aGlob = textLike("a glob of files", "", func(s string) *problem {
	rest := s
	if scheme, after, found := strings.Cut(s, "://"); found {
		switch {
		case laterStores[scheme]:
			return &problem{message: fmt.Sprintf("store %s:// is not yet supported: files are read from the local file system, s3://, gs:// and hdfs://", scheme)}
		case !haveStore(scheme):
			return &problem{message: fmt.Sprintf("unknown store %q: expected a path, file://, s3://, gs:// or hdfs://", shorten(scheme))}
		}
		rest = after
		if wrong := credentialsIn(s); wrong != nil {
			return wrong
		}
	}
	if _, err := path.Match(rest, ""); err != nil {
		return &problem{offset: max(strings.LastIndexByte(s, '['), 0), message: fmt.Sprintf("glob %q: a bracket is not closed", shorten(s))}
	}
	return nil
})

// aDelimiter separates fields.
var aDelimiter = plain(textLike("a single character", "^.$", func(s string) *problem {
	if utf8.RuneCountInString(s) != 1 || s == "\n" || s == "\r" {
		return &problem{message: fmt.Sprintf("expected a single character, found %q", shorten(s))}
	}
	return nil
}))

// aQuote encloses fields.
var aQuote = plain(textLike("a single character, or none", "^(.|none)$", func(s string) *problem {
	if s != "none" && (len(s) != 1 || s[0] >= utf8.RuneSelf || s == "\n" || s == "\r") {
		return &problem{message: fmt.Sprintf("expected a single ASCII character or none, found %q", shorten(s))}
	}
	return nil
}))

var aURI = plain(textLike("a URI", "", func(s string) *problem {
	if wrong := credentialsIn(s); wrong != nil {
		return wrong
	}
	u, err := url.Parse(s)
	switch {
	case err == nil && u.Scheme != "" && u.User == nil:
		return nil
	case !strings.Contains(s, "@"):
		return &problem{message: fmt.Sprintf("expected a URI, such as https://host/path, found %q", shorten(s))}
	default: // what stands before the @ may be a password
		return credentialsInURI()
	}
}))

var anAddress = plain(textLike("an address, host:port", "", func(s string) *problem {
	if strings.Contains(s, "@") {
		return credentialsInURI()
	}
	if _, port, err := net.SplitHostPort(s); err != nil || port == "" {
		return &problem{message: fmt.Sprintf("expected an address, such as temporal.example:7233, found %q", shorten(s))}
	}
	return nil
}))

// aWarehouse is a folder, a URI or a name.
var aWarehouse = plain(textLike("a warehouse", "", credentialsIn))

func (d *decoder) data(n *yaml.Node, depth int) any {
	if n = d.follow(n); n == nil {
		return nil
	}
	if depth > maxDepth {
		d.fail(d.pos(n), "data nests deeper than %d", maxDepth)
		return nil
	}
	switch n.Kind {
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, child := range n.Content {
			out[i] = d.data(child, depth+1)
		}
		return out
	case yaml.MappingNode:
		out := map[string]any{}
		for _, m := range d.members(n) {
			out[m.name] = d.data(m.value, depth+1)
		}
		return out
	}
	t, _ := d.text(n)
	switch scalarTag(n, t.Value) {
	case tagNull:
		return nil
	case tagBool:
		return strings.EqualFold(t.Value, "true")
	case tagInt:
		if v, err := strconv.ParseInt(strings.TrimPrefix(t.Value, "+"), integerBase(t.Value), 64); err == nil {
			return v
		}
	case tagFloat:
		if v, err := strconv.ParseFloat(t.Value, 64); err == nil {
			return v
		}
	}
	return t.Value
}
