package activities

import (
	"fmt"

	"github.com/varve-lake/varve/internal/rowfilter"
	"github.com/varve-lake/varve/tables"
)

// rowsWhere compiles a condition against a table as it is now.
func rowsWhere(condition string, of *tables.Table) (tables.Rows, error) {
	schema, err := of.Schema()
	if err != nil {
		return tables.Rows{}, err
	}
	f, err := rowfilter.Compile(condition, schema)
	if err != nil {
		return tables.Rows{}, fmt.Errorf("rows of %s where %s: %w", of.Name(), condition, err)
	}
	return tables.Rows{Where: f, May: f.May, Rest: f.Rest}, nil
}
