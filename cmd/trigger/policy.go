package main

import (
	"os"
	"strings"
	"time"

	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/tables/maintain"
)

// policyOf is what the pipeline files say of a table's upkeep; nil if they say nothing. Files with mistakes are passed over:
// trigger validate is for them.
func policyOf(env environment.Environment, table string) *plan.Maintenance {
	files, err := pipelineFiles(env.Pipelines)
	if err != nil {
		return nil
	}
	base := strings.TrimSuffix(table, plan.QuarantineSuffix)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		p, _ := spec.Decode(relative(file), data, spec.DecodeOptions{AllowUnset: true, Secrets: env.Secrets})
		if p == nil {
			continue
		}
		for _, t := range p.Tables {
			m := compile.Maintenance(t)
			switch {
			case t.Name.Value != base || m == nil:
			case base != table:
				return m.OfQuarantine()
			default:
				return m
			}
		}
	}
	return nil
}

// expiryOf are the options of a policy's expiry; those of the table's own properties where it has none.
func expiryOf(m *plan.Maintenance) maintain.ExpireOptions {
	if m == nil || m.Expire == nil {
		return maintain.ExpireOptions{}
	}
	return maintain.ExpireOptions{OlderThan: time.Duration(m.Expire.OlderThan) * time.Second, KeepLast: m.Expire.KeepLast}
}
