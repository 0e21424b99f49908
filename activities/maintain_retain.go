package activities

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// retain deletes the rows that are past their time, of a table and of the one that has those that it refused: these may be of the
// same people. Of the latter old snapshots go too, so that the rows are really gone, whether or not it is maintained for itself.
func (a *Activities) retain(ctx context.Context, p *pulse, in wire.RetainRequest) (wire.UpkeepStep, error) {
	step, err := a.retainRows(ctx, p, in)
	if err != nil || strings.HasSuffix(in.Upkeep.Table, plan.QuarantineSuffix) {
		return step, err
	}
	of := in.Upkeep
	of.Table += plan.QuarantineSuffix
	refused, err := a.retainRows(ctx, p, wire.RetainRequest{Upkeep: of, Retain: plan.Retain{Column: plan.QuarantinedAt, For: in.Retain.For}})
	if errors.Is(err, tables.ErrNoSuchTable) {
		return step, nil
	}
	if err != nil {
		return wire.UpkeepStep{}, fmt.Errorf("rows that %s refused: %w", in.Upkeep.Table, err)
	}
	if in.Expire != nil {
		expired, err := a.expire(ctx, p, wire.ExpireRequest{Upkeep: of, Policy: *in.Expire})
		if err != nil {
			return wire.UpkeepStep{}, fmt.Errorf("rows that %s refused: %w", in.Upkeep.Table, err)
		}
		refused.Done, refused.Snapshots = refused.Done || expired.Done, expired.Snapshots
	}
	return withRefused(step, refused), nil
}

// withRefused is a step on a table's rows, with one on those that it refused.
func withRefused(step, refused wire.UpkeepStep) wire.UpkeepStep {
	if !refused.Done {
		return step
	}
	refusedWhat := refused.What
	if refused.Snapshots > 0 {
		refusedWhat += fmt.Sprintf(", and forgot %d snapshots", refused.Snapshots)
	}
	step.What += "; of the rows that the table refused: " + refusedWhat
	step.Done = true
	step.Rows, step.Files, step.Bytes = step.Rows+refused.Rows, step.Files+refused.Files, step.Bytes+refused.Bytes
	step.FilesAdded, step.BytesWritten = step.FilesAdded+refused.FilesAdded, step.BytesWritten+refused.BytesWritten
	return step
}

// retainRows does so of one table. Files, and so partitions, all of whose rows are past their time go without being read; from others
// rows are removed by writing them anew, so that nothing of them is left in the head.
func (a *Activities) retainRows(ctx context.Context, p *pulse, in wire.RetainRequest) (wire.UpkeepStep, error) {
	fault.Point(fault.RetainBefore)
	p.at("deleting rows past their time")
	table, err := a.lake.Table(ctx, in.Upkeep.Table)
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	condition, err := pastTime(table, in.Retain, in.Upkeep.Began)
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	rows, err := rowsWhere(condition, table)
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	rows.Strategy = merge.CopyOnWrite
	options := upkeepOptions(in.Upkeep, writerRetain, "retain")
	options.Summary["varve.where"] = condition
	options.Summary[maintain.RetentionKey] = "true"
	result, err := table.Delete(ctx, options, rows)
	count(ctx, metricRedone, table.Name(), result.GroupsRedone)
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	fault.Point(fault.RetainDone)
	step := wire.UpkeepStep{
		What: "no row is past its time", Why: "retain: " + condition, Done: result.SnapshotID != 0, Rows: result.Deleted,
		Files: result.FilesRemoved, FilesAdded: result.FilesAdded, BytesWritten: result.BytesWritten,
	}
	if step.Done {
		step.What = fmt.Sprintf("deleted %d rows, of %d files", result.Deleted, result.FilesRemoved)
	}
	return step, nil
}

// plainName is a column's name that stands in a condition as it is.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// pastTime is the condition on rows that are past their time.
func pastTime(t *tables.Table, r plan.Retain, now time.Time) (string, error) {
	schema, err := t.Schema()
	if err != nil {
		return "", err
	}
	fields, ok := schema.FieldsByName(r.Column)
	if !ok || !plainName.MatchString(r.Column) {
		return "", userError("retain: %s has no column %q", t.Name(), r.Column)
	}
	before := now.Add(-time.Duration(r.For) * time.Second).UTC()
	switch typ := fields[0].Type.(type) {
	case *arrow.Date32Type:
		return fmt.Sprintf("%s < date(%q)", r.Column, before.Format("2006-01-02")), nil
	case *arrow.TimestampType:
		name := "timestamp"
		if typ.TimeZone != "" {
			name = "timestamptz"
		}
		text := before.Format("2006-01-02T15:04:05")
		if name == "timestamptz" {
			text += "Z"
		}
		return fmt.Sprintf("%s < %s(%q)", r.Column, name, text), nil
	}
	return "", userError("retain: column %q of %s is neither a date nor a timestamp", r.Column, t.Name())
}
