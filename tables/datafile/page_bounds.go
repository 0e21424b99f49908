package datafile

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// pageBoundBytes is how long bounds of pages may be, as in parquet-mr: longer ones would make the page index of a column of
// long texts a good part of the file.
const pageBoundBytes = 64

// shortenColumnIndex cuts the bounds of a page index of bytes: a cut minimum bounds still, a cut maximum is raised.
func shortenColumnIndex(encoded []byte) ([]byte, error) {
	if len(encoded) <= pageBoundBytes {
		return encoded, nil
	}
	var protocol thrift.CompactProtocol
	var index format.ColumnIndex
	if err := thrift.Unmarshal(&protocol, encoded, &index); err != nil {
		return nil, fmt.Errorf("column index: %w", err)
	}
	cut := false
	for i := range index.MinValues {
		if low := cutBound(index.MinValues[i]); len(low) < len(index.MinValues[i]) {
			index.MinValues[i], cut = low, true
		}
	}
	for i := range index.MaxValues {
		if high := raiseBound(index.MaxValues[i]); !bytes.Equal(high, index.MaxValues[i]) {
			index.MaxValues[i], cut = high, true
		}
	}
	if !cut {
		return encoded, nil
	}
	out, err := thrift.Marshal(&protocol, &index)
	if err != nil {
		return nil, fmt.Errorf("column index: %w", err)
	}
	return out, nil
}

// cutBound is the longest allowed prefix, at a code point's end where the bytes are text.
func cutBound(v []byte) []byte {
	if len(v) <= pageBoundBytes {
		return v
	}
	if !utf8.Valid(v) {
		return v[:pageBoundBytes]
	}
	end := pageBoundBytes
	for end > 0 && !utf8.RuneStart(v[end]) {
		end--
	}
	return v[:end]
}

// raiseBound is the least short bound above all values that begin as v does; v itself where there is none.
func raiseBound(v []byte) []byte {
	if len(v) <= pageBoundBytes {
		return v
	}
	prefix := cutBound(v)
	if utf8.Valid(v) {
		for len(prefix) > 0 {
			r, size := utf8.DecodeLastRune(prefix)
			prefix = prefix[:len(prefix)-size]
			switch {
			case r == 0xd7ff:
				return utf8.AppendRune(bytes.Clone(prefix), 0xe000) // over the surrogates
			case r < utf8.MaxRune:
				return utf8.AppendRune(bytes.Clone(prefix), r+1)
			}
		}
		return v
	}
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			out := bytes.Clone(prefix[:i+1])
			out[i]++
			return out
		}
	}
	return v
}
