package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/lakesql"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/transforms/expression"
)

// measured is what came of a phase, by copy.
type measured struct {
	Phase           int                             `json:"phase"`
	Runs            map[string]map[string][]float64 `json:"runs,omitempty"` // seconds, by copy and query
	Files           map[string]int                  `json:"data_files,omitempty"`
	Deletes         map[string]int                  `json:"delete_files,omitempty"`
	ChangeSeconds   float64                         `json:"change_seconds"`
	MaintainSeconds float64                         `json:"maintain_seconds"`
}

// queries are TPC-H's, of those that read lineitem or orders, without the columns that tell a key.
var queries = map[string]string{
	"q01": `SELECT l_returnflag, l_linestatus, sum(l_quantity)::VARCHAR AS a, sum(l_extendedprice)::VARCHAR AS b, sum(l_extendedprice * (1 - l_discount))::VARCHAR AS c,
		count(*) AS n FROM {c}.lineitem WHERE l_shipdate <= DATE '1998-09-02' GROUP BY ALL ORDER BY ALL`,
	"q03": `SELECT revenue::VARCHAR AS revenue, o_orderdate, o_shippriority FROM (SELECT l_orderkey, sum(l_extendedprice * (1 - l_discount)) AS revenue, o_orderdate, o_shippriority
		FROM static.customer, {c}.orders, {c}.lineitem WHERE c_mktsegment = 'BUILDING' AND c_custkey = o_custkey AND l_orderkey = o_orderkey
		AND o_orderdate < DATE '1995-03-15' AND l_shipdate > DATE '1995-03-15' GROUP BY ALL) ORDER BY revenue DESC, o_orderdate LIMIT 10`,
	"q04": `SELECT o_orderpriority, count(*) AS n FROM {c}.orders WHERE o_orderdate >= DATE '1993-07-01' AND o_orderdate < DATE '1993-10-01'
		AND EXISTS (SELECT * FROM {c}.lineitem WHERE l_orderkey = o_orderkey AND l_commitdate < l_receiptdate) GROUP BY ALL ORDER BY ALL`,
	"q05": `SELECT n_name, sum(l_extendedprice * (1 - l_discount))::VARCHAR AS revenue FROM static.customer, {c}.orders, {c}.lineitem, static.supplier, static.nation, static.region
		WHERE c_custkey = o_custkey AND l_orderkey = o_orderkey AND l_suppkey = s_suppkey AND c_nationkey = s_nationkey AND s_nationkey = n_nationkey
		AND n_regionkey = r_regionkey AND r_name = 'ASIA' AND o_orderdate >= DATE '1994-01-01' AND o_orderdate < DATE '1995-01-01' GROUP BY ALL ORDER BY ALL`,
	"q06": `SELECT sum(l_extendedprice * l_discount)::VARCHAR AS revenue FROM {c}.lineitem WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01'
		AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24`,
	"q10": `SELECT c_custkey, c_name, sum(l_extendedprice * (1 - l_discount))::VARCHAR AS revenue, n_name FROM static.customer, {c}.orders, {c}.lineitem, static.nation
		WHERE c_custkey = o_custkey AND l_orderkey = o_orderkey AND o_orderdate >= DATE '1993-10-01' AND o_orderdate < DATE '1994-01-01' AND l_returnflag = 'R'
		AND c_nationkey = n_nationkey GROUP BY ALL ORDER BY sum(l_extendedprice * (1 - l_discount)) DESC, c_custkey LIMIT 20`,
	"q12": `SELECT l_shipmode, sum(CASE WHEN o_orderpriority IN ('1-URGENT', '2-HIGH') THEN 1 ELSE 0 END)::VARCHAR AS high, count(*) AS n FROM {c}.orders, {c}.lineitem
		WHERE o_orderkey = l_orderkey AND l_shipmode IN ('MAIL', 'SHIP') AND l_commitdate < l_receiptdate AND l_shipdate < l_commitdate
		AND l_receiptdate >= DATE '1994-01-01' AND l_receiptdate < DATE '1995-01-01' GROUP BY ALL ORDER BY ALL`,
	"q14": `SELECT sum(CASE WHEN p_type LIKE 'PROMO%' THEN l_extendedprice * (1 - l_discount) ELSE 0 END)::VARCHAR AS promo, sum(l_extendedprice * (1 - l_discount))::VARCHAR AS all_of_it
		FROM {c}.lineitem, static.part WHERE l_partkey = p_partkey AND l_shipdate >= DATE '1995-09-01' AND l_shipdate < DATE '1995-10-01'`,
	"all": `SELECT count(*) AS n, sum(hash(l_partkey, l_suppkey, l_linenumber, l_quantity, l_extendedprice, l_discount, l_tax, l_returnflag, l_linestatus,
		l_shipdate, l_commitdate, l_receiptdate, l_shipinstruct, l_shipmode) % 1000003)::VARCHAR AS digest FROM {c}.lineitem`,
}

// measure runs every query on the copies in turn. Their answers have to be equal.
func (b *bench) measure(ctx context.Context, m *measured) error {
	m.Runs, m.Files, m.Deletes = map[string]map[string][]float64{}, map[string]int{}, map[string]int{}
	for _, of := range copies {
		m.Runs[of] = map[string][]float64{}
		for _, name := range changing {
			t, err := b.lake.Table(ctx, of+"."+name)
			if err != nil {
				return err
			}
			h, err := t.Health(ctx, b.target)
			if err != nil {
				return err
			}
			m.Files[of], m.Deletes[of] = m.Files[of]+h.Files, m.Deletes[of]+h.DeleteFiles
		}
	}
	for name, query := range queries {
		for run := range b.runs + 1 {
			answers := map[string]string{}
			for i := range copies {
				of := copies[(i+run)%len(copies)] // none is always the first
				start := time.Now()
				answer, err := b.answer(ctx, strings.ReplaceAll(query, "{c}", of))
				if err != nil {
					return fmt.Errorf("%s of %s: %w", name, of, err)
				}
				if answers[of] = answer; run > 0 { // the first warms up
					m.Runs[of][name] = append(m.Runs[of][name], since(start))
				}
			}
			if answers[maintained] != answers[control] || answers[left] != answers[control] {
				return fmt.Errorf("%s: the answers differ: %q of the unchanged copy, %q maintained, %q left alone", name, answers[control], answers[maintained], answers[left])
			}
		}
	}
	return nil
}

func (b *bench) answer(ctx context.Context, query string) (string, error) {
	rows, err := b.engine.Run(ctx, query, lakesql.New(b.lake, nil))
	if err != nil {
		return "", err
	}
	defer rows.Release()
	var out strings.Builder
	for rows.Next() {
		batch := rows.RecordBatch()
		for i := range int(batch.NumRows()) {
			for _, c := range batch.Columns() {
				out.WriteString(c.ValueStr(i) + "|")
			}
			out.WriteByte('\n')
		}
	}
	return out.String(), rows.Err()
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// total is the sum of the queries' medians on a copy.
func (m *measured) total(of string) (sum float64) {
	for _, runs := range m.Runs[of] {
		sum += median(runs)
	}
	return sum
}

// ratio is a copy's query time, of that of the copy that nothing changes, in the same minutes.
func (m *measured) ratio(of string) float64 { return m.total(of) / m.total(control) }

func (m *measured) line(first *measured) string {
	return fmt.Sprintf("phase %2d: changed in %.1f s, maintained in %.1f s; queries %.2f s on the unchanged copy, %.2f s maintained (%.3f of the first), %.2f s left alone (%.3f)", m.Phase, m.ChangeSeconds, m.MaintainSeconds,
		m.total(control), m.total(maintained), m.ratio(maintained)/first.ratio(maintained), m.total(left), m.ratio(left)/first.ratio(left))
}

// compiled is an expression of the source's columns; it is one of this program's own.
func compiled(text string, source *arrow.Schema) merge.Expression {
	p, err := expression.Compile(text, expression.Scope{"s": source})
	if err != nil {
		panic(err)
	}
	return p
}
