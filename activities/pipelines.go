package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/spec"

	"github.com/varve-lake/varve/internal/fault"
)

// maxInlinePlan is the size of a plan above which it travels by reference: payloads are bounded by 256 KiB.
const maxInlinePlan = 200 << 10

// Plan compiles a pipeline by its name in the worker's folder, or by the path of its file. It is what the activity
// Compile does, without Temporal.
func (a *Activities) Plan(ctx context.Context, pipeline string, parameters map[string]string) (*plan.Plan, spec.Diagnostics) {
	p, diagnostics, err := a.compilePlan(ctx, pipeline, parameters)
	if err != nil {
		return nil, spec.Diagnostics{{Message: err.Error()}}
	}
	return p, diagnostics
}

func (a *Activities) compilePlan(ctx context.Context, pipeline string, parameters map[string]string) (*plan.Plan, spec.Diagnostics, error) {
	file, err := a.find(pipeline)
	if err != nil {
		return nil, nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("pipeline %s: %w", pipeline, err)
	}
	shown := a.shown(file)
	decoded, warnings := spec.Decode(shown, data, spec.DecodeOptions{Parameters: parameters, Secrets: a.cfg.Secrets})
	if decoded == nil {
		return nil, warnings, nil
	}
	engine, err := a.sql()
	if err != nil {
		return nil, nil, err
	}
	p, found, err := compile.Compile(ctx, decoded, &resolver{a: a, engine: engine, writer: decoded.Name.Value}, compile.Options{
		Source: data, File: shown, Environment: a.cfg.Environment,
	})
	if err != nil {
		return nil, nil, err
	}
	found = append(warnings, found...)
	found.Sort()
	return p, found, nil
}

// find is the file of a pipeline. A name is looked for in the folder, by the name of the file and then by the name that
// the files declare; a path is taken as it is.
func (a *Activities) find(pipeline string) (string, error) {
	if strings.HasSuffix(pipeline, ".yaml") || strings.HasSuffix(pipeline, ".yml") {
		return pipeline, nil
	}
	if pipeline == "" || strings.ContainsAny(pipeline, `/\`) || strings.HasPrefix(pipeline, ".") {
		return "", userError("pipeline %q: expected the name of a pipeline", pipeline)
	}
	for _, suffix := range []string{".yaml", ".yml"} {
		file := filepath.Join(a.cfg.PipelinesDir, pipeline+suffix)
		if info, err := os.Stat(file); err == nil && !info.IsDir() {
			return file, nil
		}
	}
	known, err := a.pipelines()
	if err != nil {
		return "", err
	}
	hint := ""
	if near := spec.Nearest(pipeline, known); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return "", userError("no pipeline %q in %s%s", pipeline, a.cfg.PipelinesDir, hint)
}

// pipelines lists the pipelines of the folder.
func (a *Activities) pipelines() ([]string, error) {
	entries, err := os.ReadDir(a.cfg.PipelinesDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, userError("the folder of pipelines, %s, does not exist", a.cfg.PipelinesDir)
	}
	if err != nil {
		return nil, fmt.Errorf("list pipelines: %w", err)
	}
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
			names = append(names, strings.TrimSuffix(e.Name(), ext))
		}
	}
	return names, nil
}

// shown is a file's name as plans and diagnostics have it: from the project's root where it lies below that, so that
// the same project gives the same plan on every machine.
func (a *Activities) shown(file string) string {
	root := a.cfg.Root
	if root == "" {
		root = "."
	}
	base, err := filepath.Abs(root)
	if err != nil {
		return file
	}
	full, err := filepath.Abs(file)
	if err != nil {
		return file
	}
	if rel, err := filepath.Rel(base, full); err == nil && !strings.HasPrefix(rel, "..") {
		return filepath.ToSlash(rel)
	}
	return filepath.ToSlash(file)
}

// compile is the activity that makes a run's plan.
func (a *Activities) compile(ctx context.Context, p *pulse, in wire.CompileRequest) (wire.Compiled, error) {
	fault.Point(fault.CompileBefore)
	p.at("compiling")
	compiled, diagnostics, err := a.compilePlan(ctx, in.Pipeline, in.Parameters)
	if err != nil {
		return wire.Compiled{}, err
	}
	if err := diagnostics.Err(); err != nil {
		return wire.Compiled{}, err
	}
	out := wire.Compiled{
		Settings: wire.Settings{
			Tables: a.cfg.Tables, Groups: a.cfg.Groups, Batch: a.cfg.Batch, SearchAttributes: a.cfg.SearchAttributes,
			ConflictAttribute: a.cfg.ConflictAttribute,
		},
		Warnings: compiled.Warnings[:min(len(compiled.Warnings), 100)],
	}
	for _, t := range compiled.Tables {
		out.Nodes = append(out.Nodes, wire.Node{Name: t.Name, Layer: t.Layer, After: t.After})
	}
	if out.Plan, err = a.storePlan(ctx, compiled, in.Run); out.Plan.URI != "" {
		out.Run = in.Run
	}
	return out, err
}

// storePlan makes a reference to a plan: the plan itself while it is small.
func (a *Activities) storePlan(ctx context.Context, p *plan.Plan, run string) (wire.PlanRef, error) {
	data, digest, err := p.Encode()
	if err != nil {
		return wire.PlanRef{}, err
	}
	if len(data) <= maxInlinePlan {
		return wire.PlanRef{Plan: p, Digest: digest}, nil
	}
	uri, err := a.lake.WriteStaged(ctx, run, "plan-"+digest+".json", data)
	if err != nil {
		return wire.PlanRef{}, fmt.Errorf("store the plan of %s: %w", p.Pipeline, err)
	}
	fault.Point(fault.CompilePlanStored)
	return wire.PlanRef{URI: uri, Digest: digest}, nil
}

// table is the plan of the table that a reference names.
func (a *Activities) table(ctx context.Context, ref wire.TableRef) (*plan.Table, error) {
	if ref.Table != nil {
		return ref.Table, nil
	}
	data, err := a.lake.ReadStaged(ctx, ref.URI)
	if err != nil {
		return nil, fmt.Errorf("read the plan %s: %w", ref.URI, err)
	}
	p, err := plan.Decode(data)
	if err != nil {
		return nil, err
	}
	t := p.Table(ref.Name)
	if t == nil {
		return nil, fmt.Errorf("the plan %s has no table %s", ref.URI, ref.Name)
	}
	return t, nil
}
