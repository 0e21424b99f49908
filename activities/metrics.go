package activities

import (
	"context"
	"strings"

	"github.com/apache/iceberg-go/table"
	"go.temporal.io/sdk/activity"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
)

// What commits go through is counted by table. A worker that serves metrics shows these with the suffix _total.
const (
	metricAttempts = "varve_commit_attempts"         // commits sent to the catalog
	metricConflict = "varve_commit_conflicts"        // of them refused, since the head had moved
	metricClaims   = "varve_commit_claims"           // turns asked for by commits that kept losing
	metricUnknown  = "varve_commit_unknown_outcomes" // of them whose answer was lost
	metricRedone   = "varve_commit_groups_redone"    // file groups of MERGEs and deletes done again after a conflict
)

// gaugeHealth shows the shape of a table, when maintenance has looked at it.
func gaugeHealth(ctx context.Context, h *tables.Health) {
	if !activity.IsActivity(ctx) {
		return
	}
	handler := activity.GetMetricsHandler(ctx).WithTags(map[string]string{"table": h.Table})
	for name, value := range healthGauges(h) {
		handler.Gauge("varve_table_" + name).Update(value)
	}
}

func healthGauges(h *tables.Health) map[string]float64 {
	return map[string]float64{
		"files": float64(h.Files), "small_files": float64(h.SmallFiles), "bytes": float64(h.Bytes), "rows": float64(h.Rows),
		"delete_files": float64(h.DeleteFiles), "deleted_rows": float64(h.DeletedRows), "clustering_depth": h.Depth,
		"snapshots": float64(h.Snapshots), "metadata_bytes": float64(h.MetadataBytes + h.ManifestBytes),
	}
}

// countCommit counts every commit of the lake's tables: of rows, of quarantined rows and of definitions.
func countCommit(ctx context.Context, ident table.Identifier, out commit.Outcome) {
	name := strings.Join(ident, ".")
	count(ctx, metricAttempts, name, out.Attempts)
	count(ctx, metricConflict, name, out.Conflicts)
	count(ctx, metricClaims, name, out.Claims)
	count(ctx, metricUnknown, name, out.UnknownOutcomes)
}

func count(ctx context.Context, metric, table string, n int) {
	if !activity.IsActivity(ctx) {
		return
	}
	// Also what is still zero is shown, so that an alert can be written before the first conflict.
	activity.GetMetricsHandler(ctx).WithTags(map[string]string{"table": table}).Counter(metric).Inc(int64(n))
}
