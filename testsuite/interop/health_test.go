package interop

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/testsuite/lab"
)

// inspected is what Spark's metadata tables say of a table.
type inspected struct {
	Files         []inspectedFile `json:"files"` // data and delete files
	DeleteFiles   []inspectedFile `json:"delete_files"`
	Partitions    []inspectedPartition
	Manifests     []int64 // their lengths
	Snapshots     int
	Refs          int
	MetadataFiles int `json:"metadata_files"`
}

type inspectedFile struct {
	Partition   string
	Content     int // 0 is data
	Bytes, Rows int64
}

type inspectedPartition struct {
	Partition   string
	Files       int
	Bytes, Rows int64
	DeletedRows int64 `json:"deleted_rows"`
}

// TestSparkCountsAsHealthDoes holds what `trigger table health` counts against Spark's metadata tables of the same tables, in both
// formats, with deletes and several partitions: of the table, and of each partition.
func TestSparkCountsAsHealthDoes(t *testing.T) {
	others := install(t)
	l := lab.Empty(t, lab.Build(t))
	names := l.Shaped()
	db, warehouse := catalogOf(l)
	out := t.TempDir()
	others.Python(t, "inspect_spark.py", db, warehouse, others.Jars(), strings.Join(names, ","), out)
	data, err := os.ReadFile(filepath.Join(out, "inspected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var found map[string]inspected
	if err := json.Unmarshal(data, &found); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			var h tables.Health
			if err := json.Unmarshal([]byte(l.Must("table", "health", name, "--json")), &h); err != nil {
				t.Fatal(err)
			}
			compareHealth(t, h, found[name])
		})
	}
}

func compareHealth(t *testing.T, h tables.Health, s inspected) {
	t.Helper()
	// The figures of each partition, from the files themselves; the table of partitions is held against them too.
	want := map[string]tables.PartitionHealth{}
	var all tables.PartitionHealth
	add := func(p *tables.PartitionHealth, f inspectedFile) {
		if f.Content != 0 {
			p.DeletedRows += f.Rows
			return
		}
		p.Files, p.Bytes, p.Rows = p.Files+1, p.Bytes+f.Bytes, p.Rows+f.Rows
		if f.Bytes < h.Target/4*3 {
			p.SmallFiles++
		}
	}
	deletes := 0
	for _, f := range s.Files {
		p := want[f.Partition]
		p.Path = f.Partition
		add(&p, f)
		add(&all, f)
		want[f.Partition] = p
		if f.Content != 0 {
			deletes++
		}
	}
	equal := func(what string, have, want any) {
		t.Helper()
		if have != want {
			t.Errorf("%s: health says %v, Spark %v", what, have, want)
		}
	}
	have := tables.PartitionHealth{Files: h.Files, Bytes: h.Bytes, Rows: h.Rows, SmallFiles: h.SmallFiles, DeletedRows: h.DeletedRows}
	equal("the table", have, all)
	equal("delete files", h.DeleteFiles, len(s.DeleteFiles))
	equal("delete files among all", h.DeleteFiles, deletes)
	equal("the share of small files", h.SmallShare, float64(all.SmallFiles)/float64(all.Files))
	equal("the share of deleted rows", h.DeletedShare, float64(all.DeletedRows)/float64(all.Rows))
	equal("snapshots", h.Snapshots, s.Snapshots)
	equal("branches and tags", h.Refs, s.Refs)
	equal("metadata files", h.MetadataFiles, s.MetadataFiles)
	equal("manifests", h.Manifests, len(s.Manifests))
	var length int64
	for _, n := range s.Manifests {
		length += n
	}
	equal("bytes of manifests", h.ManifestBytes, length)
	equal("partitions", h.PartitionCount, len(s.Partitions))
	equal("partitions listed", len(h.Partitions), len(s.Partitions))
	for _, p := range h.Partitions {
		p.Depth = 0 // Spark has no word for it
		equal(p.Path, p, want[p.Path])
		at := slices.IndexFunc(s.Partitions, func(s inspectedPartition) bool { return s.Partition == p.Path })
		if at < 0 {
			t.Errorf("Spark has no partition %q", p.Path)
			continue
		}
		equal(p.Path+" in the table of partitions", inspectedPartition{p.Path, p.Files, p.Bytes, p.Rows, p.DeletedRows}, s.Partitions[at])
	}
	if all.SmallFiles == 0 || all.SmallFiles == all.Files || deletes == 0 || len(s.Partitions) != 6 {
		t.Errorf("the comparison says little: %+v, %d delete files, %d partitions", all, deletes, len(s.Partitions))
	}
}
