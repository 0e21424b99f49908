package workflows

import (
	"fmt"
	"strings"
	"time"

	"github.com/varve-lake/varve/activities/wire"
)

// MaintainInput starts the maintenance of a table. It is small enough to be typed by hand into the Temporal UI.
type MaintainInput struct {
	Table    string         `json:"table"`
	Pipeline string         `json:"pipeline,omitempty"` // that declares the policy; any of the worker's folder if empty
	Preview  bool           `json:"preview,omitempty"`  // only say what would be done, and why
	Reason   string         `json:"reason,omitempty"`   // why it was started: a commit that crossed a threshold
	State    *MaintainState `json:"state,omitempty"`    // where the chain's earlier run left off
}

// MaintainState is what a run of MaintainTable hands to the next one of its chain. It stays small whatever the number of
// groups: rewritten groups are committed, and so forgotten, part by part.
type MaintainState struct {
	Upkeep   wire.Upkeep            `json:"upkeep"`
	Surveyed wire.Surveyed          `json:"surveyed"`
	Steps    []wire.UpkeepStep      `json:"steps,omitempty"` // that are done
	Planned  wire.PlannedCompaction `json:"planned"`
	Sum      wire.UpkeepStep        `json:"sum"` // of the compaction's commits so far
	Next     int                    `json:"next"`
	Part     int                    `json:"part"`
	Warnings []string               `json:"warnings,omitempty"`
}

// MaintainResult is what a maintenance did, or with a preview would do.
type MaintainResult struct {
	Table    string            `json:"table"`
	Pipeline string            `json:"pipeline,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Preview  bool              `json:"preview,omitempty"`
	Steps    []wire.UpkeepStep `json:"steps"`
	Warnings []string          `json:"warnings,omitempty"`
	Seconds  float64           `json:"seconds"`
	// Skipped says why nothing was looked at: the table's maintenance is under way.
	Skipped string `json:"skipped,omitempty"`
}

// Summary is one line: "silver.flights: join 12 files, 1.2 GiB; 3 snapshots expired".
func (r *MaintainResult) Summary() string {
	if r.Skipped != "" {
		return r.Table + ": " + r.Skipped
	}
	var parts []string
	for _, s := range r.Steps {
		switch {
		case s.Error != "":
			parts = append(parts, s.Kind+" failed: "+clip(s.Error, 120))
		case s.Done:
			parts = append(parts, s.What)
		}
	}
	if len(parts) == 0 {
		return r.Table + ": nothing to do"
	}
	return r.Table + ": " + strings.Join(parts, "; ")
}

func (r *MaintainResult) failure() string {
	var parts []string
	for _, s := range r.Steps {
		if s.Error != "" {
			parts = append(parts, s.Kind+": "+s.Error)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("maintain %s: %s", r.Table, strings.Join(parts, "; "))
}

// MaintainProgress answers QueryProgress of a MaintainTable workflow.
type MaintainProgress struct {
	Table      string            `json:"table"`
	Stage      string            `json:"stage"` // surveying | a kind of upkeep, as "retain" | cleaning up | finished
	Groups     int               `json:"groups,omitempty"`
	GroupsDone int               `json:"groups_done,omitempty"`
	Steps      []wire.UpkeepStep `json:"steps,omitempty"`
	Began      time.Time         `json:"began"`
}
