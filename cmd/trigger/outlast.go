package main

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/plan"
)

// timely refuses a commit by hand of what took longer to write than the removal of orphans waits: nothing tells it that this
// command is under way, as the server does of builds, so that the files may be gone. A tenth of the time is left for the commit
// itself and for clocks that differ.
func timely(policy *plan.Maintenance, now func() time.Time) func(context.Context, *table.Table) error {
	if policy == nil || policy.RemoveOrphans == nil {
		return nil
	}
	began, age := now(), time.Duration(policy.RemoveOrphans.OlderThan)*time.Second
	return func(context.Context, *table.Table) error {
		if took := now().Sub(began); took > age-age/10 {
			return fmt.Errorf("it has taken %v, and maintenance.remove_orphans.older_than is %v: what was written may have been removed as orphans meanwhile; nothing is committed, raise the bound and try again",
				took.Round(time.Second), age)
		}
		return nil
	}
}
