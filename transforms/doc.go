// Package transforms turns streams of Arrow batches into streams of Arrow batches: chains of row steps, expectations,
// removal of duplicates, and conforming to a declared schema. It knows nothing of tables and pipelines.
package transforms
