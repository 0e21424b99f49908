package datafile

import (
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// PlanFilter is what of a filter can be told from the bounds in a table's manifests: it holds for every row that the filter
// holds for. Bounds of files that are older than their column's promotion are those of the narrower type, which the
// library takes for damaged, so that predicates on such columns are left out; what reads the files sees to them. Nil is
// every row.
func PlanFilter(meta table.Metadata, filter iceberg.BooleanExpression) (iceberg.BooleanExpression, error) {
	if filter == nil {
		return nil, nil
	}
	promoted := promotedColumns(meta)
	if len(promoted) == 0 {
		return filter, nil
	}
	plain, err := iceberg.RewriteNotExpr(filter) // below a negation, less would be more
	if err != nil {
		return nil, err
	}
	out, err := iceberg.VisitExpr(plain, weakening{promoted})
	if err != nil {
		return nil, err
	}
	if out.Equals(iceberg.AlwaysTrue{}) {
		return nil, nil
	}
	return out, nil
}

// promotedColumns names the columns that once had another type.
func promotedColumns(meta table.Metadata) map[string]bool {
	now := meta.CurrentSchema()
	out := map[string]bool{}
	for _, past := range meta.Schemas() {
		if past.ID == now.ID {
			continue
		}
		for _, old := range past.Fields() {
			f, found := now.FindFieldByID(old.ID)
			if name, named := now.FindColumnName(old.ID); found && named && !f.Type.Equals(old.Type) {
				out[name] = true
			}
		}
	}
	return out
}

// weakening leaves predicates on some columns out of an expression without negations.
type weakening struct{ columns map[string]bool }

func (weakening) VisitTrue() iceberg.BooleanExpression  { return iceberg.AlwaysTrue{} }
func (weakening) VisitFalse() iceberg.BooleanExpression { return iceberg.AlwaysFalse{} }

func (weakening) VisitNot(iceberg.BooleanExpression) iceberg.BooleanExpression {
	return iceberg.AlwaysTrue{}
}

func (weakening) VisitAnd(left, right iceberg.BooleanExpression) iceberg.BooleanExpression {
	return iceberg.NewAnd(left, right)
}

func (weakening) VisitOr(left, right iceberg.BooleanExpression) iceberg.BooleanExpression {
	return iceberg.NewOr(left, right)
}

func (w weakening) VisitUnbound(p iceberg.UnboundPredicate) iceberg.BooleanExpression {
	if column, ok := p.Term().(iceberg.Reference); !ok || w.columns[string(column)] {
		return iceberg.AlwaysTrue{}
	}
	return p
}

func (weakening) VisitBound(p iceberg.BoundPredicate) iceberg.BooleanExpression { return p }
