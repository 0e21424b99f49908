package tables

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

// Checkpoint says how far a writer has read its source. Kind tells readers of Body apart ("files", "snapshot").
type Checkpoint struct {
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body,omitempty"`
}

// checkpointPrefix, followed by the writer, is the table property that holds its checkpoint, and the summary entry that
// repeats it. A snapshot of ours repeats the checkpoints of all writers, so that a rollback needs it alone.
const checkpointPrefix = "varve.checkpoint."

// inlineLimit is the size above which a checkpoint's body goes to a state file: every version of the table's metadata
// repeats what is inline, once for each snapshot.
const inlineLimit = 4 << 10

// storedCheckpoint is a checkpoint as the property holds it: with its body, or with the state file that has it.
type storedCheckpoint struct {
	Checkpoint
	State  string `json:"state,omitempty"`
	Digest string `json:"digest,omitempty"` // SHA-256 of the state file
}

// Checkpoint gives the writer's checkpoint as of the loaded head; nil if it has none.
func (t *Table) Checkpoint(ctx context.Context, writer string) (*Checkpoint, error) {
	all, err := checkpointsOf(t.tbl.Metadata())
	if err != nil && !commit.Rewound(t.tbl.Metadata(), writerOf(writer)) { // it is another's that is not known
		all, err = checkpointsIn(t.tbl.Metadata().Properties()), nil
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint of %s in %s, which another engine has rolled back: %w", writer, t.name, err)
	}
	text, ok := all[checkpointPrefix+writer]
	if !ok {
		return nil, nil
	}
	c, err := t.decodeCheckpoint(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("checkpoint of %s in %s: %w", writer, t.name, err)
	}
	return c, nil
}

// Memory gives what the writer remembers by a name, as of the loaded head; nil if it does not. See CommitOptions.Memory.
func (t *Table) Memory(ctx context.Context, writer, name string) (*Checkpoint, error) {
	return t.Checkpoint(ctx, memoryOf(writer, name))
}

// memoryOf is what stands for the writer in the property's key. A slash is in no pipeline's name.
func memoryOf(writer, name string) string { return writer + "/" + name }

// LastToken is the token of the writer's last commit as of the loaded head; "" if it has not committed. Work that begins
// here passes it on as commit.ID.After.
func (t *Table) LastToken(writer string) string { return commit.LastToken(t.tbl.Metadata(), writer) }

func (t *Table) decodeCheckpoint(ctx context.Context, text string) (*Checkpoint, error) {
	var stored storedCheckpoint
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return nil, err
	}
	if stored.State == "" {
		return &stored.Checkpoint, nil
	}
	body, err := t.States().Read(ctx, stored.State)
	if err != nil {
		return nil, err
	}
	if got := digest(body); got != stored.Digest {
		return nil, fmt.Errorf("state file %s has digest %s, want %s", stored.State, got, stored.Digest)
	}
	return &Checkpoint{Kind: stored.Kind, Body: body}, nil
}

// encodeCheckpoint gives the property's text. A state file is written, and durable, before anything names it.
func (t *Table) encodeCheckpoint(ctx context.Context, c *Checkpoint) (string, error) {
	var compact bytes.Buffer
	if len(c.Body) > 0 {
		if err := json.Compact(&compact, c.Body); err != nil {
			return "", fmt.Errorf("checkpoint for %s: %w", t.name, err)
		}
	}
	stored := storedCheckpoint{Checkpoint: Checkpoint{Kind: c.Kind, Body: compact.Bytes()}}
	if compact.Len() > inlineLimit {
		stored.Digest = digest(compact.Bytes())
		uri, err := t.States().Write(ctx, "checkpoint-"+stored.Digest+".json", compact.Bytes())
		if err != nil {
			return "", fmt.Errorf("checkpoint for %s: %w", t.name, err)
		}
		stored.State, stored.Body = uri, nil
	}
	text, err := json.Marshal(stored)
	return string(text), err
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// errNoCheckpoint says that what the checkpoints were at a snapshot can no longer be known.
var errNoCheckpoint = errors.New("the checkpoints of that time are not known: older snapshots have expired")

// unknownCheckpoints marks, in a snapshot's summary, that the checkpoints of others were not known when it was made.
const unknownCheckpoints = "varve.checkpoints-unknown"

// checkpointsAt gives the checkpoints of all writers as they were when s was the head: those that s repeats, or, if
// another engine made s, the nearest one of ours before it. The first of two snapshots that committed together does not have all rows
// yet; and of a writer whose rows another engine has cherry-picked, it is the one that came with them.
func checkpointsAt(meta table.Metadata, s *table.Snapshot) (map[string]string, error) {
	picked := map[string]map[string]string{} // by writer
	for s != nil {
		if knowsCheckpoints(s) && s.Summary.Properties[commit.PartKey] == "" {
			return withPicked(checkpointsIn(s.Summary.Properties), picked), nil
		}
		if of := commit.Picked(meta, s); of != nil && knowsCheckpoints(of) {
			if writer := of.Summary.Properties[commit.WriterKey]; picked[writer] == nil {
				picked[writer] = checkpointsIn(of.Summary.Properties)
			}
		}
		if s.ParentSnapshotID == nil {
			break
		}
		if s = meta.SnapshotByID(*s.ParentSnapshotID); s == nil {
			return nil, errNoCheckpoint
		}
	}
	return withPicked(nil, picked), nil
}

func knowsCheckpoints(s *table.Snapshot) bool {
	return s.Summary != nil && s.Summary.Properties[commit.TokenKey] != "" && s.Summary.Properties[unknownCheckpoints] == ""
}

// withPicked replaces the checkpoints of some writers by what they were elsewhere.
func withPicked(checkpoints map[string]string, picked map[string]map[string]string) map[string]string {
	if len(picked) == 0 {
		return checkpoints
	}
	out := map[string]string{}
	for key, text := range checkpoints {
		if picked[writerOf(key)] == nil {
			out[key] = text
		}
	}
	for writer, then := range picked {
		for key, text := range then {
			if writerOf(key) == writer {
				out[key] = text
			}
		}
	}
	return out
}

func checkpointsIn(props map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range props {
		if len(k) > len(checkpointPrefix) && k[:len(checkpointPrefix)] == checkpointPrefix {
			out[k] = v
		}
	}
	return out
}
