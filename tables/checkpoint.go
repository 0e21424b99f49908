package tables

import (
	"context"
	"encoding/json"
)

// Checkpoint says how far a writer has read its source. Kind tells readers of Body apart ("files", "snapshot").
type Checkpoint struct {
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body,omitempty"`
}

// Checkpoint gives the writer's checkpoint as of the loaded head; nil if it has none.
func (t *Table) Checkpoint(ctx context.Context, writer string) (*Checkpoint, error) {
	return nil, errNotBuilt
}

// States reads and writes the immutable state files of a table, which checkpoints name.
type States struct{ t *Table }

// States gives the table's state files.
func (t *Table) States() *States { return &States{t} }

// Read gives the content of a state file.
func (s *States) Read(ctx context.Context, uri string) ([]byte, error) { return nil, errNotBuilt }

// Write stores content under the table's location and returns its URI. The name is only a hint: a state file is never
// overwritten.
func (s *States) Write(ctx context.Context, name string, content []byte) (string, error) {
	return "", errNotBuilt
}

// Staging is the URI of the folder in which a run stages what is not yet the table's.
func (t *Table) Staging(run string) string { return "" }

// RemoveStaging removes that folder.
func (t *Table) RemoveStaging(ctx context.Context, run string) error { return errNotBuilt }

// WriteStaged stores content in the run's staging folder and returns its URI.
func (t *Table) WriteStaged(ctx context.Context, run, name string, content []byte) (string, error) {
	return "", errNotBuilt
}

// ReadStaged reads what WriteStaged stored.
func (t *Table) ReadStaged(ctx context.Context, uri string) ([]byte, error) { return nil, errNotBuilt }
