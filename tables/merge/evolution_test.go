package merge_test

import (
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/internal/random"
)

// evolve changes the schema: a column more, less, renamed or promoted; or the format version.
func (d *differ) evolve() {
	at := d.IntN(len(d.target.Columns))
	switch d.IntN(5) {
	case 0:
		d.addColumn()
	case 1:
		d.dropColumn(at)
	case 2:
		d.renameColumn(&d.target.Columns[at])
	case 3:
		d.promoteColumn(&d.target.Columns[at])
	default:
		if d.w.load().Metadata().Version() == 2 {
			d.Note("upgrade to format version 3")
			d.w.alter(func(tx *table.Transaction) error { return tx.UpgradeFormatVersion(3) })
		}
	}
}

func (d *differ) addColumn() {
	c := random.Column{Name: fmt.Sprint("c", d.created), Kind: d.Kind(false)}
	d.created++
	d.Note("add column %s %s", c.Name, c.Kind.Name)
	d.w.alter(func(tx *table.Transaction) error {
		return tx.UpdateSchema(true, false).AddColumn([]string{c.Name}, icebergType(c.Kind), "", false, nil).Commit()
	})
	require.NoError(d.t, d.target.Exec("ALTER TABLE t ADD COLUMN "+c.Name+" "+c.Kind.SQL))
	d.target.Columns = append(slices.Clone(d.target.Columns), c)
}

// icebergType is a kind's type; its fields get their ids when it is added.
func icebergType(k *random.Kind) iceberg.Type {
	switch k.Name {
	case "list<int>":
		return &iceberg.ListType{ElementID: 1001, Element: iceberg.PrimitiveTypes.Int32}
	case "struct":
		return &iceberg.StructType{FieldList: []iceberg.NestedField{
			{ID: 1001, Name: "a", Type: iceberg.PrimitiveTypes.Int32}, {ID: 1002, Name: "b", Type: iceberg.PrimitiveTypes.String}}}
	case "map<string, long>":
		return &iceberg.MapType{KeyID: 1001, KeyType: iceberg.PrimitiveTypes.String, ValueID: 1002, ValueType: iceberg.PrimitiveTypes.Int64}
	}
	t, err := table.ArrowTypeToIceberg(k.Type, false)
	if err != nil {
		panic(err)
	}
	return t
}

func (d *differ) dropColumn(at int) {
	name := d.target.Columns[at].Name
	if at < 2 || d.laidOutBy(name) {
		return
	}
	d.Note("drop column %s", name)
	d.w.alter(func(tx *table.Transaction) error {
		return tx.UpdateSchema(true, false).DeleteColumn([]string{name}).Commit()
	})
	require.NoError(d.t, d.target.Exec("ALTER TABLE t DROP COLUMN "+name))
	d.target.Columns = slices.Delete(slices.Clone(d.target.Columns), at, at+1)
}

func (d *differ) renameColumn(c *random.Column) {
	if c.Name == d.required {
		return
	}
	to := fmt.Sprint("c", d.created)
	d.created++
	d.Note("rename column %s to %s", c.Name, to)
	d.w.alter(func(tx *table.Transaction) error {
		return tx.UpdateSchema(true, false).RenameColumn([]string{c.Name}, to).Commit()
	})
	require.NoError(d.t, d.target.Exec("ALTER TABLE t RENAME COLUMN "+c.Name+" TO "+to))
	c.Name = to
}

func (d *differ) promoteColumn(c *random.Column) {
	if c.Kind.Promoted == "" || d.laidOutBy(c.Name) {
		return
	}
	k := random.KindNamed(c.Kind.Promoted)
	d.Note("promote column %s to %s", c.Name, k.Name)
	d.w.alter(func(tx *table.Transaction) error {
		wider := table.ColumnUpdate{FieldType: iceberg.Optional[iceberg.Type]{Val: icebergType(k), Valid: true}}
		return tx.UpdateSchema(true, false).UpdateColumn([]string{c.Name}, wider).Commit()
	})
	require.NoError(d.t, d.target.Exec("ALTER TABLE t ALTER COLUMN "+c.Name+" TYPE "+k.SQL))
	c.Kind = k
}

// laidOutBy tells whether some partition spec or sort order, old or new, uses a column.
func (d *differ) laidOutBy(name string) bool {
	tbl := d.w.load()
	f, _ := tbl.Schema().FindFieldByName(name)
	for _, order := range tbl.Metadata().SortOrders() {
		for i := range order.Len() {
			if slices.Contains(order.Field(i).SourceIDs, f.ID) {
				return true
			}
		}
	}
	for _, spec := range tbl.Metadata().PartitionSpecs() {
		if len(spec.FieldsBySourceID(f.ID)) > 0 {
			return true
		}
	}
	return false
}

// repartition changes the partition spec.
func (d *differ) repartition() {
	spec := d.w.load().Spec()
	if spec.NumFields() > 0 && d.IntN(2) == 0 {
		f := spec.Field(d.IntN(spec.NumFields()))
		d.Note("remove partition field %s", f.Name)
		d.w.alter(func(tx *table.Transaction) error { return tx.UpdateSpec(true).RemoveField(f.Name).Commit() })
		return
	}
	p, ok := d.partition(nil)
	if !ok || d.laidOutBy(p.column) || p.transform == "void" {
		return
	}
	d.Note("add partition field %v", p)
	transform, err := iceberg.ParseTransform(p.transform)
	require.NoError(d.t, err)
	d.created++
	d.w.alter(func(tx *table.Transaction) error {
		return tx.UpdateSpec(true).AddField(p.column, transform, fmt.Sprintf("q%d_%s", d.created, p.column)).Commit()
	})
}
