//go:build !faults

package catalog

import icebergcatalog "github.com/apache/iceberg-go/catalog"

// counted is the catalog itself in this build.
func counted(c icebergcatalog.Catalog) icebergcatalog.Catalog { return c }
