package tables

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// term is a column or a transform of one, as a partition or a sort order names it: "carrier", "days(ts)",
// "bucket(16, id)".
type term struct {
	column    string
	transform iceberg.Transform
	text      string // as it was written
}

var callForm = regexp.MustCompile(`^([A-Za-z_]+)\s*\((.*)\)$`)

// parseTerm reads a term. The transforms have the names of Iceberg's Spark DDL, and of the specification.
func parseTerm(text string) (term, error) {
	text = strings.TrimSpace(text)
	m := callForm.FindStringSubmatch(text)
	if m == nil {
		if text == "" || strings.ContainsAny(text, "(),") {
			return term{}, badDefinition("%q is not a column or a transform of one", text)
		}
		return term{column: unquote(text), transform: iceberg.IdentityTransform{}, text: text}, nil
	}
	name, args := strings.ToLower(m[1]), strings.Split(m[2], ",")
	for i := range args {
		args[i] = strings.TrimSpace(args[i])
	}
	wrong := func(want string) (term, error) {
		return term{}, badDefinition("%q: want %s", text, want)
	}
	switch name {
	case "bucket", "truncate":
		if len(args) != 2 {
			return wrong(name + "(number, column)")
		}
		if _, err := strconv.Atoi(args[0]); err != nil {
			args[0], args[1] = args[1], args[0] // PyIceberg's and SQL's order
		}
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 || n > 1<<30 || args[1] == "" {
			return wrong(name + "(number, column) with a positive number")
		}
		if name == "bucket" {
			return term{unquote(args[1]), iceberg.BucketTransform{NumBuckets: n}, text}, nil
		}
		return term{unquote(args[1]), iceberg.TruncateTransform{Width: n}, text}, nil
	case "zorder":
		return term{}, badDefinition("%q: zorder is not yet supported", text)
	}
	transform, ok := namedTransforms[name]
	if !ok {
		return wrong("one of identity, years, months, days, hours, bucket, truncate")
	}
	if len(args) != 1 || args[0] == "" {
		return wrong(name + "(column)")
	}
	return term{unquote(args[0]), transform, text}, nil
}

var namedTransforms = map[string]iceberg.Transform{
	"identity": iceberg.IdentityTransform{},
	"year":     iceberg.YearTransform{}, "years": iceberg.YearTransform{},
	"month": iceberg.MonthTransform{}, "months": iceberg.MonthTransform{},
	"day": iceberg.DayTransform{}, "days": iceberg.DayTransform{}, "date": iceberg.DayTransform{},
	"hour": iceberg.HourTransform{}, "hours": iceberg.HourTransform{}, "date_hour": iceberg.HourTransform{},
	"void": iceberg.VoidTransform{},
}

func unquote(name string) string {
	if len(name) >= 2 && (name[0] == '`' || name[0] == '"') && name[len(name)-1] == name[0] {
		return name[1 : len(name)-1]
	}
	return name
}

// bind finds the term's column and checks that the transform takes its type.
func (t term) bind(schema *iceberg.Schema) (iceberg.NestedField, error) {
	f, ok := schema.FindFieldByName(t.column)
	if !ok {
		return f, badDefinition("%q: column %s is not in the table", t.text, t.column)
	}
	if _, nested := f.Type.(iceberg.NestedType); nested || !t.transform.CanTransform(f.Type) {
		return f, badDefinition("%q: column %s is %s, which %s does not take", t.text, t.column, f.Type,
			t.transform)
	}
	return f, nil
}

// fieldName is the partition field's name as Iceberg's own writers make it.
func (t term) fieldName() string {
	base := strings.ReplaceAll(t.column, ".", "_")
	switch tr := t.transform.(type) {
	case iceberg.IdentityTransform:
		return t.column
	case iceberg.BucketTransform:
		return fmt.Sprintf("%s_bucket_%d", base, tr.NumBuckets)
	case iceberg.TruncateTransform:
		return fmt.Sprintf("%s_trunc_%d", base, tr.Width)
	}
	return base + "_" + t.transform.String()
}

// partitionTerms reads a partition_by list.
func partitionTerms(texts []string, schema *iceberg.Schema) ([]term, error) {
	var out []term
	decimal := ""
	for _, text := range texts {
		t, err := parseTerm(text)
		if err != nil {
			return nil, fmt.Errorf("partition by: %w", err)
		}
		f, err := t.bind(schema)
		if err != nil {
			return nil, fmt.Errorf("partition by: %w", err)
		}
		// The library gives all decimals of a manifest one name, and then cannot write it.
		if _, is := t.transform.ResultType(f.Type).(iceberg.DecimalType); is && decimal != "" {
			return nil, badDefinition("partition by: %q and %q: of partitions that are decimals a table can have one; bucket(…) makes whole numbers", decimal, text)
		} else if is {
			decimal = text
		}
		out = append(out, t)
	}
	return out, nil
}

// partitionSpec makes the partition spec of a new table.
func partitionSpec(texts []string, schema *iceberg.Schema) (*iceberg.PartitionSpec, error) {
	terms, err := partitionTerms(texts, schema)
	if err != nil {
		return nil, err
	}
	opts := []iceberg.PartitionOption{iceberg.WithSpecID(0)}
	for i, t := range terms {
		id := 1000 + i // where Iceberg's numbers of partition fields begin; Nessie refuses a table without them
		opts = append(opts, iceberg.AddPartitionFieldByName(t.column, t.fieldName(), t.transform, schema, &id))
	}
	spec, err := iceberg.NewPartitionSpecOpts(opts...)
	if err != nil {
		return nil, badDefinition("partition by: %v", err)
	}
	return &spec, nil
}

// sortOrder reads a sort_by list: "term [asc|desc] [nulls first|nulls last]". Nulls come first when ascending and last
// when descending, as in Iceberg and Spark.
func sortOrder(texts []string, schema *iceberg.Schema) (table.SortOrder, error) {
	if len(texts) == 0 {
		return table.UnsortedSortOrder, nil
	}
	fields := make([]table.SortField, len(texts))
	for i, text := range texts {
		f, err := sortField(text, schema)
		if err != nil {
			return table.SortOrder{}, fmt.Errorf("sort by: %w", err)
		}
		fields[i] = f
	}
	order, err := table.NewSortOrder(table.InitialSortOrderID, fields)
	if err != nil {
		return table.SortOrder{}, badDefinition("sort by: %v", err)
	}
	return order, nil
}

var sortForm = regexp.MustCompile(`(?i)^\s*(.*?)(?:\s+(asc|desc))?(?:\s+nulls\s+(first|last))?\s*$`)

func sortField(text string, schema *iceberg.Schema) (table.SortField, error) {
	m := sortForm.FindStringSubmatch(text)
	if m == nil {
		return table.SortField{}, badDefinition("%q is not a column with asc or desc", text)
	}
	t, err := parseTerm(m[1])
	if err != nil {
		return table.SortField{}, err
	}
	t.text = strings.TrimSpace(text)
	column, err := t.bind(schema)
	if err != nil {
		return table.SortField{}, err
	}
	out := table.SortField{
		SourceIDs: []int{column.ID}, Transform: t.transform, Direction: table.SortASC, NullOrder: table.NullsFirst,
	}
	if strings.EqualFold(m[2], "desc") {
		out.Direction, out.NullOrder = table.SortDESC, table.NullsLast
	}
	switch strings.ToLower(m[3]) {
	case "first":
		out.NullOrder = table.NullsFirst
	case "last":
		out.NullOrder = table.NullsLast
	}
	return out, nil
}

// formatTerm is the inverse of parseTerm.
func formatTerm(t iceberg.Transform, column string) string {
	switch t := t.(type) {
	case iceberg.IdentityTransform:
		return column
	case iceberg.BucketTransform:
		return fmt.Sprintf("bucket(%d, %s)", t.NumBuckets, column)
	case iceberg.TruncateTransform:
		return fmt.Sprintf("truncate(%d, %s)", t.Width, column)
	case iceberg.YearTransform, iceberg.MonthTransform, iceberg.DayTransform, iceberg.HourTransform:
		return fmt.Sprintf("%ss(%s)", t, column)
	}
	return fmt.Sprintf("%s(%s)", t, column)
}

func columnName(schema *iceberg.Schema, id int) string {
	if name, ok := schema.FindColumnName(id); ok {
		return name
	}
	return "field " + strconv.Itoa(id)
}

func formatPartition(spec iceberg.PartitionSpec, schema *iceberg.Schema) []string {
	var out []string
	for _, f := range spec.Fields() {
		if _, void := f.Transform.(iceberg.VoidTransform); !void {
			out = append(out, formatTerm(f.Transform, columnName(schema, f.SourceID())))
		}
	}
	return out
}

func formatSort(order table.SortOrder, schema *iceberg.Schema) []string {
	var out []string
	for i := range order.Len() {
		f := order.Field(i)
		text := formatTerm(f.Transform, columnName(schema, f.SourceID()))
		if f.Direction == table.SortDESC {
			text += " desc"
		}
		if (f.Direction == table.SortDESC) != (f.NullOrder == table.NullsLast) {
			text += strings.ReplaceAll(" "+string(f.NullOrder), "-", " ")
		}
		out = append(out, text)
	}
	return out
}

// samePartition compares without regard to order, which means nothing to a partition spec but the order of its names.
func samePartition(spec iceberg.PartitionSpec, schema *iceberg.Schema, terms []term) bool {
	want := make([]string, len(terms))
	for i, t := range terms {
		want[i] = formatTerm(t.transform, t.column)
	}
	have := formatPartition(spec, schema)
	slices.Sort(want)
	slices.Sort(have)
	return slices.Equal(have, want)
}
