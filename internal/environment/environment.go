// Package environment finds what the binaries stand on: the project's folder, the lake, and the Temporal server, from
// varve.yaml where there is one and from the defaults under .varve/ where there is none.
package environment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/varve-lake/varve/internal/durable"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
)

// TaskQueue is the task queue that workers poll unless the environment names another.
const TaskQueue = "varve"

// Environment is a selected environment of a project.
type Environment struct {
	Name      string
	Root      string // the project's folder, absolute
	Dir       string // .varve under Root: state of everything embedded
	Pipelines string // the folder of pipelines, absolute
	Lake      tables.Config
	Temporal  spec.Temporal
	Limits    spec.Limits
	Secrets   []string // environment variables that hold secrets of the project: no pipeline may refer to them
}

// Options select the environment. Zero values take the defaults.
type Options struct {
	Root      string // "" is the working directory
	Name      string // "" is VARVE_ENVIRONMENT, then "local"
	Pipelines string // "" is VARVE_PIPELINES, then pipelines; a relative path begins at Root
	// Memory, Parallelism and FanOut go before the limits of varve.yaml; the zero values leave those as they are.
	Memory      string // such as 512MB
	Parallelism int
	FanOut      string // such as 2GiB
}

// Load reads varve.yaml, if there is one, and selects the environment. Nothing is opened or created.
func Load(o Options) (Environment, error) {
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return Environment{}, err
	}
	name := first(o.Name, os.Getenv("VARVE_ENVIRONMENT"), "local")
	project, err := readProject(filepath.Join(root, "varve.yaml"))
	if err != nil {
		return Environment{}, err
	}
	selected, diagnostics := project.Environment(name)
	if err := diagnostics.Err(); err != nil {
		return Environment{}, err
	}
	limits, err := o.limits(selected.Limits)
	if err != nil {
		return Environment{}, err
	}
	pipelines := first(o.Pipelines, os.Getenv("VARVE_PIPELINES"), "pipelines")
	if !filepath.IsAbs(pipelines) {
		pipelines = filepath.Join(root, pipelines)
	}
	e := Environment{
		Name: name, Root: root, Dir: filepath.Join(root, ".varve"), Pipelines: pipelines,
		Temporal: selected.Temporal, Limits: limits, Secrets: project.Secrets,
	}
	e.Lake = lakeConfig(e, selected)
	return e, nil
}

// readProject decodes varve.yaml; an absent file is an empty project, in which only "local" is known. The path is
// absolute: files that it names secrets by are relative to it.
func readProject(path string) (*spec.Project, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	project, diagnostics := spec.DecodeProject(path, data, spec.DecodeOptions{Getenv: os.LookupEnv})
	if err := diagnostics.Err(); err != nil {
		return nil, err
	}
	return project, nil
}

func lakeConfig(e Environment, selected spec.Environment) tables.Config {
	c := selected.Catalog
	cfg := catalog.Config{
		Type: c.Type, URI: c.URI, Warehouse: c.Warehouse, Branch: c.Branch, Staging: c.Staging, Name: c.Name, Props: c.Properties,
		Store: storeConfig(selected), Secrets: secrets(selected), Patience: e.Limits.Patience,
	}
	if cfg.Type == "" {
		cfg.Type = "sql"
	}
	if cfg.Type != "rest" { // whose warehouse is a name
		cfg.Warehouse = below(e.Root, cfg.Warehouse)
	}
	if cfg.Type == "sql" {
		cfg.URI = below(e.Root, cfg.URI)
	}
	if cfg.URI == "" && cfg.Type == "sql" {
		cfg.URI = "sqlite:///" + filepath.ToSlash(filepath.Join(e.Dir, "catalog.db"))
	}
	if cfg.Warehouse == "" && cfg.Type == "sql" {
		cfg.Warehouse = "file://" + filepath.ToSlash(filepath.Join(e.Dir, "warehouse"))
	}
	return tables.Config{
		Catalog:     cfg,
		Parallelism: e.Limits.Parallelism,
		MemoryLimit: e.Limits.Memory,
		TempDir:     filepath.Join(e.Dir, "tmp"),
		Cache:       tables.CacheOptions{Dir: filepath.Join(e.Dir, "cache")},
	}
}

// below makes a relative path, also one behind sqlite:, absolute: it begins at the project's folder, wherever a command
// is called. Everything else stays as it is.
func below(root, path string) string {
	rest := strings.TrimPrefix(path, "jdbc:")
	rest = strings.TrimPrefix(rest, "sqlite:")
	rest = strings.TrimPrefix(rest, "//")
	_, _, other := strings.Cut(rest, ":") // another scheme, or :memory:
	if rest == "" || other || filepath.IsAbs(rest) {
		return path
	}
	return path[:len(path)-len(rest)] + filepath.ToSlash(filepath.Join(root, rest))
}

// OpenLake makes the folders that the local lake needs and opens it.
func (e Environment) OpenLake(ctx context.Context) (*tables.Lake, error) {
	if err := durable.MkdirAll(filepath.Join(e.Dir, "tmp")); err != nil {
		return nil, err
	}
	lake, err := tables.OpenLake(ctx, e.Lake)
	if err != nil {
		return nil, fmt.Errorf("environment %s: %w", e.Name, err)
	}
	return lake, nil
}

// Queue is the task queue of this environment's workers.
func (e Environment) Queue() string { return first(e.Temporal.TaskQueue, TaskQueue) }

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
