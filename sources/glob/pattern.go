// Package glob matches paths against patterns, a directory level at a time, so that a walk visits no directory in vain
// and each file once.
//
//   - any part of a name          ?      one character        [a-c] [!a]  one of, none of a class
//     **      any number of directories   {a,b}  either of several    \x          x itself
//
// Names that begin with "." or "_" are hidden, as in Spark: only a pattern that spells the character out matches them.
// (_SUCCESS, _delta_log, .crc and the like are no data.) A name like _month=3 is not hidden.
package glob

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// MaxAlternatives bounds what {a,b} may expand to.
const MaxAlternatives = 1000

// Pattern is a compiled glob.
type Pattern struct {
	alternatives [][]segment
	magic        bool
}

type segment struct {
	pattern string // for path.Match
	literal string // the name, if it is the only one
	magic   bool
	deep    bool // **
	hidden  bool // matches hidden names
}

// Compile reads a pattern of names that slashes separate.
func Compile(pattern string) (*Pattern, error) {
	expanded, err := expand(pattern)
	if err != nil {
		return nil, fmt.Errorf("glob %q: %w", pattern, err)
	}
	p := &Pattern{magic: len(expanded) > 1}
	for _, alternative := range expanded {
		segments, err := compile(alternative)
		if err != nil {
			return nil, fmt.Errorf("glob %q: %w", pattern, err)
		}
		p.alternatives = append(p.alternatives, segments)
		p.magic = p.magic || slices.ContainsFunc(segments, func(s segment) bool { return s.magic })
	}
	return p, nil
}

// Magic tells whether the pattern can match more than one path.
func (p *Pattern) Magic() bool { return p.magic }

func compile(pattern string) ([]segment, error) {
	var segments []segment
	for _, name := range strings.Split(strings.Trim(path.Clean("/"+pattern), "/"), "/") {
		if name == "**" && len(segments) > 0 && segments[len(segments)-1].deep {
			continue
		}
		s, err := compileSegment(name)
		if err != nil {
			return nil, err
		}
		segments = append(segments, s)
	}
	if last := segments[len(segments)-1]; last.deep {
		segments = append(segments, segment{pattern: "*", magic: true})
	}
	return segments, nil
}

func compileSegment(name string) (segment, error) {
	if name == "**" {
		return segment{magic: true, deep: true}, nil
	}
	s := segment{pattern: strings.ReplaceAll(name, "[!", "[^")}
	if _, err := path.Match(s.pattern, ""); err != nil {
		return s, fmt.Errorf("%q is not a pattern: a class is not closed, or a backslash stands at the end", name)
	}
	var literal strings.Builder
	for i := 0; i < len(name); i++ {
		switch c := name[i]; c {
		case '*', '?', '[':
			s.magic = true
		case '\\':
			i++
			literal.WriteByte(name[i])
		default:
			literal.WriteByte(c)
		}
	}
	s.literal = literal.String()
	bare := strings.TrimPrefix(name, `\`)
	s.hidden = strings.HasPrefix(bare, ".") || strings.HasPrefix(bare, "_")
	return s, nil
}

// match tells whether a segment other than ** matches a name.
func (s segment) match(name string) bool {
	if !s.magic {
		return s.literal == name
	}
	if Hidden(name) && !s.hidden {
		return false
	}
	ok, _ := path.Match(s.pattern, name)
	return ok
}

// Hidden tells whether wildcards pass a name over.
func Hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") && !strings.Contains(name, "=")
}

// State is how far a walk from the root has come in each alternative.
type State struct {
	p     *Pattern
	where []place
}

type place struct{ alternative, segment int }

// Start is the state at the root.
func (p *Pattern) Start() State {
	s := State{p: p}
	for i := range p.alternatives {
		s.add(place{i, 0})
	}
	return s
}

// add puts a place and what ** reaches from it without a step into the state.
func (s *State) add(at place) {
	if slices.Contains(s.where, at) {
		return
	}
	s.where = append(s.where, at)
	if next, ok := s.next(at); ok && next.deep {
		s.add(place{at.alternative, at.segment + 1})
	}
}

func (s State) next(at place) (segment, bool) {
	segments := s.p.alternatives[at.alternative]
	if at.segment == len(segments) {
		return segment{}, false
	}
	return segments[at.segment], true
}

// Step is the state below an entry of the current directory. With deep false, ** does not go on below it.
func (s State) Step(name string, deep bool) State {
	below := State{p: s.p}
	for _, at := range s.where {
		next, ok := s.next(at)
		switch {
		case !ok:
		case next.deep:
			if deep && !Hidden(name) {
				below.add(at)
			}
		case next.match(name):
			below.add(place{at.alternative, at.segment + 1})
		}
	}
	return below
}

// Match tells whether the path to here is matched as a whole.
func (s State) Match() bool {
	return slices.ContainsFunc(s.where, func(at place) bool { _, more := s.next(at); return !more })
}

// More tells whether a path below here can match.
func (s State) More() bool {
	return slices.ContainsFunc(s.where, func(at place) bool { _, more := s.next(at); return more })
}

// Names are the only names that can match in the current directory; ok is false if any may.
func (s State) Names() (names []string, ok bool) {
	for _, at := range s.where {
		next, more := s.next(at)
		if !more {
			continue
		}
		if next.magic {
			return nil, false
		}
		names = append(names, next.literal)
	}
	slices.Sort(names)
	return slices.Compact(names), true
}
