package tables

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// evolution is the difference between a table and a definition, and the steps that close it.
type evolution struct {
	name  string
	head  *table.Table
	def   Definition
	empty bool // the table has no snapshot yet, so that no row can break a new rule

	changes    Changes
	properties map[string]string
	steps      []func(*table.UpdateSchema)
	next       *iceberg.Schema // the schema after the steps
}

func (e *evolution) refuse(column, format string, args ...any) error {
	return &IncompatibleError{Table: e.name, Column: column, Reason: fmt.Sprintf(format, args...)}
}

// work finds the difference. It changes nothing.
func (e *evolution) work(ctx context.Context) error {
	if err := e.format(ctx); err != nil {
		return err
	}
	schema := e.head.Schema()
	if err := e.columns(nil, schema.Fields(), e.def.Schema.Fields()); err != nil {
		return err
	}
	if err := e.identifier(schema); err != nil {
		return err
	}
	if err := e.preview(); err != nil {
		return err
	}
	if err := e.layout(); err != nil {
		return err
	}
	e.properties = map[string]string{}
	have := e.head.Properties()
	for _, key := range slices.Sorted(maps.Keys(e.def.properties())) {
		if value := e.def.properties()[key]; have[key] != value {
			e.properties[key] = value
			e.changes.Properties = append(e.changes.Properties, key)
		}
	}
	return nil
}

// format raises the format version. The library's upgrade would lose live Parquet position deletes at the next delete
// of the same file, so that a table that has any is refused.
func (e *evolution) format(ctx context.Context) error {
	have, want := e.head.Metadata().Version(), e.def.FormatVersion
	switch {
	case want == 0 || want == have:
		return nil
	case want < have:
		return e.refuse("", "it has format version %d, which cannot become %d", have, want)
	}
	deletes := 0
	if err := deletesAt(ctx, e.head, e.head.CurrentSnapshot(), func(iceberg.DataFile) { deletes++ }); err != nil {
		return err
	}
	if deletes > 0 {
		return e.refuse("", "format version %d with %d delete files cannot become %d before they are compacted away", have, deletes, want)
	}
	e.changes.Format = true
	return nil
}

// columns compares the fields of one level, by name.
func (e *evolution) columns(path []string, have []iceberg.NestedField, want []arrow.Field) error {
	byName := make(map[string]iceberg.NestedField, len(have))
	for _, f := range have {
		byName[f.Name] = f
	}
	for _, f := range want {
		at := append(slices.Clone(path), f.Name)
		old, ok := byName[f.Name]
		if !ok {
			if err := e.add(at, f, have); err != nil {
				return err
			}
			continue
		}
		delete(byName, f.Name)
		if err := e.column(at, old, f); err != nil {
			return err
		}
	}
	for _, f := range have { // in the table's order, so that the error is always the same
		if left, ok := byName[f.Name]; ok && left.Required && left.WriteDefault == nil {
			return e.refuse(strings.Join(append(slices.Clone(path), f.Name), "."),
				"it is required in the table and missing from the definition")
		}
	}
	return nil
}

func (e *evolution) add(at []string, f arrow.Field, siblings []iceberg.NestedField) error {
	name := strings.Join(at, ".")
	for _, s := range siblings {
		if strings.EqualFold(s.Name, f.Name) {
			return e.refuse(name, "the table has %q, which differs only in case", s.Name)
		}
	}
	if !e.def.Evolve {
		return e.refuse(name, "it is not in the table, and the table may not evolve")
	}
	required := !f.Nullable || len(at) == 1 && slices.Contains(e.def.Identifier, f.Name)
	if required && !e.empty {
		return e.refuse(name, "a required column cannot be added to a table that has rows")
	}
	t, err := (&fieldIDs{next: 1}).typeOf(f.Type)
	if err != nil {
		return e.refuse(name, "%v", err)
	}
	e.changes.Added = append(e.changes.Added, name)
	e.steps = append(e.steps, func(u *table.UpdateSchema) { u.AddColumn(at, t, docOf(f), required, nil) })
	return nil
}

// column compares one field: type, then optionality, then doc.
func (e *evolution) column(at []string, old iceberg.NestedField, f arrow.Field) error {
	name := strings.Join(at, ".")
	if err := e.typeOf(at, old.Type, f.Type); err != nil {
		return err
	}
	required := !f.Nullable || len(at) == 1 && slices.Contains(e.identifiers(), f.Name)
	switch {
	case old.Required && !required:
		if !e.def.Evolve {
			return e.refuse(name, "it is required in the table and optional in the definition, and the table may not evolve")
		}
		e.changes.Relaxed = append(e.changes.Relaxed, name)
		e.update(at, table.ColumnUpdate{Required: iceberg.Optional[bool]{Val: false, Valid: true}})
	case !old.Required && required && !e.empty:
		return e.refuse(name, "it is optional in the table, whose rows may hold nulls, and cannot become required")
	case !old.Required && required:
		e.changes.Required = append(e.changes.Required, name)
		e.update(at, table.ColumnUpdate{Required: iceberg.Optional[bool]{Val: true, Valid: true}})
	}
	if doc := docOf(f); doc != "" && doc != old.Doc {
		e.changes.Documented = append(e.changes.Documented, name)
		e.update(at, table.ColumnUpdate{Doc: iceberg.Optional[string]{Val: doc, Valid: true}})
	}
	return nil
}

// identifiers are the identifier columns that the table will have.
func (e *evolution) identifiers() []string {
	if len(e.def.Identifier) > 0 {
		return e.def.Identifier
	}
	return identifierNames(e.head.Schema())
}

func (e *evolution) update(at []string, change table.ColumnUpdate) {
	e.steps = append(e.steps, func(u *table.UpdateSchema) { u.UpdateColumn(at, change) })
}

func (e *evolution) typeOf(at []string, old iceberg.Type, want arrow.DataType) error {
	name := strings.Join(at, ".")
	asked, err := (&fieldIDs{next: 1}).typeOf(want)
	if err != nil {
		return e.refuse(name, "%v", err)
	}
	switch o := old.(type) {
	case *iceberg.StructType:
		if s, ok := want.(*arrow.StructType); ok {
			return e.columns(at, o.FieldList, s.Fields())
		}
	case *iceberg.ListType:
		if l, ok := want.(arrow.ListLikeType); ok && want.ID() != arrow.MAP {
			element := l.ElemField()
			return e.column(append(slices.Clone(at), "element"), o.ElementField(), element)
		}
	case *iceberg.MapType:
		if m, ok := want.(*arrow.MapType); ok {
			if err := e.typeOf(append(slices.Clone(at), "key"), o.KeyType, m.KeyType()); err != nil {
				return err
			}
			return e.column(append(slices.Clone(at), "value"), o.ValueField(), m.ItemField())
		}
	default:
		return e.primitive(at, old, asked)
	}
	return e.refuse(name, "it is %s in the table and cannot become %s", typeText(old), typeText(asked))
}

// primitive compares types without fields. A definition that is narrower than the table is fine: what is written fits.
func (e *evolution) primitive(at []string, old, asked iceberg.Type) error {
	name := strings.Join(at, ".")
	switch {
	case old.Equals(asked), promotes(asked, old):
		return nil
	case !promotes(old, asked):
		return e.refuse(name, "it is %s in the table and cannot become %s", typeText(old), typeText(asked))
	case !e.def.Evolve:
		return e.refuse(name, "it is %s in the table and %s in the definition, and the table may not evolve",
			typeText(old), typeText(asked))
	}
	e.changes.Widened = append(e.changes.Widened, fmt.Sprintf("%s: %s to %s", name, typeText(old), typeText(asked)))
	e.update(at, table.ColumnUpdate{FieldType: iceberg.Optional[iceberg.Type]{Val: asked, Valid: true}})
	return nil
}

// promotes tells whether Iceberg lets a column of type from become to. The library's own table also knows what only
// readers do (string and binary are each other's), which no schema may.
func promotes(from, to iceberg.Type) bool {
	switch f := from.(type) {
	case iceberg.Int32Type:
		_, ok := to.(iceberg.Int64Type)
		return ok
	case iceberg.Float32Type:
		_, ok := to.(iceberg.Float64Type)
		return ok
	case iceberg.DecimalType:
		t, ok := to.(iceberg.DecimalType)
		return ok && t.Scale() == f.Scale() && t.Precision() >= f.Precision()
	}
	return false
}

func (e *evolution) identifier(schema *iceberg.Schema) error {
	want := slices.Sorted(slices.Values(e.def.Identifier))
	have := slices.Sorted(slices.Values(identifierNames(schema)))
	if len(want) == 0 || slices.Equal(want, have) {
		return nil
	}
	paths := make([][]string, len(want))
	for i, name := range want {
		if _, ok := schema.FindFieldByName(name); !ok && !slices.Contains(e.changes.Added, name) {
			return badDefinition("%s: identifier column %s is not a column", e.name, name)
		}
		paths[i] = strings.Split(name, ".")
	}
	e.changes.Identifier = true
	e.steps = append(e.steps, func(u *table.UpdateSchema) { u.SetIdentifierField(paths) })
	return nil
}

func identifierNames(s *iceberg.Schema) []string {
	var out []string
	for _, id := range s.IdentifierFieldIDs {
		out = append(out, columnName(s, id))
	}
	return out
}

func (e *evolution) updateSchema(tx *table.Transaction) *table.UpdateSchema {
	u := tx.UpdateSchema(true, e.empty)
	for _, step := range e.steps {
		step(u)
	}
	return u
}

// preview works out the schema that the steps lead to, for the layout to be checked against.
func (e *evolution) preview() (err error) {
	e.next = e.head.Schema()
	if len(e.steps) > 0 {
		if e.next, err = e.updateSchema(e.head.NewTransaction()).Apply(); err != nil {
			return e.refuse("", "%v", err)
		}
	}
	return nil
}

func (e *evolution) layout() error {
	terms, err := partitionTerms(e.def.PartitionBy, e.next)
	if err != nil {
		return fmt.Errorf("evolve %s: %w", e.name, err)
	}
	order, err := sortOrder(e.def.SortBy, e.next)
	if err != nil {
		return fmt.Errorf("evolve %s: %w", e.name, err)
	}
	e.changes.Partition = !samePartition(e.head.Spec(), e.next, terms)
	e.changes.SortOrder = !slices.Equal(formatSort(order, e.next), formatSort(e.head.SortOrder(), e.next))
	return nil
}

// alter carries the steps out.
func (e *evolution) alter(tx *table.Transaction) error {
	if e.changes.Format {
		if err := tx.UpgradeFormatVersion(e.def.FormatVersion); err != nil {
			return err
		}
	}
	if len(e.steps) > 0 {
		if err := e.updateSchema(tx).Commit(); err != nil {
			return err
		}
	}
	if e.changes.Partition {
		if err := e.repartition(tx); err != nil {
			return err
		}
	}
	if e.changes.SortOrder {
		order, err := sortOrder(e.def.SortBy, e.next)
		if err != nil {
			return err
		}
		return tx.ReplaceSortOrder(order)
	}
	return nil
}

// repartition gives the table the definition's spec. Fields that stay keep their ids, so that files of the old spec are
// still pruned by them.
func (e *evolution) repartition(tx *table.Transaction) error {
	terms, err := partitionTerms(e.def.PartitionBy, e.next)
	if err != nil {
		return err
	}
	update := tx.UpdateSpec(true)
	spec := e.head.Spec()
	stays := map[string]bool{}
	for _, t := range terms {
		stays[formatTerm(t.transform, t.column)] = true
	}
	had := map[string]bool{}
	for _, f := range spec.Fields() {
		text := formatTerm(f.Transform, columnName(e.next, f.SourceID()))
		if had[text] = true; !stays[text] {
			update.RemoveField(f.Name)
		}
	}
	for _, t := range terms {
		if !had[formatTerm(t.transform, t.column)] {
			update.AddField(t.column, t.transform, t.fieldName())
		}
	}
	return update.Commit()
}
