// Package workflows holds the deterministic workflows that carry out a plan: RunPipeline, which orders the tables,
// BuildTable, a child for each of them, and MaintainTable, which keeps a table as its policy says. They do no I/O and have no clock of their own; what they do in the world,
// activities do for them.
package workflows

import (
	"encoding/json"
	"fmt"

	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
)

// The workflows by the names that they are registered under.
const (
	RunPipelineName = "RunPipeline"
	BuildTableName  = "BuildTable"
	// MaintainTableName is MaintainTable's.
	MaintainTableName = wire.MaintainTableName
)

// The queries: both workflows answer QueryProgress, RunPipeline also QueryRecall (a wire.Recalled, for resuming).
const (
	QueryProgress = "progress"
	QueryRecall   = "recall"
)

// RunInput starts a run. It is small enough to be typed by hand into the Temporal UI.
type RunInput struct {
	Pipeline   string     `json:"pipeline"`
	Parameters Parameters `json:"parameters,omitempty"`
	Tables     []string   `json:"tables,omitempty"`    // only these; all if empty
	ResumeOf   string     `json:"resume_of,omitempty"` // workflow id of a run to go on from, or workflow id/run id
	// Branch, of a catalog that has branches, is built on in place of the configured one; it is made of that if it is not
	// there. With Merge it is merged, and removed, when all is built.
	Branch string `json:"branch,omitempty"`
	Merge  bool   `json:"merge,omitempty"`
}

// Parameters are given by hand, so numbers and booleans are taken for the strings that they look like.
type Parameters map[string]string

// UnmarshalJSON takes any scalar as a string.
func (p *Parameters) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	out := make(Parameters, len(raw))
	for name, value := range raw {
		switch value[0] {
		case '"':
			var s string
			if err := json.Unmarshal(value, &s); err != nil {
				return err
			}
			out[name] = s
		case '{', '[', 'n':
			return fmt.Errorf("parameter %q: expected a string, a number or a boolean", name)
		default:
			out[name] = string(value)
		}
	}
	*p = out
	return nil
}

// RunResult is what a run did, table by table, in the plan's order.
type RunResult struct {
	Pipeline string             `json:"pipeline"`
	Tables   []wire.TableResult `json:"tables"`
	Warnings []string           `json:"warnings,omitempty"`
	Seconds  float64            `json:"seconds"`
	Branch   string             `json:"branch,omitempty"` // that was built on, if not the configured one
	Merged   string             `json:"merged,omitempty"` // the branch that it was merged into
}

// Progress answers QueryProgress of a run.
type Progress struct {
	Pipeline string             `json:"pipeline"`
	Stage    string             `json:"stage"` // compiling | building | finished
	Tables   []wire.TableResult `json:"tables,omitempty"`
}

// TableProgress answers QueryProgress of a BuildTable workflow.
type TableProgress struct {
	Table      string      `json:"table"`
	Stage      string      `json:"stage"` // preparing | staging | refining | merging | committing | cleaning up | finished
	Reason     string      `json:"reason,omitempty"`
	Groups     int         `json:"groups"`
	GroupsDone int         `json:"groups_done"`
	Files      int         `json:"files"`
	Bytes      int64       `json:"bytes"`
	Counts     wire.Counts `json:"counts"`

	// Of a large MERGE: the groups of its last division, those of them that are merged, and the files that they are about.
	MergeGroups     int `json:"merge_groups,omitempty"`
	MergeGroupsDone int `json:"merge_groups_done,omitempty"`
	MergeFiles      int `json:"merge_files,omitempty"`
	Conflicts       int `json:"conflicts,omitempty"` // commits that lost against others
}

// String is a line for people: "merging: 12 of 40 groups, after 1 conflict".
func (p TableProgress) String() string {
	text := p.Stage
	switch {
	case p.Stage == stageMerging:
		text += fmt.Sprintf(": %d of %d groups", p.MergeGroupsDone, p.MergeGroups)
	case p.Stage == "staging" && p.Groups > 1:
		text += fmt.Sprintf(": %d of %d groups", p.GroupsDone, p.Groups)
	}
	if p.Conflicts > 0 {
		text += fmt.Sprintf(", after %d conflict%s", p.Conflicts, plural(p.Conflicts))
	}
	return text
}

// Register registers the workflows with a worker.
func Register(r worker.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(RunPipeline, workflow.RegisterOptions{Name: RunPipelineName})
	r.RegisterWorkflowWithOptions(BuildTable, workflow.RegisterOptions{Name: BuildTableName})
	r.RegisterWorkflowWithOptions(MaintainTable, workflow.RegisterOptions{Name: MaintainTableName})
}
