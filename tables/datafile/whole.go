package datafile

import "github.com/apache/iceberg-go/table"

// WholeFiles makes one task of each file. Planning a scan divides files above read.split.target-size (128 MiB) into tasks of
// some row groups each, for readers to share; who counts a file's rows, rewrites it or marks rows of it as deleted means
// the file, once.
func WholeFiles(tasks []table.FileScanTask) []table.FileScanTask {
	seen := make(map[string]bool, len(tasks))
	out := make([]table.FileScanTask, 0, len(tasks))
	for _, t := range tasks {
		if path := t.File.FilePath(); !seen[path] {
			seen[path] = true
			t.Start, t.Length = 0, t.File.FileSizeBytes()
			out = append(out, t)
		}
	}
	return out
}
