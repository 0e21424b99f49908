package tables

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/internal/pause"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
)

// Definition is what a table shall be.
type Definition struct {
	Name string // namespace.name
	// Schema gives the columns in order. A field's metadata may hold DocKey. Types are those of internal/columntype.
	Schema *arrow.Schema
	// Identifier names the columns that identify a row. They become required.
	Identifier []string
	// PartitionBy holds transforms: col, years(c), months(c), days(c), hours(c), bucket(n, c), truncate(n, c). A list
	// that differs from the table's gives it a new partition spec; files that are there keep theirs.
	PartitionBy []string
	// SortBy holds "column [asc|desc] [nulls first|nulls last]"; the column may be a transform.
	SortBy []string
	// Properties are set; those that the table has and the definition lacks stay.
	Properties    map[string]string
	FormatVersion int // 2 or 3; 0 means 2 for a new table, and whatever it is for one that is there
	Doc           string
	Owner         string
	// Evolve allows columns to be added, widened and made optional. Without it these are an IncompatibleError. Columns
	// of the table that the definition lacks stay; they must not be required.
	Evolve bool
}

// Changes says what Ensure did.
type Changes struct {
	Created    bool     `json:"created,omitempty"`
	Added      []string `json:"added,omitempty"`      // columns, dotted for nested ones
	Widened    []string `json:"widened,omitempty"`    // "column: int to long"
	Relaxed    []string `json:"relaxed,omitempty"`    // columns that became optional
	Required   []string `json:"required,omitempty"`   // columns of a table without rows that became required
	Documented []string `json:"documented,omitempty"` // columns whose doc changed
	Properties []string `json:"properties,omitempty"` // keys that were set
	SortOrder  bool     `json:"sort_order,omitempty"`
	Partition  bool     `json:"partition,omitempty"`
	Identifier bool     `json:"identifier,omitempty"`
	Format     bool     `json:"format,omitempty"` // the format version was raised
}

// Any tells whether anything was changed.
func (c Changes) Any() bool {
	return c.Created || len(c.Added)+len(c.Widened)+len(c.Relaxed)+len(c.Required)+len(c.Documented)+len(c.Properties) > 0 ||
		c.SortOrder || c.Partition || c.Identifier || c.Format
}

// defaults are the properties of a new table, unless its definition says otherwise.
var defaults = map[string]string{
	table.ManifestMergeEnabledKey:     "true", // else every append adds a manifest that every plan reads
	"write.parquet.compression-codec": "zstd",
}

// reserved properties are made from other fields of the definition, or are the commit protocol's.
func reserved(key string) bool {
	return key == table.PropertyFormatVersion || key == commit.RollbackKey || key == maintain.ForgottenKey ||
		strings.HasPrefix(key, commit.PropertyPrefix) || strings.HasPrefix(key, commit.SequencePrefix) ||
		strings.HasPrefix(key, commit.ClaimPrefix) || strings.HasPrefix(key, checkpointPrefix)
}

// Ensure creates the table, or evolves it to the definition. Two callers at once both succeed if their definitions
// agree.
func (l *Lake) Ensure(ctx context.Context, def Definition) (*Table, Changes, error) {
	ident, err := parseName(def.Name)
	if err != nil {
		return nil, Changes{}, err
	}
	if def.FormatVersion != 0 && def.FormatVersion != 2 && def.FormatVersion != 3 {
		return nil, Changes{}, badDefinition("%s: format version %d: want 2 or 3", def.Name, def.FormatVersion)
	}
	for key := range def.Properties {
		if reserved(key) {
			return nil, Changes{}, badDefinition("%s: property %s cannot be set", def.Name, key)
		}
	}
	t, created, err := l.find(ctx, ident, def)
	if err != nil {
		return nil, Changes{}, err
	}
	if created {
		return t, Changes{Created: true}, nil
	}
	return l.evolve(ctx, t, def)
}

// creations is how often a table or namespace is created. The catalog may have been too busy; what it calls a conflict may
// be one with the creation of another; and when the answer was lost, a second creation does no harm: of two the catalog
// lets one in, and both want the same.
const creations = 5

// creating tells whether a creation is worth another look, and another try.
func creating(err error) bool {
	return errors.Is(err, ErrConflict) || errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrPassing)
}

// find loads the table, and creates it if there is none. If another caller is first, or this one was and did not get the
// answer, the table is there all the same.
func (l *Lake) find(ctx context.Context, ident table.Identifier, def Definition) (t *Table, created bool, err error) {
	t, err = l.Table(ctx, def.Name)
	for try := 1; errors.Is(err, ErrNoSuchTable); try++ {
		t, failed := l.create(ctx, ident, def)
		if failed == nil {
			return t, true, nil
		}
		if !creating(failed) {
			return nil, false, failed
		}
		t, err = l.Table(ctx, def.Name)
		if err == nil {
			return t, false, nil
		}
		if try == creations || pauseAfter(ctx, try) != nil {
			return nil, false, failed
		}
	}
	return t, false, err
}

// pauseAfter waits longer after each try, and by chance, so that those who met do not meet again.
func pauseAfter(ctx context.Context, try int) error {
	return pause.For(ctx, rand.N(50*time.Millisecond<<try))
}

func (l *Lake) create(ctx context.Context, ident table.Identifier, def Definition) (*Table, error) {
	schema, err := icebergSchema(def.Schema, def.Identifier)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", def.Name, err)
	}
	spec, err := partitionSpec(def.PartitionBy, schema)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", def.Name, err)
	}
	order, err := sortOrder(def.SortBy, schema)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", def.Name, err)
	}
	if err := l.createNamespaces(ctx, ident[:len(ident)-1]); err != nil {
		return nil, err
	}
	t, err := l.cat.CreateTable(ctx, ident, schema, icebergcatalog.WithPartitionSpec(spec),
		icebergcatalog.WithSortOrder(order), icebergcatalog.WithProperties(def.newProperties()))
	if errors.Is(err, iceberg.ErrInvalidSchema) || errors.Is(err, iceberg.ErrInvalidPartitionSpec) {
		return nil, badDefinition("create %s: %s", def.Name, strings.Join(strings.Fields(err.Error()), " "))
	}
	if err != nil {
		return nil, err
	}
	return l.wrap(t), nil
}

// createNamespaces creates a namespace and those that it lies in.
func (l *Lake) createNamespaces(ctx context.Context, namespace table.Identifier) error {
	for n := range namespace {
		if err := l.createNamespace(ctx, slices.Clone(namespace[:n+1])); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lake) createNamespace(ctx context.Context, namespace table.Identifier) error {
	var failed error
	for try := 1; ; try++ {
		there, err := l.cat.CheckNamespaceExists(ctx, namespace)
		if err != nil || there {
			return err
		}
		if try > creations || try > 1 && pauseAfter(ctx, try) != nil {
			return failed
		}
		failed = l.cat.CreateNamespace(ctx, namespace, nil)
		if failed == nil || errors.Is(failed, ErrConflict) { // another caller was first
			return nil
		}
		if !creating(failed) {
			return failed
		}
	}
}

func (d Definition) newProperties() iceberg.Properties {
	props := iceberg.Properties{}
	maps.Copy(props, defaults)
	maps.Copy(props, d.properties())
	version := d.FormatVersion
	if version == 0 {
		version = 2
	}
	props[table.PropertyFormatVersion] = strconv.Itoa(version)
	return props
}

// properties are those that the definition asks for; a doc and an owner are what Spark and Hive show as such.
func (d Definition) properties() map[string]string {
	props := map[string]string{}
	if d.Doc != "" {
		props["comment"] = d.Doc
	}
	if d.Owner != "" {
		props["owner"] = d.Owner
	}
	maps.Copy(props, d.Properties)
	return props
}

// evolve brings an existing table to the definition by the commit protocol: on a conflict the difference is worked out
// again at the new head, so that of two callers with one definition the second finds nothing to do.
func (l *Lake) evolve(ctx context.Context, t *Table, def Definition) (*Table, Changes, error) {
	var changes Changes
	plan := func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
		e := &evolution{name: def.Name, head: head, def: def, empty: head.CurrentSnapshot() == nil}
		if err := e.work(ctx); err != nil {
			return nil, err
		}
		changes = e.changes
		if !changes.Any() {
			return nil, nil
		}
		return &commit.Change{Properties: e.properties, Alter: e.alter}, nil
	}
	id := commit.ID{Writer: "ensure", Token: uuid.NewString()}
	out, err := commit.Commit(ctx, l.cat, t.tbl.Identifier(), id, plan, l.cfg.Commit)
	if err != nil {
		return nil, Changes{}, err
	}
	if !out.Committed {
		changes = Changes{}
	}
	return l.wrap(out.Table), changes, nil
}
