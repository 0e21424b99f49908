package sql

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// planNode is an operator of DuckDB's plan, as EXPLAIN (FORMAT JSON) shows it.
type planNode struct {
	Name     string         `json:"name"`
	Children []planNode     `json:"children"`
	Info     map[string]any `json:"extra_info"`
}

func (n planNode) is(function string) bool { return strings.EqualFold(n.Name, function) }

// transparent are the operators known to show all that they read as children. A plan with any other pushes nothing.
var transparent = map[string]bool{
	"PROJECTION": true, "FILTER": true, "LIMIT": true, "STREAMING_LIMIT": true, "LIMIT_PERCENT": true, "TOP_N": true,
	"ORDER_BY": true, "HASH_GROUP_BY": true, "PERFECT_HASH_GROUP_BY": true, "PARTITIONED_AGGREGATE": true,
	"UNGROUPED_AGGREGATE": true, "STREAMING_WINDOW": true, "WINDOW": true, "HASH_JOIN": true, "CROSS_PRODUCT": true,
	"NESTED_LOOP_JOIN": true, "BLOCKWISE_NL_JOIN": true, "PIECEWISE_MERGE_JOIN": true, "IE_JOIN": true,
	"POSITIONAL_JOIN": true, "ASOF_JOIN": true, "UNION": true, "UNNEST": true, "CTE": true, "CTE_SCAN": true,
	"COLUMN_DATA_SCAN": true, "DUMMY_SCAN": true, "EMPTY_RESULT": true, "STREAMING_SAMPLE": true,
	"RESERVOIR_SAMPLE": true, "INOUT_FUNCTION": true, "PIVOT": true,
}

// pushDown reads the plan for what each relation may leave out. What is found is a hint to the Input: the plan keeps
// its filters and limits.
//
// It is right for the plan that runs, even if that is another than the one shown, since both mean the same: if every
// scan of a table stands below a filter, the rows that do not pass cannot change the result of this plan, and so not
// of any.
func (s *session) pushDown() error {
	roots, err := s.showPlan()
	if err != nil {
		return err
	}
	s.readPlan(roots)
	for _, root := range roots {
		if root.hasList() { // a hint less is no error, but an end of the session is
			_ = s.planLists()
			return s.ctx.Err()
		}
	}
	return nil
}

// showPlan is the plan of the statement.
func (s *session) showPlan() (roots []planNode, err error) {
	serialized, err := s.conn.queryText("EXPLAIN (FORMAT JSON) "+s.stmt.text, 1)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(serialized), &roots); err != nil {
		return nil, fmt.Errorf("sql engine: read the plan: %w", err)
	}
	return roots, nil
}

func (s *session) readPlan(roots []planNode) {
	p := &planReader{session: s, scans: map[*relation][]planScan{}, complete: true}
	for _, root := range roots {
		p.read(root, nil)
	}
	for _, r := range s.relations {
		r.columns = p.columns(r)
		if p.complete {
			r.filters = commonFilters(p.scans[r])
		}
	}
	if s.planned = p.complete; s.planned && len(roots) == 1 {
		p.pushLimit(roots[0])
	}
}

// hasList tells whether there is a join with constants, which is what DuckDB makes of IN with more than a few, and does not show.
func (n planNode) hasList() bool {
	for _, child := range n.Children {
		if n.Name == "HASH_JOIN" && child.Name == "COLUMN_DATA_SCAN" || child.hasList() {
			return true
		}
	}
	return false
}

// planLists takes filters and limits from a plan in which IN with many constants is a condition. The plan that runs stays the other one.
func (s *session) planLists() error {
	conn, err := s.engine.connectPlanner()
	if err != nil {
		return err
	}
	other := s.engine.onConnection(s.ctx, conn, s.stmt, s.in)
	defer other.close()
	if err := other.openRelations(); err != nil {
		return err
	}
	roots, err := other.showPlan()
	if err != nil {
		return err
	}
	other.readPlan(roots)
	for i, r := range s.relations {
		r.filters, r.limit = other.relations[i].filters, other.relations[i].limit
	}
	return nil
}

type planReader struct {
	session  *session
	scans    map[*relation][]planScan
	complete bool // all operators are transparent
}

type planScan struct {
	columns map[int]bool
	filters []Filter
}

func (p *planReader) read(n planNode, parent *planNode) {
	if n.is(scanFunction) {
		p.readScan(n, parent)
	} else if !transparent[n.Name] && !tableFunctions[strings.ToLower(n.Name)] {
		p.complete = false
	}
	for _, child := range n.Children {
		p.read(child, &n)
	}
}

func (p *planReader) readScan(n planNode, parent *planNode) {
	scan := planScan{columns: map[int]bool{}}
	var of *relation
	for _, name := range texts(n.Info["Projections"]) {
		r, c, ok := p.session.column(name)
		if !ok || of != nil && of != r {
			p.complete = false
			return
		}
		of = r
		scan.columns[c] = true
	}
	if of == nil {
		p.complete = false
		return
	}
	if parent != nil && parent.Name == "FILTER" {
		scan.filters, _ = readFilters(p.session, of, strings.Join(texts(parent.Info["Expression"]), " AND "))
	}
	p.scans[of] = append(p.scans[of], scan)
}

// columns are those that the scans of a relation read together, in the table's order.
func (p *planReader) columns(r *relation) []string {
	var names []string
	for c, field := range r.schema.Fields() {
		for _, scan := range p.scans[r] {
			if scan.columns[c] {
				names = append(names, field.Name)
				break
			}
		}
	}
	return names
}

// commonFilters are the filters that every scan has.
func commonFilters(scans []planScan) []Filter {
	if len(scans) == 0 {
		return nil
	}
	var common []Filter
	for _, f := range scans[0].filters {
		everywhere := true
		for _, other := range scans[1:] {
			everywhere = everywhere && contains(other.filters, f)
		}
		if everywhere && !contains(common, f) {
			common = append(common, f)
		}
	}
	return common
}

func contains(filters []Filter, f Filter) bool {
	for _, other := range filters {
		if reflect.DeepEqual(f, other) {
			return true
		}
	}
	return false
}

// pushLimit finds the plan of SELECT ... FROM one table WHERE ... LIMIT n, where n rows that pass the filters are all
// that is needed.
func (p *planReader) pushLimit(root planNode) {
	limit := p.session.stmt.limit
	if limit <= 0 || len(p.session.relations) != 1 {
		return
	}
	r := p.session.relations[0]
	n, limited := root, false
	for len(n.Children) == 1 && (n.Name == "PROJECTION" || n.Name == "LIMIT" || n.Name == "STREAMING_LIMIT") {
		limited = limited || n.Name != "PROJECTION"
		n = n.Children[0]
	}
	if n.Name == "FILTER" && len(n.Children) == 1 {
		if _, whole := readFilters(p.session, r, strings.Join(texts(n.Info["Expression"]), " AND ")); !whole {
			return
		}
		n = n.Children[0]
	}
	if limited && n.is(scanFunction) && len(p.scans[r]) == 1 {
		r.limit = limit
	}
}

// texts are the strings of a value that EXPLAIN shows as one or as a list.
func texts(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}
