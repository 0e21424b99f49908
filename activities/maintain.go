package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
)

// The writers of a table's upkeep. Each kind has its own, so that the token of one commit is not driven out by another's.
const (
	writerCompact = "maintenance"
	writerExpire  = "maintenance.expire"
	writerRetain  = "maintenance.retain"

	writerDeletes   = "maintenance.deletes"
	writerDangling  = "maintenance.dangling"
	writerManifests = "maintenance.manifests"
)

// survey finds the policy of a table, and in a preview what it would do now.
func (a *Activities) survey(ctx context.Context, p *pulse, in wire.SurveyRequest) (wire.Surveyed, error) {
	p.at("looking for the policy")
	name, policy, err := a.policy(in.Upkeep.Table, in.Pipeline)
	if err != nil {
		return wire.Surveyed{}, err
	}
	table, err := a.lake.Table(ctx, in.Upkeep.Table)
	if err != nil {
		return wire.Surveyed{}, err
	}
	out := wire.Surveyed{Pipeline: name, Policy: *policy, Settings: wire.Settings{
		Groups: a.cfg.Groups, Batch: a.cfg.Batch, SearchAttributes: a.cfg.SearchAttributes,
	}}
	shape, err := Shape(ctx, table, policy)
	if err != nil {
		return wire.Surveyed{}, err
	}
	gaugeHealth(ctx, shape)
	if in.Preview {
		out.Steps, err = a.preview(ctx, p, table, in.Upkeep, *policy)
	}
	return out, err
}

// Shape is a table's health, measured by what its policy wants of it; nil is none.
func Shape(ctx context.Context, table *tables.Table, policy *plan.Maintenance) (*tables.Health, error) {
	if policy == nil || policy.Compact == nil {
		return table.Health(ctx, 0)
	}
	return table.Health(ctx, policy.Compact.TargetFileSize, policy.Compact.Columns...)
}

// policy finds what the files of pipelines say of a table's upkeep: the one named, or any. The table of refused rows is kept
// as the table is that they were refused by, but for the age of its rows.
func (a *Activities) policy(table, pipeline string) (string, *plan.Maintenance, error) {
	names := []string{pipeline}
	if pipeline == "" {
		var err error
		if names, err = a.pipelines(); err != nil {
			return "", nil, err
		}
	}
	base, refused := strings.CutSuffix(table, plan.QuarantineSuffix)
	declared := ""
	for _, name := range names {
		p, err := a.decode(name)
		if err != nil && pipeline != "" {
			return "", nil, err
		}
		if err != nil {
			continue // another pipeline's mistakes are no reason to let this table go
		}
		for _, t := range p.Tables {
			if t.Name.Value != base {
				continue
			}
			declared = p.Name.Value
			m := compile.Maintenance(t)
			if m != nil && refused {
				m = m.OfQuarantine()
			}
			if m != nil {
				return p.Name.Value, m, nil
			}
		}
	}
	if declared != "" {
		return "", nil, userError("pipeline %s says nothing of the maintenance of %s: give it `maintenance: {compact: {}, expire_snapshots: {}, remove_orphans: {}}`", declared, base)
	}
	return "", nil, userError("no pipeline in %s builds a table %s, so that nothing says how it is maintained", a.cfg.PipelinesDir, base)
}

// decode reads a pipeline's file, whose parameters need no values for this.
func (a *Activities) decode(pipeline string) (*spec.Pipeline, error) {
	file, err := a.find(pipeline)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: %w", pipeline, err)
	}
	p, diagnostics := spec.Decode(a.shown(file), data, spec.DecodeOptions{AllowUnset: true, Secrets: a.cfg.Secrets})
	if p == nil {
		return nil, diagnostics
	}
	return p, nil
}

// upkeepToken is the commit id of one step of a maintenance, the same for every attempt.
func upkeepToken(u wire.Upkeep, step string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s\x00%s", u.Workflow, u.FirstRun, u.Began.UnixNano(), u.Table, step))
	return hex.EncodeToString(sum[:16])
}

// upkeepRun names the staging folder of a maintenance.
func upkeepRun(u wire.Upkeep) string {
	return "maintenance-" + upkeepToken(u, "")[:12]
}

func upkeepOptions(u wire.Upkeep, writer, step string) tables.CommitOptions {
	return tables.CommitOptions{
		ID:      commit.ID{Writer: writer, Token: upkeepToken(u, step)},
		Summary: map[string]string{"varve.run": u.Workflow}, Since: u.Began,
	}
}

// declined makes a step of a kind of upkeep that is not done on this table, for good: where files are shared it is no
// failure of the others.
func declined(err error) (wire.UpkeepStep, error) {
	if errors.Is(err, maintain.ErrShared) {
		return wire.UpkeepStep{What: "nothing", Why: err.Error()}, nil
	}
	return wire.UpkeepStep{}, err
}

// endMaintenance removes what a maintenance staged, and files of groups that no commit was asked to use.
func (a *Activities) endMaintenance(ctx context.Context, p *pulse, in wire.EndMaintenanceRequest) (struct{}, error) {
	p.at("cleaning up")
	table, err := a.lake.Table(ctx, in.Upkeep.Table)
	if errors.Is(err, tables.ErrNoSuchTable) {
		return struct{}{}, nil
	}
	if err != nil {
		return struct{}{}, err
	}
	if err := a.discardCompacted(ctx, table, in.Discard); err != nil {
		return struct{}{}, err
	}
	if err := table.RemoveStaging(ctx, upkeepRun(in.Upkeep)); err != nil {
		return struct{}{}, fmt.Errorf("clean up after the maintenance of %s: %w", table.Name(), err)
	}
	return struct{}{}, nil
}
