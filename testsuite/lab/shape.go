package lab

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// shapePolicy is what the pipeline shape says of the upkeep of each of its tables.
const shapePolicy = "{compact: {strategy: sort, columns: [id], target_file_size: 64KB, min_input_files: 2}, expire_snapshots: {keep_last: 2}}"

// Shaped builds tables whose health has something to say in every figure, silver.shape2 in format 2, with position deletes, and
// silver.shape3 in format 3, with deletion vectors: six partitions, of which those of one region have a file above three quarters
// of their policy's target of 64 KB and small ones beside it, and others only small ones; rows updated and deleted merge-on-read.
func (l *Lab) Shaped() []string {
	l.t.Helper()
	var pipeline strings.Builder
	pipeline.WriteString("pipeline: shape\ntables:\n")
	names := []string{"silver.shape2", "silver.shape3"}
	for i, name := range names {
		fmt.Fprintf(&pipeline, `  %s:
    source: {files: "landing/*.csv", format: csv}
    columns: {id: int, region: string, name: string}
    format_version: %d
    partition_by: [region, "bucket(2, id)"]
    sort_by: [id]
    write: {merge: {on: [id, region], strategy: merge-on-read, when_matched: [{if: s.name == "gone", delete: true}, {update: "*"}], when_not_matched: [{insert: "*"}]}}
    maintenance: %s
`, name, 2+i, shapePolicy)
	}
	l.Write("pipelines/shape.yaml", []byte(pipeline.String()))
	for n, rows := range []string{shapeRows(0, 3000, "eu", "") + shapeRows(0, 40, "us", "") + shapeRows(0, 20, "apac", ""),
		shapeRows(2900, 3100, "eu", "v2") + shapeRows(30, 60, "us", "v2"), shapeRows(10, 17, "eu", "gone") + shapeRows(0, 5, "us", "gone")} {
		l.Write(fmt.Sprintf("landing/%d.csv", n), []byte("id,region,name\n"+rows))
		l.Must("run", "shape")
	}
	return names
}

// shapeRows are rows from, from+1, … to-1 of a region, with names that do not compress.
func shapeRows(from, to int, region, name string) string {
	var b strings.Builder
	for id := from; id < to; id++ {
		text := name
		if name != "gone" {
			text = fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, region, id, name)))
		}
		fmt.Fprintf(&b, "%d,%s,%s\n", id, region, text)
	}
	return b.String()
}
