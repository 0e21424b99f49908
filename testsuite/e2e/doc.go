// Package e2e runs the example pipelines through the CLI, with everything embedded, and compares what they made with what
// DuckDB makes of the same files.
package e2e
