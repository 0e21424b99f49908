//go:build faults

package catalog

import (
	"context"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/internal/fault"
)

// counted makes each operation of an SQL catalog that a build uses an I/O. Those of REST catalogs are requests, which are
// counted where they are sent.
func counted(c icebergcatalog.Catalog) icebergcatalog.Catalog { return countedCatalog{c} }

type countedCatalog struct{ icebergcatalog.Catalog }

func (c countedCatalog) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	fault.Before("catalog commit", dotted(ident))
	defer fault.After("catalog commit", dotted(ident))
	return c.Catalog.CommitTable(ctx, ident, reqs, updates)
}

func (c countedCatalog) CreateTable(ctx context.Context, ident table.Identifier, schema *iceberg.Schema, opts ...icebergcatalog.CreateTableOpt) (*table.Table, error) {
	fault.Before("catalog create", dotted(ident))
	defer fault.After("catalog create", dotted(ident))
	return c.Catalog.CreateTable(ctx, ident, schema, opts...)
}

func (c countedCatalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	fault.Before("catalog load", dotted(ident))
	defer fault.After("catalog load", dotted(ident))
	return c.Catalog.LoadTable(ctx, ident)
}

func (c countedCatalog) CheckTableExists(ctx context.Context, ident table.Identifier) (bool, error) {
	fault.Before("catalog look", dotted(ident))
	defer fault.After("catalog look", dotted(ident))
	return c.Catalog.CheckTableExists(ctx, ident)
}

func (c countedCatalog) CreateNamespace(ctx context.Context, namespace table.Identifier, props iceberg.Properties) error {
	fault.Before("catalog create namespace", dotted(namespace))
	defer fault.After("catalog create namespace", dotted(namespace))
	return c.Catalog.CreateNamespace(ctx, namespace, props)
}

func (c countedCatalog) CheckNamespaceExists(ctx context.Context, namespace table.Identifier) (bool, error) {
	fault.Before("catalog look", dotted(namespace))
	defer fault.After("catalog look", dotted(namespace))
	return c.Catalog.CheckNamespaceExists(ctx, namespace)
}
