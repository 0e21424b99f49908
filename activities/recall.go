package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
)

// queryRecall is workflows.QueryRecall, which this package does not import.
const queryRecall = "recall"

// recall asks an earlier run what it planned and got done.
func (a *Activities) recall(ctx context.Context, p *pulse, in wire.RecallRequest) (wire.Recalled, error) {
	p.at("asking the earlier run")
	id, run := splitRun(in.Of)
	answer, err := activity.GetClient(ctx).QueryWorkflow(ctx, id, run, queryRecall)
	var unknown *serviceerror.NotFound
	var refused *serviceerror.QueryFailed
	switch {
	case errors.As(err, &unknown):
		return wire.Recalled{}, userError("no run %q is known", in.Of)
	case errors.As(err, &refused):
		return wire.Recalled{}, userError("run %q cannot be resumed: %s", in.Of, refused.Message)
	case err != nil:
		return wire.Recalled{}, fmt.Errorf("ask run %s: %w", in.Of, err)
	}
	var out wire.Recalled
	if err := answer.Get(&out); err != nil {
		return wire.Recalled{}, fmt.Errorf("ask run %s: %w", in.Of, err)
	}
	return out, nil
}

// splitRun takes a run id off a workflow id. Run ids are UUIDs; workflow ids may have slashes of their own.
func splitRun(of string) (id, run string) {
	if i := strings.LastIndexByte(of, '/'); i >= 0 && len(of)-i-1 == 36 && strings.Count(of[i:], "-") == 4 {
		return of[:i], of[i+1:]
	}
	return of, ""
}

// missing tells whether a staged file is not there.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, tables.ErrAbsent)
}
