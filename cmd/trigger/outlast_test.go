package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/plan"
)

func TestACommandByHandDoesNotOutlastTheAgeOfOrphans(t *testing.T) {
	require.Nil(t, timely(nil, time.Now))
	require.Nil(t, timely(&plan.Maintenance{}, time.Now))
	now := time.Now()
	ask := timely(&plan.Maintenance{RemoveOrphans: &plan.Orphans{OlderThan: 3600}}, func() time.Time { return now })
	require.NoError(t, ask(context.Background(), nil))
	now = now.Add(50 * time.Minute)
	require.NoError(t, ask(context.Background(), nil))
	now = now.Add(5 * time.Minute)
	require.ErrorContains(t, ask(context.Background(), nil), "remove_orphans.older_than is 1h0m0s")
}
