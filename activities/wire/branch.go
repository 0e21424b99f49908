package wire

import (
	"context"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
)

// BranchRequest asks for something to be done with a branch of the catalog's.
type BranchRequest struct {
	Branch string `json:"branch"`
	Hash   string `json:"hash,omitempty"` // where the branch has to stand
	// Seen are commits of the branch, up to the newest of which it is merged; without any, up to where it stands.
	Seen []string `json:"seen,omitempty"`
}

// BranchMerged says where a branch went.
type BranchMerged struct {
	Into string `json:"into"`
	Hash string `json:"hash,omitempty"` // of the branch's commit that was merged
}

// The branch that a run builds on goes from its workflow to every child and activity in their headers, so that no request
// has to name it.
const headerBranch = "varve-branch"

type branchKey struct{}

// OnBranch makes children and activities that are begun with ctx work on a branch of the catalog's.
func OnBranch(ctx workflow.Context, name string) workflow.Context {
	return workflow.WithValue(ctx, branchKey{}, name)
}

// Branch is the branch that an activity works on; "" is the configured one.
func Branch(ctx context.Context) string {
	name, _ := ctx.Value(branchKey{}).(string)
	return name
}

// BranchPropagator carries the branch. Clients and workers have it among their context propagators.
type BranchPropagator struct{}

var _ workflow.ContextPropagator = BranchPropagator{}

// Inject implements workflow.ContextPropagator.
func (BranchPropagator) Inject(ctx context.Context, w workflow.HeaderWriter) error {
	return write(Branch(ctx), w)
}

// InjectFromWorkflow implements workflow.ContextPropagator.
func (BranchPropagator) InjectFromWorkflow(ctx workflow.Context, w workflow.HeaderWriter) error {
	name, _ := ctx.Value(branchKey{}).(string)
	return write(name, w)
}

// Extract implements workflow.ContextPropagator.
func (BranchPropagator) Extract(ctx context.Context, r workflow.HeaderReader) (context.Context, error) {
	name, err := read(r)
	if name == "" || err != nil {
		return ctx, err
	}
	return context.WithValue(ctx, branchKey{}, name), nil
}

// ExtractToWorkflow implements workflow.ContextPropagator.
func (BranchPropagator) ExtractToWorkflow(ctx workflow.Context, r workflow.HeaderReader) (workflow.Context, error) {
	name, err := read(r)
	if name == "" || err != nil {
		return ctx, err
	}
	return OnBranch(ctx, name), nil
}

func write(name string, w workflow.HeaderWriter) error {
	if name == "" {
		return nil
	}
	payload, err := converter.GetDefaultDataConverter().ToPayload(name)
	if err != nil {
		return err
	}
	w.Set(headerBranch, payload)
	return nil
}

func read(r workflow.HeaderReader) (name string, err error) {
	if payload, ok := r.Get(headerBranch); ok {
		err = converter.GetDefaultDataConverter().FromPayload(payload, &name)
	}
	return name, err
}
