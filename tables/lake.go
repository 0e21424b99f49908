// Package tables is the door to the lake: Iceberg tables that are created, evolved, read, appended to, replaced, merged
// into and rolled back, every change by the one commit protocol of tables/commit.
//
// It knows nothing of pipelines or Temporal and is usable as a library of its own.
package tables

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/cache"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
)

// Config says where the lake is and what its operations may use.
type Config struct {
	Catalog catalog.Config
	// Parallelism bounds the files read or written at once; 0 means the number of processors.
	Parallelism int
	// MemoryLimit bounds, roughly, what one operation holds in memory; 0 means each operation's own default.
	MemoryLimit int64
	// TempDir is where operations spill; empty means the system's.
	TempDir string
	// Commit bounds the commit protocol; the zero value is usable.
	Commit commit.Options
	// Cache bounds what is kept of tables' metadata between reads; the zero value is usable.
	Cache CacheOptions
}

// CacheOptions bound what is kept of manifests, footers and indexes, which never change, between reads.
type CacheOptions struct {
	Memory int64 // bytes; 0 means an eighth of MemoryLimit, or 128 MiB, and less than 0 none
	// Dir keeps those that lie in remote stores between processes too; empty keeps none. Processes may share it.
	Dir  string
	Disk int64 // bytes in Dir; 0 means 1 GiB
}

const (
	defaultCacheMemory = 128 << 20
	defaultCacheDisk   = 1 << 30
)

func (c Config) cache() *cache.Cache {
	memory, onDisk := c.Cache.Memory, c.Cache.Disk
	switch {
	case memory < 0:
		return nil
	case memory == 0 && c.MemoryLimit > 0:
		memory = c.MemoryLimit / 8
	case memory == 0:
		memory = defaultCacheMemory
	}
	if onDisk == 0 {
		onDisk = defaultCacheDisk
	}
	var disk *cache.Disk
	if c.Cache.Dir != "" {
		disk = cache.NewDisk(c.Cache.Dir, onDisk)
	}
	return cache.New(memory, disk)
}

// Local is the lake that needs no setting up: an SQLite catalog and a warehouse folder in dir.
func Local(dir string) Config {
	return Config{Catalog: catalog.Config{
		Type:      "sql",
		URI:       filepath.Join(dir, "catalog.db"),
		Warehouse: filepath.Join(dir, "warehouse"),
	}}
}

// Lake is an open catalog of tables. It is safe for concurrent use.
type Lake struct {
	cfg Config
	cat *catalog.Catalog
	// committer is what changes of tables are committed to: the catalog, or what tests put before it.
	committer commit.Catalog
	cache     *cache.Cache
	turns     *turns // of lookups
}

// OpenLake opens the catalog and creates it where there is none.
func OpenLake(ctx context.Context, cfg Config) (*Lake, error) {
	cat, err := catalog.Open(ctx, cfg.Catalog)
	if err != nil {
		return nil, err
	}
	return LakeOn(cat, cfg), nil
}

// LakeOn is a lake in a catalog that is open already; cfg.Catalog is not looked at. Close closes it.
func LakeOn(cat *catalog.Catalog, cfg Config) *Lake {
	return &Lake{cfg: cfg, cat: cat, committer: cat, cache: cfg.cache(), turns: newTurns()}
}

// Close releases the catalog's connections.
func (l *Lake) Close() error { return l.cat.Close() }

// Catalog is the lake's catalog.
func (l *Lake) Catalog() *catalog.Catalog { return l.cat }

// Tables lists all tables as namespace.name, sorted.
func (l *Lake) Tables(ctx context.Context) ([]string, error) {
	namespaces, err := l.cat.AllNamespaces(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, namespace := range namespaces {
		for ident, err := range l.cat.ListTables(ctx, namespace) {
			if errors.Is(err, ErrAbsent) {
				break // the namespace was dropped meanwhile
			}
			if err != nil {
				return nil, err
			}
			names = append(names, strings.Join(ident, "."))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Table loads a table; ErrNoSuchTable if there is none.
func (l *Lake) Table(ctx context.Context, name string) (*Table, error) {
	ident, err := parseName(name)
	if err != nil {
		return nil, err
	}
	t, err := l.cat.LoadTable(ctx, ident)
	if errors.Is(err, ErrAbsent) {
		if l.missing(ctx, ident) {
			return nil, fmt.Errorf("%s: %w", name, ErrNoSuchTable)
		}
		// Either its metadata file is gone, or another caller created the table between the two looks.
		t, err = l.cat.LoadTable(ctx, ident)
	}
	if err != nil {
		return nil, err
	}
	return l.wrap(t), nil
}

// missing tells a table that is not there from one whose metadata file is not.
func (l *Lake) missing(ctx context.Context, ident table.Identifier) bool {
	there, err := l.cat.CheckTableExists(ctx, ident)
	return errors.Is(err, ErrAbsent) || err == nil && !there
}

func (l *Lake) wrap(t *table.Table) *Table {
	return &Table{lake: l, name: strings.Join(t.Identifier(), "."), tbl: t}
}

// Drop removes the table from the catalog. With purge its files go too, except where the catalog keeps them for its own
// history, as Nessie does (gc.enabled=false). Dropping an absent table is no error.
func (l *Lake) Drop(ctx context.Context, name string, purge bool) error {
	t, err := l.Table(ctx, name)
	if errors.Is(err, ErrNoSuchTable) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := l.cat.DropTable(ctx, t.tbl.Identifier()); err != nil && !errors.Is(err, ErrAbsent) {
		return err
	}
	if !purge {
		return nil
	}
	if err := t.tbl.PurgeFiles(ctx); err != nil {
		return fmt.Errorf("purge %s: %w", name, err)
	}
	folders := []string{stagingFolder}
	if !l.cat.HeadOnly() { // elsewhere the catalog's history still names the state files
		folders = append(folders, stateFolder)
	}
	for _, folder := range folders {
		if err := t.removeAll(ctx, t.Location()+"/"+folder); err != nil {
			return fmt.Errorf("purge %s: %w", name, err)
		}
	}
	return nil
}

// parseName reads namespace.name. Its parts become folders and SQL names, so they are kept to what all engines take.
func parseName(name string) (table.Identifier, error) {
	parts := strings.Split(name, ".")
	if len(parts) < 2 {
		return nil, badDefinition("table name %q: want namespace.name", name)
	}
	for _, part := range parts {
		if part == "" || len(part) > 200 || strings.Trim(part, ".-") == "" || strings.ContainsFunc(part, badInName) {
			return nil, badDefinition("table name %q: the part %q must be letters, digits, _ or -", name, part)
		}
	}
	return parts, nil
}

func badInName(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
		return false
	}
	return true
}
