// Package kill stops the worker, the Temporal server, and both, by kill -9 at every point and before and after the I/Os of
// a run, and shows that after a restart the run completes with the rows that it would have had.
package kill
