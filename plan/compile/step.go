package compile

import (
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/transforms"
)

// Step is a row step of a plan as package transforms takes it. A dedupe is no row step.
func Step(s plan.Step) transforms.Step {
	return transforms.Step{
		Filter: s.Filter, Derive: assigns(s.Derive), Select: s.Select, Rename: assigns(s.Rename), Cast: assigns(s.Cast), Drop: s.Drop,
	}
}

func assigns(in []plan.Assign) []transforms.Assign {
	var out []transforms.Assign
	for _, a := range in {
		out = append(out, transforms.Assign{Name: a.Name, Value: a.Value})
	}
	return out
}
