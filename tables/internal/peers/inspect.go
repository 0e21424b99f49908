package peers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Inspected is what PyIceberg finds in a table's metadata.
type Inspected struct {
	Files []struct {
		Path    string `json:"path"`
		Content int    `json:"content"` // 0 data, 1 position deletes, 2 equality deletes
		Bytes   int64  `json:"bytes"`
		Rows    int64  `json:"rows"`
	} `json:"files"`
	Snapshots     map[string]int64 `json:"snapshots"` // rows of each, by id; -1 if it cannot be read
	FilesOf       map[string]int   `json:"files_of"`  // data and delete files of each
	Refs          map[string]Ref   `json:"refs"`
	Manifests     []int64          `json:"manifests"` // of the head, their bytes
	MetadataBytes int64            `json:"metadata_bytes"`
	MetadataFiles []string         `json:"metadata_files"` // of the log, and the current one
}

// Ref is a branch or tag with its settings; 0 is none.
type Ref struct {
	Snapshot         string `json:"snapshot"`
	Type             string `json:"type"`
	Keep             int    `json:"keep"`
	MaxSnapshotAgeMS int64  `json:"max_snapshot_age_ms"`
	MaxRefAgeMS      int64  `json:"max_ref_age_ms"`
}

// Inspect lets PyIceberg look at tables.
func (p *Peers) Inspect(t *testing.T, names ...string) (out map[string]Inspected) {
	t.Helper()
	dir := t.TempDir()
	p.Python(t, "inspect_tables.py", p.catalog(), p.warehouse(), writeJSON(t, dir, names), dir)
	data, err := os.ReadFile(filepath.Join(dir, "inspected.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &out))
	return out
}
