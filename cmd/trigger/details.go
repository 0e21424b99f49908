package main

import (
	"context"
	"time"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/workflows"
)

// details say how far the tables are that are being built. They are asked of a table's own workflow, seldom.
type details struct {
	s     *session
	asked map[string]time.Time // by table, also when it was first seen
	text  map[string]string
}

// detailEvery is the time between two questions about one table. One that is built within it is not asked at all.
const detailEvery = 2 * time.Second

func newDetails(s *session) *details {
	return &details{s: s, asked: map[string]time.Time{}, text: map[string]string{}}
}

// add makes what a table is at the reason of its being under way.
func (d *details) add(ctx context.Context, now *workflows.Progress) {
	if now == nil {
		return
	}
	for i := range now.Tables {
		t := &now.Tables[i]
		if t.State != wire.StateRunning || t.Workflow == "" {
			continue
		}
		switch last, seen := d.asked[t.Table]; {
		case !seen:
			d.asked[t.Table] = time.Now()
		case time.Since(last) >= detailEvery:
			d.asked[t.Table] = time.Now()
			if p := d.s.tableProgress(ctx, t.Workflow); p != nil {
				d.text[t.Table] = p.String()
			}
		}
		t.Reason = d.text[t.Table]
	}
}

// tableProgress asks the workflow that builds a table; nil if it does not answer just now.
func (s *session) tableProgress(ctx context.Context, workflow string) *workflows.TableProgress {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	answer, err := s.QueryWorkflow(ctx, workflow, "", workflows.QueryProgress)
	if err != nil {
		return nil
	}
	var out workflows.TableProgress
	if answer.Get(&out) != nil {
		return nil
	}
	return &out
}
