package catalog

import (
	icebergcatalog "github.com/apache/iceberg-go/catalog"
)

// Wrap makes a Catalog of one that the caller has opened and closes. Errors that it has classed by package fault stay as
// they are; of the others, those that all of iceberg-go's catalogs share are classed, and a commit's requirement that does
// not hold is found out by loading the table again.
func Wrap(inner icebergcatalog.Catalog, warehouse string) *Catalog {
	return &Catalog{
		inner: inner, warehouse: warehouse,
		classify: func(op string, err error, _ bool) error { return classifyShared(op, err) },
		close:    func() error { return nil },
	}
}
