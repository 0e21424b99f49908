package catalog

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
)

// nessieCommit is the property by which Nessie's metadata tells the commit of the reference that it was read at.
const nessieCommit = "nessie.commit.id"

// nessie is Project Nessie behind its REST protocol.
//
// Nessie does not check every requirement of a commit: of two first writers of an empty table both are let in, and the
// first one's rows are gone. What it does check is that a commit pinned to a hash of the reference finds the table as it
// was there. So the table is loaded once more, the requirements are held against it here, and the commit is pinned to
// the hash that it was loaded at: any change of this table since is a conflict, and other tables may move.
type nessie struct{ icebergcatalog.Catalog }

func (n *nessie) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	now, err := n.LoadTable(ctx, ident)
	if err != nil {
		return nil, "", &notSent{err}
	}
	if !holds(reqs, now.Metadata()) {
		return nil, "", fmt.Errorf("%w: the table has changed", table.ErrCommitFailed)
	}
	hash := now.Metadata().Properties()[nessieCommit]
	if hash == "" {
		return nil, "", fmt.Errorf("nessie's metadata of %s does not tell its commit (%s)", dotted(ident), nessieCommit)
	}
	sent := make([]table.Update, len(updates))
	for i, u := range updates {
		sent[i] = u
		if u.Action() == table.UpdateAddSchema {
			sent[i] = addSchema{u, now.Metadata().LastColumnID()}
		}
	}
	reqs, _ = known(reqs)
	return n.Catalog.CommitTable(pinned(ctx, hash), ident, reqs, sent)
}

// addSchema tells the last column id with a new schema: the protocol has made it optional, and Nessie asks for it.
type addSchema struct {
	table.Update
	last int // of the table before
}

func (u addSchema) MarshalJSON() ([]byte, error) {
	plain, err := json.Marshal(u.Update)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(plain, &fields); err != nil {
		return nil, err
	}
	var schema iceberg.Schema
	if err := json.Unmarshal(fields["schema"], &schema); err != nil {
		return nil, fmt.Errorf("the schema to add: %w", err)
	}
	fields["last-column-id"], err = json.Marshal(max(u.last, schema.HighestFieldID()))
	if err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// notSent is a fault before the change itself was sent: whatever it is, nothing was changed.
type notSent struct{ error }

func (e *notSent) Unwrap() error { return e.error }
