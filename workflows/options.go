package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
)

// The search attributes, of type Keyword, and Int for the number of conflicts. A namespace has to know them before a worker says that it does.
var (
	AttributePipeline = temporal.NewSearchAttributeKeyKeyword("VarvePipeline")
	AttributeLayer    = temporal.NewSearchAttributeKeyKeyword("VarveLayer")
	AttributeTable    = temporal.NewSearchAttributeKeyKeyword("VarveTable")
	// AttributeConflicts counts the commits of a build that lost against others; a build without any does not have it.
	AttributeConflicts = temporal.NewSearchAttributeKeyInt64("VarveConflicts")
)

// retries go on through an outage of some two hours. Errors that no retry can mend end them at once; errors without a
// class are given up by the activity after a few attempts.
var retries = temporal.RetryPolicy{
	InitialInterval:        time.Second,
	BackoffCoefficient:     2,
	MaximumInterval:        time.Minute,
	MaximumAttempts:        120,
	NonRetryableErrorTypes: wire.NonRetryable,
}

// short is for activities that look things up: they heartbeat too, since a glob may match a hundred thousand files.
func short(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour,
		HeartbeatTimeout:    30 * time.Second,
		WaitForCancellation: true,
		RetryPolicy:         &retries,
	})
}

// long is for activities that read and write rows. A dead worker is noticed by its heartbeat, so the time to finish
// bounds only what is stuck while it is alive.
func long(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 48 * time.Hour,
		HeartbeatTimeout:    30 * time.Second,
		WaitForCancellation: true,
		RetryPolicy:         &retries,
	})
}

// described gives an activity a line that the UI shows beside it.
func described(ctx workflow.Context, summary string) workflow.Context {
	options := workflow.GetActivityOptions(ctx)
	options.Summary = summary
	return workflow.WithActivityOptions(ctx, options)
}

// sweep is for cleaning up after a build that may have been cancelled: it runs on, and gives up rather than keep the
// build from ending. Maintenance sweeps what it leaves.
func sweep(ctx workflow.Context) (workflow.Context, workflow.CancelFunc) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	policy := retries
	policy.MaximumAttempts = 5
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Minute,
		HeartbeatTimeout:    30 * time.Second,
		RetryPolicy:         &policy,
	}), cancel
}
