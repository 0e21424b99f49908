// Package cell turns the text or JSON of one value into one element of an Arrow builder, without boxing, and knows what
// a text looks like when nobody said its type.
package cell

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
)

// Mismatch is a value that does not fit its column's type.
type Mismatch struct {
	Path     string // of the nested field within the column, if it is one
	Expected string // a type in Iceberg's notation
	Value    string // shortened and quoted
	Reason   string // overrides "expected ..., found ..."
}

func (e *Mismatch) Error() string {
	reason := e.Reason
	if reason == "" {
		reason = fmt.Sprintf("expected %s, found %s", e.Expected, e.Value)
	}
	if e.Path != "" {
		return "field " + e.Path + ": " + reason
	}
	return reason
}

// shownRunes is how much of a value an error shows.
const shownRunes = 60

// Shorten cuts a text to what an error may show.
func Shorten(raw []byte, runes int) string {
	end := 0
	for n := 0; end < len(raw); n++ {
		if n == runes {
			return string(raw[:end]) + "…"
		}
		_, size := utf8.DecodeRune(raw[end:])
		end += size
	}
	return string(raw)
}

func mismatch(t arrow.DataType, raw []byte) *Mismatch {
	return &Mismatch{Expected: typeName(t), Value: strconv.Quote(Shorten(raw, shownRunes))}
}

func invalidUTF8(raw []byte) *Mismatch {
	at := 0
	for at < len(raw) {
		r, size := utf8.DecodeRune(raw[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return &Mismatch{Reason: fmt.Sprintf("invalid UTF-8 at byte %d: %s", at+1, strconv.Quote(Shorten(raw, shownRunes)))}
}

func typeName(t arrow.DataType) string {
	if name, err := columntype.Format(t); err == nil {
		return name
	}
	return t.String()
}
