package tables

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/tables/datafile"
)

// ErrKey says that a key to look up is not one of the table; errors.As finds the *KeyError.
var ErrKey = errors.New("not a key of the table")

// KeyError names what of a key is wrong.
type KeyError struct {
	Table, Column string
	Reason        string
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("look up in %s: column %s: %s", e.Table, e.Column, e.Reason)
}

func (e *KeyError) Unwrap() error { return ErrKey }

// LookupOptions say what of the rows of a key is read.
type LookupOptions struct {
	Version     Version
	Columns     []string // nil means all
	Limit       int64    // 0 means all rows
	Parallelism int      // files looked into at once; 0 means the lake's, and more where each takes requests
}

// remoteParallelism is how many remote files are looked into at once: a lookup waits for answers more than it computes, and what it asks
// most files for, their ends and Bloom filters, is small.
const remoteParallelism = 64

// Lookup reads the rows that have the given values, of one column or of several; a nil value is null. Values are Go's for the
// column's type, or texts of them: whole numbers, numbers, "true", dates as 2006-01-02, times as RFC 3339 or 2006-01-02 15:04:05,
// UUIDs, and bytes in hexadecimal. What is not a value of the column's type is a *KeyError.
//
// Only what may hold the key is read, and of that the pages that do; what the reading learns of files is kept in the lake's cache
// for the next. Unlike other methods of a Table it may be called by many goroutines at once: of those of a lake, twice as many as there
// are processors work at the same time (more where tables are remote), and the others wait for their turn, in the order in which
// they came, or until the context ends.
func (t *Table) Lookup(ctx context.Context, key map[string]any, opts LookupOptions) (*ScanReader, error) {
	t, version, err := t.AsOf(ctx, opts.Version)
	if err != nil {
		return nil, err
	}
	schema, err := t.schemaAt(version)
	if err != nil {
		return nil, err
	}
	if len(key) == 0 {
		return nil, fmt.Errorf("look up in %s: %w: no column is given", t.name, ErrKey)
	}
	var filter iceberg.BooleanExpression = iceberg.AlwaysTrue{}
	for _, name := range slices.Sorted(maps.Keys(key)) {
		equal, err := keyFilter(schema, name, key[name])
		if err != nil {
			return nil, &KeyError{t.name, name, err.Error()}
		}
		filter = iceberg.NewAnd(filter, equal)
	}
	parallelism, remote := opts.Parallelism, datafile.Remote(t.Location())
	if parallelism == 0 && remote {
		parallelism = max(t.lake.cfg.Parallelism, remoteParallelism)
	}
	end, err := t.lake.turns.take(ctx, remote)
	if err != nil {
		return nil, fmt.Errorf("look up in %s: %w", t.name, err)
	}
	defer end()
	rows, err := t.scan(ctx, ScanOptions{Version: version, Columns: opts.Columns, Filter: filter, Limit: opts.Limit, Parallelism: parallelism})
	if err != nil {
		return nil, fmt.Errorf("look up in %s: %w", t.name, err)
	}
	rows.RecordReader = readAhead(rows.RecordReader)
	return rows, nil
}

// keyFilter is the condition that a column has a value.
func keyFilter(schema *iceberg.Schema, name string, v any) (iceberg.BooleanExpression, error) {
	field, ok := schema.FindFieldByName(name)
	if !ok {
		var names []string
		for _, f := range schema.Fields() {
			names = append(names, f.Name)
		}
		return nil, fmt.Errorf("there is none of that name among %v", names)
	}
	if _, primitive := field.Type.(iceberg.PrimitiveType); !primitive {
		return nil, fmt.Errorf("its type %s has no keys", field.Type)
	}
	column := iceberg.Reference(name)
	if v == nil {
		return iceberg.IsNull(column), nil
	}
	literal, err := keyLiteral(field.Type, v)
	if err != nil {
		return nil, err
	}
	if isNaN(literal) {
		return iceberg.IsNaN(column), nil
	}
	return iceberg.LiteralPredicate(iceberg.OpEQ, column, literal), nil
}
