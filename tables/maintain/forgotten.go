package maintain

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

const (
	// ForgottenKey is the table property that holds a Forgotten.
	ForgottenKey = "varve.forgotten"
	// maxForgotten bounds its lists.
	maxForgotten = 500
)

// KeepsAppends tells of a snapshot that what was appended before and after it still tells what is new: it appended, or
// changed no row, or removed rows for being past their age, or for a request to be forgotten.
func KeepsAppends(s *table.Summary) bool {
	return s != nil && (s.Operation == table.OpAppend || s.Operation == table.OpReplace || removes(s))
}

// removes tells of a snapshot that it removed rows for their age or to be forgotten.
func removes(s *table.Summary) bool {
	return s != nil && (s.Properties[RetentionKey] != "" || s.Properties[ErasureKey] != "")
}

// Forgotten is what a table remembers of snapshots that went although readers had yet to read from them, so that these can
// go on: which of the files in the oldest snapshot that is left were appended, and which were written anew from others.
type Forgotten struct {
	// From is the sequence number of the earliest snapshot from which a reader can go on.
	From int64 `json:"from"`
	// Last is the newest forgotten ancestor of the head.
	Last int64 `json:"last"`
	// Ancestors are the sequence numbers, from From on and ascending, of forgotten ancestors of the head: a reader may have read
	// a snapshot that is none, since somebody else rolled the table back.
	Ancestors []int64 `json:"ancestors"`
	// Rewrites are those after From that wrote files anew.
	Rewrites []int64 `json:"rewrites,omitempty"`
	// Rollback is the last one before; after another, nothing here holds.
	Rollback string `json:"rollback,omitempty"`
}

// ForgottenOf reads it; nil if the table has none, or was rolled back since.
func ForgottenOf(meta table.Metadata) (*Forgotten, error) {
	text := meta.Properties()[ForgottenKey]
	if text == "" {
		return nil, nil
	}
	out := &Forgotten{}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		return nil, fmt.Errorf("property %s: %w", ForgottenKey, err)
	}
	if out.Rollback != meta.Properties()[commit.RollbackKey] {
		return nil, nil
	}
	return out, nil
}

// ancestry is the current snapshot and its ancestors, as far back as they are known.
func ancestry(meta table.Metadata) (chain []*table.Snapshot, whole bool) {
	for s := meta.CurrentSnapshot(); s != nil; s = meta.SnapshotByID(*s.ParentSnapshotID) {
		chain = append(chain, s)
		if s.ParentSnapshotID == nil {
			return chain, true
		}
	}
	return chain, false
}

// remember is the property's value once the snapshots in gone are; "" if none of them is an ancestor of the head, or no
// removal of rows is why readers are not heeded.
func remember(meta table.Metadata, gone []int64) (string, error) {
	chain, whole := ancestry(meta)
	if meta.Properties()[ForgottenKey] == "" && !slices.ContainsFunc(chain, func(s *table.Snapshot) bool { return removes(s.Summary) }) {
		return "", nil
	}
	newest := slices.IndexFunc(chain, func(s *table.Snapshot) bool { return slices.Contains(gone, s.SnapshotID) })
	if newest < 0 {
		return "", nil
	}
	before, err := ForgottenOf(meta)
	if err != nil {
		return "", err
	}
	oldest, rollback := chain[len(chain)-1], meta.Properties()[commit.RollbackKey]
	out := &Forgotten{Rollback: rollback}
	switch {
	case before != nil && oldest.ParentSnapshotID != nil && *oldest.ParentSnapshotID == before.Last:
		*out = *before
	case rollback != "": // a reader may have read what was rolled back, whatever its number
		out.From = meta.LastSequenceNumber()
	case !whole: // what came before is not known
		out.From = oldest.SequenceNumber
	}
	out.Last = chain[newest].SnapshotID
	for _, s := range slices.Backward(chain[newest:]) {
		if s.SequenceNumber < out.From {
			continue
		}
		switch {
		case s.SequenceNumber == out.From, s.Summary != nil && s.Summary.Operation == table.OpAppend:
		case KeepsAppends(s.Summary):
			out.Rewrites = append(out.Rewrites, s.SequenceNumber)
		default: // rows were changed: who has not read that cannot go on by appends
			out.From, out.Ancestors, out.Rewrites = s.SequenceNumber, nil, nil
		}
		out.Ancestors = append(out.Ancestors, s.SequenceNumber)
	}
	if over := len(out.Ancestors) - maxForgotten; over > 0 {
		out.From, out.Ancestors = out.Ancestors[over], out.Ancestors[over:]
		out.Rewrites = slices.DeleteFunc(out.Rewrites, func(n int64) bool { return n <= out.From })
	}
	text, err := json.Marshal(out)
	return string(text), err
}
