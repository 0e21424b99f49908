package contention

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// metadataJSON is what is read of a table's metadata file.
type metadataJSON struct {
	Current    int64             `json:"current-snapshot-id"`
	Snapshots  []snapshotJSON    `json:"snapshots"`
	Properties map[string]string `json:"properties"`
	Log        []struct {
		File string `json:"metadata-file"`
	} `json:"metadata-log"`
}

func readMetadata(location string) (m metadataJSON, err error) {
	content, err := os.ReadFile(strings.TrimPrefix(strings.TrimPrefix(location, "file://"), "file:"))
	if err != nil {
		return m, err
	}
	if bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			return m, err
		}
		if content, err = io.ReadAll(z); err != nil {
			return m, err
		}
	}
	if err := json.Unmarshal(content, &m); err != nil {
		return m, fmt.Errorf("%s: %w", location, err)
	}
	return m, nil
}

// versions are all that a table's metadata have been, from the newest back: each file names the one that it replaced.
type versions struct {
	files []string
	of    map[string]metadataJSON
}

func versionsOf(location string) (*versions, error) {
	v := &versions{of: map[string]metadataJSON{}}
	for at := location; ; {
		m, err := readMetadata(at)
		if err != nil {
			return nil, err
		}
		v.files, v.of[at] = append(v.files, at), m
		if len(m.Log) == 0 {
			return v, nil
		}
		at = m.Log[len(m.Log)-1].File
	}
}

// history is that of all snapshots there ever were, also of those that have expired.
func (v *versions) history() (*history, error) {
	known := map[int64]bool{}
	var all []snapshotJSON
	for _, file := range v.files {
		for _, s := range v.of[file].Snapshots {
			if !known[s.ID] {
				known[s.ID] = true
				all = append(all, s)
			}
		}
	}
	return lineage(v.of[v.files[0]].Current, all)
}

// after says who replaced each version: the writer whose property the next one has changed.
func (v *versions) after() map[string]string {
	const prefix = "varve.commit."
	out := map[string]string{}
	for i, file := range v.files[1:] {
		was := v.of[file].Properties
		for key, token := range v.of[v.files[i]].Properties {
			if writer, ok := strings.CutPrefix(key, prefix); ok && was[key] != token {
				out[file] = writer
			}
		}
	}
	return out
}
