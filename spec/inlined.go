package spec

import (
	"slices"
	"strings"
)

// Secrets that stand where they should be named. What a file says goes into plans, histories, tables' properties and errors, so
// that it is refused where it is read, and not shown.

// secretName tells from an environment variable's name that it holds a secret.
func secretName(name string) bool {
	upper := strings.ToUpper(name)
	for _, word := range []string{"SECRET", "TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "APIKEY", "AUTHORIZATION", "COOKIE"} {
		if strings.Contains(upper, word) {
			return true
		}
	}
	for _, part := range strings.Split(upper, "_") {
		if part == "KEY" || part == "KEYS" || part == "PWD" && upper != "PWD" && upper != "OLDPWD" || part == "PASS" || part == "AUTH" {
			return true
		}
	}
	return false
}

// secretProperty tells from a table property's name that it holds a secret, such as s3.secret-access-key. Iceberg's own names
// may end with a column's, and a key alone is a table's as often as a lock's.
func secretProperty(name string) bool {
	group, _, _ := strings.Cut(name, ".")
	if slices.Contains([]string{"write", "read", "commit", "history", "encryption"}, group) {
		return false
	}
	name = strings.ToLower(name)
	for segment := range strings.SplitSeq(name, ".") { // token-count is a number
		words := strings.FieldsFunc(segment, func(r rune) bool { return r == '-' || r == '_' })
		if len(words) > 0 && slices.Contains([]string{"token", "credential", "credentials"}, words[len(words)-1]) {
			return true
		}
	}
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '-' || r == '_' })
	for i, part := range parts {
		switch part {
		case "secret", "password", "passwd", "passphrase", "authorization", "apikey":
			return true
		case "key":
			if i > 0 && slices.Contains([]string{"access", "account", "api", "private", "shared"}, parts[i-1]) {
				return true
			}
		}
	}
	return false
}

func (d *decoder) secretProperty(e entry[Text]) {
	d.secret[e.Value.Pos.Line] = true
	d.fail(e.Name.Pos, "property %q looks like a secret: secrets are named, never inlined", shorten(e.Name.Value))
}

func (d *decoder) secretValue(e entry[Text]) {
	d.secret[e.Value.Pos.Line] = true
	d.fail(e.Name.Pos, "the URI in property %q holds a user or password: secrets are named, never inlined", shorten(e.Name.Value))
}

func credentialsInURI() *problem {
	return &problem{secret: true, message: "a URI must not hold a user or password: name the secret as {env: NAME} or {file: path}"}
}

// credentialsIn finds what may be a secret in a URI: whatever stands in its authority beside a host and a port's number, as in
// https://user:password@host and s3://id:secret@bucket, also where the secret has a slash in it.
func credentialsIn(uri string) *problem {
	if HoldsCredentials(uri) {
		return credentialsInURI()
	}
	return nil
}

// HoldsCredentials tells whether a URI's authority holds more than a host and a port, which may be a user and a password.
func HoldsCredentials(uri string) bool {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found {
		scheme, rest, _ = strings.Cut(strings.TrimPrefix(uri, "jdbc:"), ":")
		return strings.HasPrefix(scheme, "postgres") && strings.Contains(rest, "@")
	}
	if strings.ContainsAny(scheme, "/*?[{ ") { // a text in which a URI stands
		return false
	}
	authority := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority = rest[:end]
	}
	if strings.Contains(authority, "@") {
		return true
	}
	for host := range strings.SplitSeq(authority, ",") { // PostgreSQL's may be several
		_, port, found := strings.Cut(host, ":")
		if found && !strings.HasPrefix(host, "[") && strings.Trim(port, "0123456789") != "" { // not an IPv6 address
			return true
		}
	}
	return false
}
