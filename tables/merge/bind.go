package merge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/internal/rows"
	"github.com/varve-lake/varve/tables/merge/internal/keys"
)

// The scopes of expressions: "s.x" is the source row's x, "t.x" the target row's.
const (
	sourceScope = "s."
	targetScope = "t."
)

// binding is a merge resolved against the schemas of its table and its source.
// It does not change, and all goroutines share it.
type binding struct {
	table  string
	schema *iceberg.Schema // the target's current one
	target *arrow.Schema
	source *arrow.Schema
	opts   Options

	keys   []key
	layout *keys.Layout // nil without keys

	// matched, notMatched and bySource are the three lists of clauses.
	matched, notMatched, bySource []clause

	// What the stages read, as plain column names: the source's keys; the
	// source's and the target's columns that decide about a matched pair; the
	// target's that decide about a row without a match; the source's columns that
	// updates write.
	sourceKeys, sourceDecide   []string
	targetKeys, targetDecide   []string
	bySourceDecide             []string
	sourceUpdate, sourceInsert []string
	lineage                    bool // format v3: rows keep their ids
	unconditionalDelete        bool // the only matched clause
	warnings                   []string
}

// key is one equality of the ON condition.
type key struct {
	source, target string
	field          iceberg.NestedField
	common         arrow.DataType // what both sides are compared as
}

// clause is a Clause whose assignments are spread over the target's columns.
type clause struct {
	condition Expression
	action    Action
	assign    []assign // Update: those that change; Insert: one for each column
}

// assign says where a target column's new value comes from.
type assign struct {
	column int         // of the target
	from   string      // a source column, or
	value  Expression  // an expression, or
	preset arrow.Array // a default of one row; with none of them, null
}

func (b *binding) errorf(format string, args ...any) error {
	return fmt.Errorf("merge into %s: %w: %s", b.table, ErrOptions, fmt.Sprintf(format, args...))
}

// bind resolves the options against a table's current schema.
func bind(ctx context.Context, head *table.Table, source *arrow.Schema, opts Options) (*binding, error) {
	b := &binding{
		table: strings.Join(head.Identifier(), "."), schema: head.Schema(), source: source, opts: opts,
		lineage: head.Metadata().Version() >= 3,
	}
	var err error
	if b.target, err = table.SchemaToArrowSchema(b.schema, nil, true, false); err != nil {
		return nil, fmt.Errorf("merge into %s: schema: %w", b.table, err)
	}
	if err := b.bindKeys(); err != nil {
		return nil, err
	}
	if err := b.bindClauses(ctx); err != nil {
		return nil, err
	}
	if err := b.checkNewColumns(); err != nil {
		return nil, err
	}
	b.collectColumns()
	return b, nil
}

func (b *binding) bindKeys() error {
	pairs := slices.Clone(b.opts.OnPairs)
	for _, c := range b.opts.On {
		pairs = append(pairs, Pair{Source: c, Target: c})
	}
	for i := len(pairs) - 1; i > 0; i-- {
		if slices.Contains(pairs[:i], pairs[i]) {
			pairs = slices.Delete(pairs, i, i+1)
		}
	}
	if len(pairs) == 0 && b.opts.Predicate == nil {
		return b.errorf("there is no ON condition")
	}
	types := make([]arrow.DataType, len(pairs))
	for i, p := range pairs {
		s, ok := fieldOf(b.source, p.Source)
		if !ok {
			return b.errorf("key column %q is not in the source", p.Source)
		}
		t, ok := fieldOf(b.target, p.Target)
		if !ok {
			return b.errorf("key column %q is not in the table", p.Target)
		}
		common, err := keys.Common(s.Type, t.Type)
		if err != nil {
			return b.errorf("ON s.%s = t.%s: %v", p.Source, p.Target, err)
		}
		types[i] = common
		field, _ := b.schema.FindFieldByName(p.Target)
		b.keys = append(b.keys, key{source: p.Source, target: p.Target, field: field, common: common})
	}
	if len(pairs) == 0 {
		b.warnings = append(b.warnings, "the ON condition has no equality of a source and a target column: every source row is compared with every target row")
		return nil
	}
	var err error
	if b.layout, err = keys.NewLayout(types, b.opts.NullSafe); err != nil {
		return b.errorf("%v", err)
	}
	return nil
}

func fieldOf(s *arrow.Schema, name string) (arrow.Field, bool) {
	i := s.FieldIndices(name)
	if len(i) != 1 {
		return arrow.Field{}, false
	}
	return s.Field(i[0]), true
}

func (b *binding) bindClauses(ctx context.Context) error {
	presets, err := b.writeDefaults(ctx)
	if err != nil {
		return err
	}
	for _, l := range []struct {
		what    string
		from    []Clause
		to      *[]clause
		actions []Action
		scopes  []string
	}{
		{"when matched", b.opts.Matched, &b.matched, []Action{Update, Delete}, []string{sourceScope, targetScope}},
		{"when not matched", b.opts.NotMatched, &b.notMatched, []Action{Insert}, []string{sourceScope}},
		{"when not matched by source", b.opts.NotMatchedBySource, &b.bySource, []Action{Update, Delete}, []string{targetScope}},
	} {
		for i, c := range l.from {
			what := fmt.Sprintf("%s, clause %d", l.what, i+1)
			if !slices.Contains(l.actions, c.Action) {
				return b.errorf("%s: %s is not possible here", what, c.Action)
			}
			if c.All && !slices.Contains(l.scopes, sourceScope) {
				return b.errorf("%s: there is no source row to take all columns from", what)
			}
			if c.If != nil && c.If.Type().ID() != arrow.BOOL && c.If.Type().ID() != arrow.NULL {
				return b.errorf("%s: the condition is of type %s, not boolean", what, c.If.Type())
			}
			if err := b.checkColumns(what, c.If, l.scopes); err != nil {
				return err
			}
			bound, err := b.bindClause(what, c, l.scopes, presets)
			if err != nil {
				return err
			}
			*l.to = append(*l.to, bound)
		}
	}
	if err := b.checkColumns("the ON predicate", b.opts.Predicate, []string{sourceScope, targetScope}); err != nil {
		return err
	}
	b.unconditionalDelete = len(b.matched) == 1 && b.matched[0].action == Delete && b.matched[0].condition == nil
	if len(b.matched) > 127 || len(b.bySource) > 127 {
		return b.errorf("more than 127 clauses of a kind")
	}
	return nil
}

// checkColumns makes sure that an expression's columns exist and are in scope.
func (b *binding) checkColumns(what string, e Expression, scopes []string) error {
	if e == nil {
		return nil
	}
	for _, c := range e.Columns() {
		scope, name, _ := strings.Cut(c, ".")
		schema := map[string]*arrow.Schema{"s": b.source, "t": b.target}[scope]
		if schema == nil || !slices.Contains(scopes, scope+".") {
			return b.errorf("%s: column %q is not in scope here", what, c)
		}
		if _, ok := fieldOf(schema, name); !ok {
			return b.errorf("%s: there is no column %q", what, c)
		}
	}
	return nil
}

func (b *binding) bindClause(what string, c Clause, scopes []string, presets []arrow.Array) (clause, error) {
	out := clause{condition: c.If, action: c.Action}
	if c.Action == Delete {
		if c.All || len(c.Set) > 0 {
			return out, b.errorf("%s: a delete assigns no columns", what)
		}
		return out, nil
	}
	if !c.All && len(c.Set) == 0 {
		return out, b.errorf("%s: %s without a column", what, c.Action)
	}
	if b.target.NumFields() == 0 {
		return out, b.errorf("the table has no columns")
	}
	set := make(map[string]Expression, len(c.Set))
	for _, a := range c.Set {
		if _, ok := fieldOf(b.target, a.Column); !ok {
			return out, b.errorf("%s: column %q is not in the table", what, a.Column)
		}
		if set[a.Column] != nil {
			return out, b.errorf("%s: column %q is set twice", what, a.Column)
		}
		if err := b.checkColumns(what+", column "+a.Column, a.Value, scopes); err != nil {
			return out, err
		}
		set[a.Column] = a.Value
	}
	for i, f := range b.target.Fields() {
		a := assign{column: i}
		s, inSource := fieldOf(b.source, f.Name)
		switch {
		case set[f.Name] != nil:
			a.value = set[f.Name]
			if err := rows.Assignable(a.value.Type(), f.Type); err != nil {
				return out, b.errorf("%s: column %s: %v", what, f.Name, err)
			}
		case c.All && inSource:
			a.from = f.Name
			if err := rows.Assignable(s.Type, f.Type); err != nil {
				return out, b.errorf("%s: column %s: %v", what, f.Name, err)
			}
		case c.Action == Update:
			continue
		case presets[i] != nil:
			a.preset = presets[i]
		case !f.Nullable:
			return out, b.errorf("%s: column %s is required, and the source has none", what, f.Name)
		}
		out.assign = append(out.assign, a)
	}
	return out, nil
}

// checkNewColumns applies the policy to source columns that the target lacks.
func (b *binding) checkNewColumns() error {
	all := slices.ContainsFunc(slices.Concat(b.opts.Matched, b.opts.NotMatched), func(c Clause) bool { return c.All })
	if b.opts.NewColumns != RefuseNewColumns || !all {
		return nil
	}
	for _, f := range b.source.Fields() {
		if _, ok := fieldOf(b.target, f.Name); !ok {
			return b.errorf("the source's column %q is not in the table", f.Name)
		}
	}
	return nil
}

// writeDefaults gives each target column's write default as an array of one
// row; nil for those that have none.
func (b *binding) writeDefaults(ctx context.Context) ([]arrow.Array, error) {
	out := make([]arrow.Array, b.target.NumFields())
	for i, f := range b.schema.Fields() {
		if f.WriteDefault == nil {
			continue
		}
		one := array.NewRecordBatch(arrow.NewSchema(nil, nil), nil, 1)
		batch, err := table.ToRequestedSchema(ctx, iceberg.NewSchema(0, f), iceberg.NewSchema(0), one,
			table.SchemaOptions{UseWriteDefault: true, IncludeFieldIDs: true})
		if err != nil {
			return nil, b.errorf("write default of column %s: %v", f.Name, err)
		}
		if out[i], err = rows.Cast(ctx, batch.Column(0), b.target.Field(i).Type); err != nil {
			return nil, b.errorf("write default of column %s: %v", f.Name, err)
		}
	}
	return out, nil
}

// collectColumns finds what each stage reads.
func (b *binding) collectColumns() {
	source, target, bySource := columnSet{}, columnSet{}, columnSet{}
	update, insert := columnSet{}, columnSet{}
	for _, k := range b.keys {
		b.sourceKeys = append(b.sourceKeys, k.source)
		b.targetKeys = append(b.targetKeys, k.target)
	}
	source.add(b.opts.Predicate, sourceScope)
	target.add(b.opts.Predicate, targetScope)
	for _, c := range b.matched {
		source.add(c.condition, sourceScope)
		target.add(c.condition, targetScope)
		for _, a := range c.assign {
			update.add(a.value, sourceScope)
			update.name(a.from)
		}
	}
	for _, c := range b.bySource {
		bySource.add(c.condition, targetScope)
	}
	for _, c := range b.notMatched {
		insert.add(c.condition, sourceScope)
		for _, a := range c.assign {
			insert.add(a.value, sourceScope)
			insert.name(a.from)
		}
	}
	b.sourceDecide, b.sourceUpdate, b.sourceInsert = source.of(b.source), update.of(b.source), insert.of(b.source)
	b.targetDecide, b.bySourceDecide = target.of(b.target), bySource.of(b.target)
}

// columnSet is a set of column names.
type columnSet map[string]bool

func (s columnSet) add(e Expression, scope string) {
	if e == nil {
		return
	}
	for _, c := range e.Columns() {
		if name, ok := strings.CutPrefix(c, scope); ok {
			s[name] = true
		}
	}
}

func (s columnSet) name(column string) {
	if column != "" {
		s[column] = true
	}
}

// of lists the set in the order of a schema.
func (s columnSet) of(schema *arrow.Schema) []string {
	var out []string
	for _, f := range schema.Fields() {
		if s[f.Name] {
			out = append(out, f.Name)
		}
	}
	return out
}
