package workflows

import (
	"errors"

	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
)

// BuildInput starts the build of one table.
type BuildInput struct {
	Pipeline string        `json:"pipeline"`
	Run      string        `json:"run"` // workflow id of the run
	Table    wire.TableRef `json:"table"`
	Settings wire.Settings `json:"settings"`
}

// BuildTable builds one table of a plan.
func BuildTable(ctx workflow.Context, in BuildInput) (*wire.TableResult, error) {
	return nil, errors.New("not written yet")
}
