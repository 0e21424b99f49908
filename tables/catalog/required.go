package catalog

import (
	"context"
	"fmt"

	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
)

// heldHere is a requirement that Iceberg's protocol has no word for, so that no server can be asked to hold it.
type heldHere interface{ HeldHere() }

// known divides requirements into those that a server knows, and others.
func known(reqs []table.Requirement) (those, others []table.Requirement) {
	for _, r := range reqs {
		if _, here := r.(heldHere); here {
			others = append(others, r)
		} else {
			those = append(those, r)
		}
	}
	return those, others
}

// server is a catalog behind the REST protocol. A requirement that it does not know is held against the table as it is just before
// the request: what comes in that time is not seen.
type server struct{ icebergcatalog.Catalog }

func (s *server) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	reqs, here := known(reqs)
	if len(here) > 0 {
		now, err := s.LoadTable(ctx, ident)
		if err != nil {
			return nil, "", &notSent{err}
		}
		if !holds(here, now.Metadata()) {
			return nil, "", fmt.Errorf("%w: the table has changed", table.ErrCommitFailed)
		}
	}
	return s.Catalog.CommitTable(ctx, ident, reqs, updates)
}
