package catalog

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/fault"
	"github.com/varve-lake/varve/tables/store"
)

// classifyShared knows the errors that all of iceberg-go's catalogs have in common.
func classifyShared(op string, err error) error {
	var class error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, table.ErrCommitFailed),
		errors.Is(err, icebergcatalog.ErrTableAlreadyExists),
		errors.Is(err, icebergcatalog.ErrViewAlreadyExists),
		errors.Is(err, icebergcatalog.ErrNamespaceAlreadyExists),
		errors.Is(err, icebergcatalog.ErrNamespaceNotEmpty):
		class = fault.ErrConflict
	case errors.Is(err, icebergcatalog.ErrNoSuchTable),
		errors.Is(err, icebergcatalog.ErrNoSuchView),
		errors.Is(err, icebergcatalog.ErrNoSuchNamespace):
		class = fault.ErrAbsent
	}
	return fault.New(class, op, err)
}

func dotted(ident table.Identifier) string { return strings.Join(ident, ".") }

// CommitTable sends one compare-and-swap. An error without a class means that nothing was changed and trying again
// would end the same way.
func (c *Catalog) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	op := "commit " + dotted(ident)
	meta, location, err := c.inner.CommitTable(ctx, ident, reqs, updates)
	if err == nil {
		return meta, location, nil
	}
	err = ended(ctx, err)
	var before *notSent
	if errors.As(err, &before) {
		return nil, "", fault.Final(c.classify(op, before.error, false))
	}
	if fault.Cancelled(err) {
		// The statement may have been under way.
		return nil, "", fault.New(fault.ErrUnknownOutcome, op, err)
	}
	if err = c.classify(op, err, true); c.direct || neverLeft(err) {
		err = fault.Final(err)
	}
	if fault.Class(err) != nil {
		return nil, "", err
	}
	// Of the catalogs only REST has a type for a requirement that does not hold. Rather than read the text, look again.
	if head, loadErr := c.inner.LoadTable(ctx, ident); loadErr == nil && !holds(reqs, head.Metadata()) {
		return nil, "", fault.New(fault.ErrConflict, op, err)
	}
	return nil, "", err
}

// neverLeft tells an error of a request for which there was no connection.
func neverLeft(err error) bool {
	var broken *transportError
	return errors.As(err, &broken) && !broken.sent
}

func holds(reqs []table.Requirement, meta table.Metadata) bool {
	for _, r := range reqs {
		if r.Validate(meta) != nil {
			return false
		}
	}
	return true
}

// CatalogType implements iceberg-go's Catalog.
func (c *Catalog) CatalogType() icebergcatalog.Type { return c.inner.CatalogType() }

// CreateTable implements iceberg-go's Catalog. A table that is there already is a conflict.
func (c *Catalog) CreateTable(ctx context.Context, ident table.Identifier, schema *iceberg.Schema, opts ...icebergcatalog.CreateTableOpt) (*table.Table, error) {
	keeping, kept := store.Keep(ctx)
	t, err := c.inner.CreateTable(keeping, ident, schema, opts...)
	if err != nil {
		return c.created(ctx, ident, kept.Paths(), c.classify("create "+dotted(ident), err, true))
	}
	return c.own(t), nil
}

// created finds out whether a creation that failed took effect all the same. written are metadata files that the library
// would have removed: the table's, if the transaction was committed and its answer lost, and also if the library has then
// looked again and found the table there already.
func (c *Catalog) created(ctx context.Context, ident table.Identifier, written []string, err error) (*table.Table, error) {
	if len(written) == 0 {
		return nil, err
	}
	there, loadErr := c.LoadTable(ctx, ident)
	switch {
	case loadErr == nil && slices.Contains(written, there.MetadataLocation()):
		return there, nil
	case fault.Class(err) == fault.ErrUnknownOutcome || fault.Cancelled(err):
		return nil, err // it may be on its way: the files stay
	case loadErr != nil && fault.Class(loadErr) != fault.ErrAbsent:
		return nil, err // nobody knows
	}
	for _, path := range written {
		if fs, openErr := c.FS(ctx, path); openErr == nil {
			_ = fs.Remove(path) // what is left is an orphan
		}
	}
	return nil, err
}

// LoadTable implements iceberg-go's Catalog.
func (c *Catalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	var t *table.Table
	err := c.read(ctx, "load "+dotted(ident), func() (err error) {
		t, err = c.inner.LoadTable(ctx, ident)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.own(t), nil
}

// ListTables implements iceberg-go's Catalog. A listing that breaks off begins anew, so that nothing is given before all are there.
func (c *Catalog) ListTables(ctx context.Context, namespace table.Identifier) iter.Seq2[table.Identifier, error] {
	return func(yield func(table.Identifier, error) bool) {
		var all []table.Identifier
		if err := c.read(ctx, "list tables of "+dotted(namespace), func() error {
			all = nil
			for ident, err := range c.inner.ListTables(ctx, namespace) {
				if err != nil {
					return err
				}
				all = append(all, ident)
			}
			return nil
		}); err != nil {
			yield(nil, err)
			return
		}
		for _, ident := range all {
			if !yield(ident, nil) {
				return
			}
		}
	}
}

// DropTable implements iceberg-go's Catalog.
func (c *Catalog) DropTable(ctx context.Context, ident table.Identifier) error {
	return c.classify("drop "+dotted(ident), c.inner.DropTable(ctx, ident), true)
}

// RenameTable implements iceberg-go's Catalog.
func (c *Catalog) RenameTable(ctx context.Context, from, to table.Identifier) (*table.Table, error) {
	t, err := c.inner.RenameTable(ctx, from, to)
	if err != nil {
		return nil, c.classify("rename "+dotted(from)+" to "+dotted(to), err, true)
	}
	return c.own(t), nil
}

// CheckTableExists implements iceberg-go's Catalog.
func (c *Catalog) CheckTableExists(ctx context.Context, ident table.Identifier) (there bool, err error) {
	err = c.read(ctx, "look for "+dotted(ident), func() (err error) {
		there, err = c.inner.CheckTableExists(ctx, ident)
		return err
	})
	return there, err
}

// AllNamespaces lists namespaces, also those within others, which a REST catalog lists by their parent alone.
func (c *Catalog) AllNamespaces(ctx context.Context) ([]table.Identifier, error) {
	all, err := c.ListNamespaces(ctx, nil)
	if err != nil || c.inner.CatalogType() != icebergcatalog.REST {
		return all, err
	}
	for i := 0; i < len(all); i++ {
		within, err := c.ListNamespaces(ctx, all[i])
		if errors.Is(err, fault.ErrAbsent) {
			continue // it was dropped meanwhile
		}
		if err != nil {
			return nil, err
		}
		for _, n := range within {
			if len(n) > len(all[i]) { // a server that does not know of parents gives the same again
				all = append(all, n)
			}
		}
	}
	return all, nil
}

// ListNamespaces implements iceberg-go's Catalog.
func (c *Catalog) ListNamespaces(ctx context.Context, parent table.Identifier) (out []table.Identifier, err error) {
	err = c.read(ctx, "list namespaces", func() (err error) {
		out, err = c.inner.ListNamespaces(ctx, parent)
		return err
	})
	return out, err
}

// CreateNamespace implements iceberg-go's Catalog. A namespace that is there already is a conflict.
func (c *Catalog) CreateNamespace(ctx context.Context, namespace table.Identifier, props iceberg.Properties) error {
	return c.classify("create namespace "+dotted(namespace), c.inner.CreateNamespace(ctx, namespace, props), true)
}

// DropNamespace implements iceberg-go's Catalog.
func (c *Catalog) DropNamespace(ctx context.Context, namespace table.Identifier) error {
	return c.classify("drop namespace "+dotted(namespace), c.inner.DropNamespace(ctx, namespace), true)
}

// CheckNamespaceExists implements iceberg-go's Catalog.
func (c *Catalog) CheckNamespaceExists(ctx context.Context, namespace table.Identifier) (there bool, err error) {
	err = c.read(ctx, "look for namespace "+dotted(namespace), func() (err error) {
		there, err = c.inner.CheckNamespaceExists(ctx, namespace)
		return err
	})
	return there, err
}

// LoadNamespaceProperties implements iceberg-go's Catalog.
func (c *Catalog) LoadNamespaceProperties(ctx context.Context, namespace table.Identifier) (props iceberg.Properties, err error) {
	err = c.read(ctx, "load namespace "+dotted(namespace), func() (err error) {
		props, err = c.inner.LoadNamespaceProperties(ctx, namespace)
		return err
	})
	return props, err
}

// UpdateNamespaceProperties implements iceberg-go's Catalog.
func (c *Catalog) UpdateNamespaceProperties(ctx context.Context, namespace table.Identifier, removals []string, updates iceberg.Properties) (icebergcatalog.PropertiesUpdateSummary, error) {
	summary, err := c.inner.UpdateNamespaceProperties(ctx, namespace, removals, updates)
	return summary, c.classify("update namespace "+dotted(namespace), err, true)
}
