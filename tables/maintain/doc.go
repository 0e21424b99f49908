// Package maintain keeps a table in shape: compaction rewrites small files and files with many deleted rows, expiry removes
// old snapshots and the files that only they name.
//
// A Compaction and an Expiry are planners of tables/commit. Compaction always yields: a group whose files a writer has
// touched is dropped, and the others commit. Expiry removes no file before its commit is known, and none that a snapshot
// which stays names.
package maintain
