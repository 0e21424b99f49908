package maintain

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	iceio "github.com/apache/iceberg-go/io"
)

// isMetadata tells a table's metadata file by its name.
func isMetadata(name string) bool {
	return strings.HasSuffix(name, ".metadata.json") || strings.HasSuffix(name, ".metadata.json.gz")
}

// tableOf reads of a metadata file which table it is of, by its UUID; "" if the file says none, as one that was cut short, or is
// gone meanwhile. Writers put the UUID among the first fields, so that little is read.
func tableOf(files iceio.IO, uri string) (uuid string, err error) {
	f, err := files.Open(uri)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("which table %s is of: %w", uri, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text := bufio.NewReader(f)
	if magic, _ := text.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) { // whatever its name: x.gz.metadata.json, x.metadata.json.gz
		zip, err := gzip.NewReader(text)
		if err != nil {
			return "", unlessJSON(err)
		}
		text = bufio.NewReader(zip)
	}
	d := json.NewDecoder(text)
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return "", unlessJSON(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return "", unlessJSON(err)
		}
		if key == "table-uuid" {
			return uuid, unlessJSON(d.Decode(&uuid))
		}
		var passed json.RawMessage
		if err := d.Decode(&passed); err != nil {
			return "", unlessJSON(err)
		}
	}
	return "", nil
}

// unlessJSON passes on what went wrong with reading, and not what is wrong with the text.
func unlessJSON(err error) error {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax), errors.As(err, &typ), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return nil
	}
	return err
}
