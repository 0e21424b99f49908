package commit_test

import (
	"context"
	"testing"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
)

// TestAPartitionWithoutTextIsFound: the manifest list bounds partition values that are "", so that a filtered scan, which
// goes by those bounds, finds the files and their deletes.
func TestAPartitionWithoutTextIsFound(t *testing.T) {
	for _, format := range []string{"2", "3"} {
		t.Run("format "+format, func(t *testing.T) {
			w := newWorld(t, format)
			ctx := context.Background()
			w.ident = table.Identifier{"ns", "texts"}
			schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "v", Type: iceberg.PrimitiveTypes.String})
			spec, err := iceberg.NewPartitionSpecOpts(iceberg.AddPartitionFieldByName("v", "v", iceberg.IdentityTransform{}, schema, nil))
			require.NoError(t, err)
			_, err = w.cat.CreateTable(ctx, w.ident, schema, icebergcatalog.WithPartitionSpec(&spec),
				icebergcatalog.WithProperties(iceberg.Properties{table.PropertyFormatVersion: format}))
			require.NoError(t, err)
			of := func(name string, value any) commit.Planner {
				return func(_ context.Context, head *table.Table, _ int) (*commit.Change, error) {
					b, err := iceberg.NewDataFileBuilder(head.Spec(), iceberg.EntryContentData, head.Location()+"/data/"+name,
						iceberg.ParquetFile, map[int]any{1000: value}, nil, nil, 10, 1000)
					if err != nil {
						return nil, err
					}
					return &commit.Change{Operation: commit.Append, AddData: []iceberg.DataFile{b.Build()}}, nil
				}
			}
			for i, value := range []any{"", "b", nil} {
				_, err := w.commit(commit.ID{Writer: "me", Token: string(rune('a' + i))}, of(string(rune('a'+i)), value), commit.Options{})
				require.NoError(t, err)
			}
			tasks, err := w.load().Scan(table.WithRowFilter(iceberg.EqualTo(iceberg.Reference("v"), ""))).PlanFiles(ctx)
			require.NoError(t, err)
			require.Len(t, tasks, 1)
			fs, err := w.load().FS(ctx)
			require.NoError(t, err)
			manifests, err := w.load().CurrentSnapshot().Manifests(fs)
			require.NoError(t, err)
			require.Len(t, manifests, 3)
			for _, m := range manifests {
				require.NotNil(t, m.Partitions()[0].LowerBound)
				require.Equal(t, format == "3", m.FirstRowID() != nil)
			}
		})
	}
}
