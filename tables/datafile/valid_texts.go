package datafile

import (
	"fmt"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// TextError is a text in a data file that is not UTF-8, as its type says: some writers do not look. Readings give such a text as it is,
// unless they ask for valid ones.
type TextError struct {
	Column   string // at the top of the schema
	RowGroup int
	Text     []byte
}

// maxShownText is how many bytes of a text an error shows.
const maxShownText = 80

func (e *TextError) Error() string {
	text, more := e.Text, ""
	if len(text) > maxShownText {
		text, more = text[:maxShownText], "…"
	}
	return fmt.Sprintf("row group %d: column %s: the text %q%s is not valid UTF-8", e.RowGroup, e.Column, text, more)
}

// validTexts is a *TextError at the first text of some columns that is not UTF-8.
func (r *Reader) validTexts(columns []arrow.Array) error {
	for i, c := range columns {
		if text, found := invalidText(c); found {
			return &TextError{Column: r.schema.Field(i).Name, RowGroup: r.group, Text: text}
		}
	}
	return nil
}

// invalidText finds a text that is not UTF-8, also in lists and structs.
func invalidText(a arrow.Array) (text []byte, found bool) {
	switch a := a.(type) {
	case *array.String:
		return invalidAmong(a)
	case *array.Dictionary:
		return invalidText(a.Dictionary())
	case *array.Struct:
		for i := range a.NumField() {
			if text, found = invalidText(a.Field(i)); found {
				return text, true
			}
		}
	case array.ListLike:
		if a.Len() == 0 {
			return nil, false
		}
		from, _ := a.ValueOffsets(0)
		_, to := a.ValueOffsets(a.Len() - 1)
		values := array.NewSlice(a.ListValues(), from, to)
		defer values.Release()
		text, found = invalidText(values)
		return append([]byte(nil), text...), found
	}
	return nil, false
}

// invalidAmong looks at all texts at once: they are valid if their bytes are, and each begins where a character does.
func invalidAmong(a *array.String) (text []byte, found bool) {
	if a.Len() == 0 { // as of lists that are all empty
		return nil, false
	}
	if data := a.ValueBytes(); utf8.Valid(data) {
		begin := a.ValueOffset(0)
		split := false
		for i := 1; i < a.Len() && !split; i++ {
			at := a.ValueOffset(i) - begin
			split = at < len(data) && !utf8.RuneStart(data[at])
		}
		if !split {
			return nil, false
		}
	}
	for i := range a.Len() {
		if a.IsValid(i) && !utf8.ValidString(a.Value(i)) {
			return []byte(a.Value(i)), true
		}
	}
	return nil, false
}
