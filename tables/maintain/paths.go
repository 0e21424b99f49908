package maintain

import (
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/varve-lake/varve/tables/store"
)

// place is where a file or folder lies, comparable whatever engine wrote its name: s3://, s3a:// and s3n:// are one store,
// a local file is /x, file:/x or file:///x and is reached by way of links or without, slashes may be doubled, and what is
// written in escapes here may be written out there.
//
// Where two names could mean two files and could mean one, they are taken for one: a file is then kept that could go.
type place struct {
	store string // a bucket; empty for local files and for HDFS, whose name nodes have several names
	path  string // clean, without escapes, beginning with a slash
}

// within tells whether p is the folder, or lies below it.
func (p place) within(folder place) bool {
	if p.store != folder.store {
		return false
	}
	return p.path == folder.path || strings.HasPrefix(p.path, strings.TrimSuffix(folder.path, "/")+"/")
}

// local tells whether a URI or path is of the local file system.
func local(uri string) bool {
	scheme, _, found := strings.Cut(uri, "://")
	return !found || strings.EqualFold(scheme, "file")
}

// linkless is a local folder's URI with the links on the way to it, and itself, followed: a listing follows none.
func linkless(uri string) (string, error) {
	name, err := store.Path(uri)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", fmt.Errorf("list %s: %w", uri, err)
	}
	return store.URI(real)
}

// places makes places of names. It remembers which local folders are links, and is for one goroutine.
type places struct{ folders map[string]string }

// maxFolders bounds what is remembered.
const maxFolders = 100_000

// of gives the place of a URI or a local path.
func (p *places) of(uri string) place {
	if local(uri) {
		name, err := store.Path(uri)
		if err != nil {
			name = uri
		}
		return place{path: clean(p.resolved(name))}
	}
	scheme, rest, _ := strings.Cut(uri, "://")
	scheme = strings.ToLower(scheme)
	authority, key, _ := strings.Cut(rest, "/")
	switch scheme {
	case "hdfs":
		authority = ""
	case "s3", "s3a", "s3n":
		authority = "s3:" + authority
	default:
		authority = scheme + ":" + authority
	}
	return place{store: authority, path: clean("/" + key)}
}

// resolved follows the links on the way to a local file, not the file itself. A folder that is not there is as it is
// written.
func (p *places) resolved(name string) string {
	dir, base := filepath.Split(filepath.Clean(name))
	if real, known := p.folders[dir]; known {
		return filepath.Join(real, base)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		real = dir
	}
	if p.folders == nil || len(p.folders) >= maxFolders {
		p.folders = map[string]string{}
	}
	p.folders[dir] = real
	return filepath.Join(real, base)
}

// clean resolves doubled slashes and escapes, also those that were escaped again.
func clean(name string) string {
	for range 3 {
		plain := unescaped(name)
		if plain == name {
			break
		}
		name = plain
	}
	return path.Clean("/" + name)
}

// unescaped resolves the escapes that are valid and leaves other percent signs.
func unescaped(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if plain, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(plain)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
