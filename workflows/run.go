package workflows

import (
	"errors"

	"go.temporal.io/sdk/workflow"
)

// RunPipeline compiles a pipeline and builds its tables.
func RunPipeline(ctx workflow.Context, in RunInput) (*RunResult, error) {
	return nil, errors.New("not written yet")
}
