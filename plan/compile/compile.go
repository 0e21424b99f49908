// Package compile makes a plan.Plan from a spec.Pipeline: the DAG of its tables, with schemas carried through every
// step and every expression checked against them.
package compile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/spec"
)

// Options of a compilation. The zero value is usable.
type Options struct {
	Source      []byte // the pipeline's file, for the lines that diagnostics show
	File        string // its name as the plan records it; the pipeline's own if empty
	Environment string
}

// Compile makes the plan, or says everything that stands against it: the plan is nil if a diagnostic is an error. The
// error is a fault of the world that the Resolver met, about which the user's file can do nothing.
func Compile(ctx context.Context, p *spec.Pipeline, r Resolver, opts Options) (*plan.Plan, spec.Diagnostics, error) {
	c := &compiler{
		resolver: r, pipeline: p,
		tables: make(map[string]*build, len(p.Tables)), existing: make(map[string]*Existing),
	}
	for _, t := range p.Tables {
		c.tables[t.Name.Value] = &build{spec: t}
	}
	for _, t := range p.Tables {
		if err := c.compile(ctx, c.tables[t.Name.Value]); err != nil {
			return nil, nil, err
		}
	}
	c.diagnostics.Sort()
	diagnostics := c.diagnostics.WithSource(opts.Source)
	if diagnostics.Err() != nil {
		return nil, diagnostics, nil
	}
	return c.plan(opts), diagnostics, nil
}

// compiler compiles the tables of one pipeline, each when it is first asked for: a table that reads another asks for
// that one's schema.
type compiler struct {
	resolver    Resolver
	pipeline    *spec.Pipeline
	tables      map[string]*build
	path        []string // tables whose compilation has begun and not ended, each read by the one before it
	existing    map[string]*Existing
	lake        []string // the names of the lake's tables, once they were asked for
	diagnostics spec.Diagnostics
}

// state of a build.
const (
	unseen = iota
	visiting
	done
)

// build is one table on its way into the plan.
type build struct {
	spec  *spec.Table
	state int
	// failed says that diagnostics stand against the table, and that no schema is known for those that read it. They are
	// passed over in silence: one mistake is reported once.
	failed   bool
	out      plan.Table
	existing *Existing     // the table as the lake has it; nil if it does not
	cdc      *changeData   // nil if it is not written so
	rows     *arrow.Schema // that leave the steps, in their enforced types
	schema   *arrow.Schema // of the table, once it is built
	// unknown holds columns whose step is wrong: expressions that name them are not checked.
	unknown map[string]bool
	// reshaped says that a step changed which columns there are, so that "is not in <source>" would not be true.
	reshaped bool
}

func (b *build) name() string { return b.spec.Name.Value }

// errReported ends the compilation of a table of which all is said.
var errReported = errors.New("reported")

func (c *compiler) compile(ctx context.Context, b *build) error {
	if b.state != unseen {
		return nil
	}
	b.state = visiting
	c.path = append(c.path, b.name())
	before := len(c.diagnostics.Errors())
	err := c.table(ctx, b)
	c.path = c.path[:len(c.path)-1]
	b.state = done
	if err != nil || len(c.diagnostics.Errors()) > before && b.schema == nil {
		b.failed = true
	}
	if errors.Is(err, errReported) {
		return nil
	}
	return err
}

// table compiles one table from its source to its place in the lake. It goes on after a mistake as long as what follows
// can still be judged.
func (c *compiler) table(ctx context.Context, b *build) error {
	t := b.spec
	layer, _, _ := strings.Cut(t.Name.Value, ".")
	b.unknown = make(map[string]bool)
	b.out = plan.Table{
		Name: t.Name.Value, Layer: layer, SchemaMode: t.SchemaMode, Strict: t.Strict, Properties: t.Properties,
		FormatVersion: t.FormatVersion, Doc: t.Doc, Owner: t.Owner, Tags: t.Tags, Malformed: malformed(t),
		Maintenance: Maintenance(t),
	}
	var err error
	if b.existing, err = c.inLake(ctx, t.Name.Value); err != nil {
		return err
	}
	input, err := c.input(ctx, b)
	if err != nil {
		return err
	}
	if b.out.Dormant {
		return c.dormant(b)
	}
	if b.out.Input, err = Columns(input); err != nil {
		c.fail(t.Pos, "", "%v", err)
		return errReported
	}
	after := c.steps(b, input)
	c.expectations(b, after)
	if err := c.enforce(b, after); err != nil {
		return err
	}
	c.layout(b)
	c.retain(b)
	c.clustering(b)
	c.write(b)
	if rejects(b.out) {
		b.out.Quarantine = b.name() + plan.QuarantineSuffix
	}
	return nil
}

// dormant makes the plan of a table that has nothing to read: its columns are the ones it has.
func (c *compiler) dormant(b *build) (err error) {
	b.schema = b.existing.Schema
	b.out.Columns, err = Columns(b.schema)
	if err != nil {
		c.fail(b.spec.Pos, "", "%v", err)
		return errReported
	}
	b.rows = b.schema
	b.out.Write.Mode = b.spec.Write.Mode
	return nil
}

// malformed is the policy for rows that steps or the enforced schema cannot take. A source says it; a table that reads
// the lake has asked for a quarantine if one of its expectations has.
func malformed(t *spec.Table) string {
	if t.Source != nil {
		return t.Source.Malformed
	}
	for _, e := range t.Expect {
		if e.Otherwise == "quarantine" {
			return "quarantine"
		}
	}
	return "fail"
}

func rejects(t plan.Table) bool {
	if t.Malformed == "quarantine" {
		return true
	}
	return slices.ContainsFunc(t.Expect, func(e plan.Expectation) bool { return e.Otherwise == "quarantine" })
}

// inLake describes a table of the lake, or is nil if there is none of that name.
func (c *compiler) inLake(ctx context.Context, name string) (*Existing, error) {
	if found, known := c.existing[name]; known {
		return found, nil
	}
	found, err := c.resolver.TableSchema(ctx, name)
	if errors.Is(err, ErrNoTable) {
		found, err = nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("compile %s: look up %s: %w", c.pipeline.Name.Value, name, err)
	}
	c.existing[name] = found
	return found, nil
}

// plan puts the tables into topological order; of those that could come next, the first in the file does.
func (c *compiler) plan(opts Options) *plan.Plan {
	p := &plan.Plan{
		Version: plan.Version, Pipeline: c.pipeline.Name.Value, Description: c.pipeline.Description,
		File: opts.File, Digest: c.pipeline.Digest, Environment: opts.Environment,
	}
	if p.File == "" {
		p.File = c.pipeline.Pos.File
	}
	for _, parameter := range c.pipeline.Parameters {
		if p.Parameters == nil {
			p.Parameters = make(map[string]string)
		}
		p.Parameters[parameter.Name.Value] = parameter.Value
	}
	placed := make(map[string]bool)
	for len(p.Tables) < len(c.pipeline.Tables) {
		for _, t := range c.pipeline.Tables {
			b := c.tables[t.Name.Value]
			ready := !slices.ContainsFunc(b.out.After, func(name string) bool { return !placed[name] })
			if placed[b.name()] || !ready {
				continue
			}
			placed[b.name()] = true
			p.Tables = append(p.Tables, b.out)
			break
		}
	}
	for _, d := range c.diagnostics.Warnings() {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s:%d:%d: %s", d.File, d.Line, d.Column, d.Message))
	}
	return p
}
