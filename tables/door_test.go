package tables_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/script"
	"github.com/varve-lake/varve/tables/merge"
)

func newLake(t *testing.T) *tables.Lake {
	t.Helper()
	return lakeIn(t, t.TempDir())
}

func lakeIn(t *testing.T, dir string) *tables.Lake {
	t.Helper()
	lake, err := tables.OpenLake(context.Background(), tables.Local(dir))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lake.Close()) })
	return lake
}

// schemaOf reads lines of "name type [required] [doc …]".
func schemaOf(t *testing.T, lines []string) *arrow.Schema {
	t.Helper()
	var fields []arrow.Field
	for _, line := range lines {
		m := regexp.MustCompile(`^(\S+) ((?:[a-z_]+)(?:[<(].*[>)])?)( required)?(?: doc (.*))?$`).FindStringSubmatch(line)
		require.NotNil(t, m, "column %q", line)
		typ, err := columntype.Parse(m[2])
		require.NoError(t, err, line)
		f := arrow.Field{Name: m[1], Type: typ, Nullable: m[3] == ""}
		if m[4] != "" {
			f.Metadata = arrow.MetadataFrom(map[string]string{tables.DocKey: m[4]})
		}
		fields = append(fields, f)
	}
	return arrow.NewSchema(fields, nil)
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	var out []string
	for _, part := range strings.Split(s, ";") {
		out = append(out, strings.TrimSpace(part))
	}
	return out
}

func definition(t *testing.T, c *script.Command) tables.Definition {
	def := tables.Definition{
		Name: c.Words[0], Schema: schemaOf(t, c.Lines()), Identifier: list(c.Args["identifier"]),
		PartitionBy: list(c.Args["partition"]), SortBy: list(c.Args["sort"]), Doc: c.Args["doc"], Owner: c.Args["owner"],
		Evolve: !slices.Contains(c.Words, "fixed"), Properties: map[string]string{},
	}
	fmt.Sscan(c.Args["format"], &def.FormatVersion)
	for _, p := range list(c.Args["properties"]) {
		k, v, _ := strings.Cut(p, ":")
		def.Properties[k] = v
	}
	return def
}

// TestEnsure is what a table becomes by definitions that follow each other.
func TestEnsure(t *testing.T) {
	var lake *tables.Lake
	script.Run(t, "testdata/ensure.txt", func(t *testing.T, c *script.Command) string {
		ctx := context.Background()
		switch c.Name {
		case "lake":
			lake = newLake(t)
			return ""
		case "ensure":
			tbl, changes, err := lake.Ensure(ctx, definition(t, c))
			if err != nil {
				return errorText(err)
			}
			text, err := json.Marshal(changes)
			require.NoError(t, err)
			return string(text) + "\n" + shape(t, tbl)
		case "insert":
			tbl, err := lake.Table(ctx, c.Words[0])
			require.NoError(t, err)
			return appendRows(t, tbl, c)
		}
		t.Fatalf("%s: unknown command", c.Pos)
		return ""
	})
}

func errorText(err error) string {
	kind := ""
	switch {
	case errors.Is(err, tables.ErrIncompatible):
		kind = "incompatible: "
	case errors.Is(err, tables.ErrDefinition):
		kind = "definition: "
	case errors.Is(err, tables.ErrNoSuchTable):
		kind = "no such table: "
	}
	return "error: " + kind + err.Error()
}

// shape shows a table's columns and layout.
func shape(t *testing.T, tbl *tables.Table) string {
	info, err := tbl.Info(context.Background())
	require.NoError(t, err)
	var b strings.Builder
	for _, c := range info.Columns {
		fmt.Fprintf(&b, "%d %s %s", c.ID, c.Name, c.Type)
		if c.Required {
			b.WriteString(" required")
		}
		if c.Doc != "" {
			b.WriteString(" doc " + c.Doc)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "v%d", info.FormatVersion)
	for name, values := range map[string][]string{"identifier": info.Identifier} {
		if len(values) > 0 {
			fmt.Fprintf(&b, ", %s %s", name, strings.Join(values, "; "))
		}
	}
	if len(info.PartitionBy) > 0 {
		fmt.Fprintf(&b, ", partition %s", strings.Join(info.PartitionBy, "; "))
	}
	if len(info.SortBy) > 0 {
		fmt.Fprintf(&b, ", sort %s", strings.Join(info.SortBy, "; "))
	}
	if info.Doc != "" || info.Owner != "" {
		fmt.Fprintf(&b, ", doc %q, owner %q", info.Doc, info.Owner)
	}
	var props []string
	for k, v := range info.Properties {
		props = append(props, k+"="+v)
	}
	sort.Strings(props)
	return b.String() + "\n" + strings.Join(props, "\n")
}

// rowsOf makes a batch from lines of values, in the schema's order.
func rowsOf(t *testing.T, schema *arrow.Schema, lines []string) array.RecordReader {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, line := range lines {
		values := strings.Fields(line)
		require.Len(t, values, schema.NumFields(), line)
		for i, v := range values {
			if v == "null" {
				b.Field(i).AppendNull()
				continue
			}
			require.NoError(t, b.Field(i).AppendValueFromString(v), line)
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	r, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch})
	require.NoError(t, err)
	return r
}

func stage(t *testing.T, tbl *tables.Table, lines []string) (*tables.Staged, error) {
	schema, err := tbl.Schema()
	require.NoError(t, err)
	if len(lines) > 0 && strings.HasPrefix(lines[0], "columns ") { // a subset, or another order
		var fields []arrow.Field
		for _, name := range strings.Fields(lines[0])[1:] {
			at := schema.FieldIndices(name)
			if len(at) == 0 {
				fields = append(fields, arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int64, Nullable: true})
				continue
			}
			f := schema.Field(at[0])
			f.Nullable = true
			fields = append(fields, f)
		}
		schema, lines = arrow.NewSchema(fields, nil), lines[1:]
	}
	return tbl.Stage(context.Background(), rowsOf(t, schema, lines), tables.StageOptions{})
}

func appendRows(t *testing.T, tbl *tables.Table, c *script.Command) string {
	staged, err := stage(t, tbl, c.Lines())
	if err != nil {
		return errorText(err)
	}
	result, err := tbl.Append(context.Background(), options(c), staged)
	return resultText(result, err)
}

func options(c *script.Command) tables.CommitOptions {
	opts := tables.CommitOptions{ID: commit.ID{Writer: "w", Token: c.Args["token"]}}
	if opts.ID.Token == "" {
		opts.ID.Token = c.Pos
	}
	if w := c.Args["writer"]; w != "" {
		opts.ID.Writer = w
	}
	if body := c.Args["checkpoint"]; body != "" {
		text, _ := json.Marshal(body)
		opts.Checkpoint = &tables.Checkpoint{Kind: "test", Body: text}
	}
	return opts
}

func resultText(r tables.Result, err error) string {
	if err != nil {
		return errorText(err)
	}
	var b strings.Builder
	switch {
	case r.AlreadyCommitted:
		b.WriteString("already committed")
	case r.Committed && r.SnapshotID != 0:
		b.WriteString("committed a snapshot")
	case r.Committed:
		b.WriteString("committed without a snapshot")
	default:
		b.WriteString("nothing to do")
	}
	fmt.Fprintf(&b, ": %d rows in, inserted %d, updated %d, deleted %d, files +%d -%d", r.RowsIn, r.Inserted, r.Updated, r.Deleted, r.FilesAdded, r.FilesRemoved)
	return b.String()
}

// contents reads all rows at a version, sorted: by Scan, and by iceberg-go's own reader, which agrees.
func contents(t *testing.T, tbl *tables.Table, v tables.Version) []string {
	t.Helper()
	var opts []table.ScanOption
	if !v.IsHead() {
		s, err := tbl.At(v)
		require.NoError(t, err)
		opts = append(opts, table.WithSnapshotID(s.ID))
	}
	_, theirs, err := tbl.Iceberg().Scan(opts...).ToArrowRecords(context.Background())
	require.NoError(t, err)
	rdr, err := tbl.Scan(context.Background(), tables.ScanOptions{Version: v})
	require.NoError(t, err)
	rows := rowTexts(t, batches(rdr))
	require.Equal(t, rowTexts(t, theirs), rows)
	return rows
}

func batches(rdr array.RecordReader) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		defer rdr.Release()
		for rdr.Next() {
			b := rdr.RecordBatch()
			b.Retain()
			if !yield(b, nil) {
				return
			}
		}
		if rdr.Err() != nil {
			yield(nil, rdr.Err())
		}
	}
}

func rowTexts(t *testing.T, rows iter.Seq2[arrow.RecordBatch, error]) []string {
	t.Helper()
	var out []string
	for batch, err := range rows {
		require.NoError(t, err)
		for i := range int(batch.NumRows()) {
			var values []string
			for _, c := range batch.Columns() {
				if c.IsNull(i) {
					values = append(values, "null")
				} else {
					values = append(values, c.ValueStr(i))
				}
			}
			out = append(out, strings.Join(values, " "))
		}
		batch.Release()
	}
	sort.Strings(out)
	return out
}

// TestWrites goes through appends, replaces and rollbacks, with their checkpoints.
func TestWrites(t *testing.T) {
	files, err := filepath.Glob("testdata/writes/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			w := &writes{lake: newLake(t), staged: map[string]*tables.Staged{}}
			script.Run(t, path, w.do)
		})
	}
}

type writes struct {
	lake   *tables.Lake
	name   string
	staged map[string]*tables.Staged
}

func (w *writes) table(t *testing.T) *tables.Table {
	tbl, err := w.lake.Table(context.Background(), w.name)
	require.NoError(t, err)
	return tbl
}

func (w *writes) do(t *testing.T, c *script.Command) string {
	ctx := context.Background()
	switch c.Name {
	case "table":
		w.name = c.Words[0]
		_, _, err := w.lake.Ensure(ctx, definition(t, c))
		if err != nil {
			return errorText(err)
		}
		return ""
	case "append":
		return appendRows(t, w.table(t), c)
	case "stage": // stage now, commit later by name
		s, err := stage(t, w.table(t), c.Lines())
		if err != nil {
			return errorText(err)
		}
		w.staged[c.Words[0]] = roundTrip(t, w.table(t), s)
		return ""
	case "commit":
		result, err := w.table(t).Append(ctx, options(c), w.staged[c.Words[0]])
		return resultText(result, err)
	case "replace":
		return w.replace(t, c)
	case "replace-partitions":
		tbl := w.table(t)
		s, err := stage(t, tbl, c.Lines())
		if err != nil {
			return errorText(err)
		}
		result, err := tbl.ReplacePartitions(ctx, options(c), list(c.Args["columns"]), s)
		return hidden(resultText(result, err))
	case "merge":
		return w.merge(t, c)
	case "delete":
		return w.delete(t, c)
	case "checkpoint":
		result, err := w.table(t).SetCheckpoint(ctx, options(c))
		return resultText(result, err)
	case "rollback":
		return w.rollback(t, c)
	case "rows":
		return w.rows(t, c)
	case "added":
		return w.added(t, c)
	case "show":
		return w.show(t)
	}
	t.Fatalf("%s: unknown command", c.Pos)
	return ""
}

// roundTrip sends staged files the way that they travel between activities.
func roundTrip(t *testing.T, tbl *tables.Table, s *tables.Staged) *tables.Staged {
	data, err := s.Encode()
	require.NoError(t, err)
	out, err := tbl.DecodeStaged(data)
	require.NoError(t, err)
	return out
}

// merge updates what matches and inserts what does not.
func (w *writes) merge(t *testing.T, c *script.Command) string {
	tbl := w.table(t)
	schema, err := tbl.Schema()
	require.NoError(t, err)
	result, err := tbl.Merge(context.Background(), options(c), merge.Options{
		On: list(c.Args["on"]), Strategy: merge.Strategy(c.Args["strategy"]),
		Matched:    []merge.Clause{{Action: merge.Update, All: true}},
		NotMatched: []merge.Clause{{Action: merge.Insert, All: true}},
	}, &rowSource{t: t, schema: schema, lines: c.Lines()})
	return resultText(result, err)
}

type rowSource struct {
	t      *testing.T
	schema *arrow.Schema
	lines  []string
}

func (s *rowSource) Schema() *arrow.Schema { return s.schema }

func (s *rowSource) Open(_ context.Context, columns []string) (array.RecordReader, error) {
	rdr := rowsOf(s.t, s.schema, s.lines)
	if columns == nil {
		return rdr, nil
	}
	defer rdr.Release()
	require.True(s.t, rdr.Next())
	batch := rdr.RecordBatch()
	var fields []arrow.Field
	var data []arrow.Array
	for _, name := range columns {
		i := s.schema.FieldIndices(name)[0]
		fields, data = append(fields, s.schema.Field(i)), append(data, batch.Column(i))
	}
	schema := arrow.NewSchema(fields, nil)
	part := array.NewRecordBatch(schema, data, batch.NumRows())
	defer part.Release()
	return array.NewRecordReader(schema, []arrow.RecordBatch{part})
}

func (w *writes) replace(t *testing.T, c *script.Command) string {
	tbl := w.table(t)
	s, err := stage(t, tbl, c.Lines())
	if err != nil {
		return errorText(err)
	}
	result, err := tbl.Replace(context.Background(), options(c), s)
	return resultText(result, err)
}

// version reads at=N, the nth snapshot, oldest first.
func (w *writes) version(t *testing.T, c *script.Command) tables.Version {
	at, ok := c.Args["at"]
	if !ok {
		return tables.Version{Ref: c.Args["ref"]}
	}
	n, err := strconv.Atoi(at)
	require.NoError(t, err)
	id := int64(12345)
	if all := w.table(t).Snapshots(); n > 0 && n <= len(all) {
		id = all[n-1].ID
	}
	return tables.Version{SnapshotID: &id}
}

func (w *writes) rollback(t *testing.T, c *script.Command) string {
	result, err := w.table(t).Rollback(context.Background(), options(c), w.version(t, c))
	if err != nil {
		return errorText(err)
	}
	return fmt.Sprintf("committed %v, already %v\n%s", result.Committed, result.AlreadyCommitted, w.checkpoints(t))
}

func (w *writes) checkpoints(t *testing.T) string {
	tbl := w.table(t)
	info, err := tbl.Info(context.Background())
	require.NoError(t, err)
	var out []string
	for _, writer := range info.Writers {
		c, err := tbl.Checkpoint(context.Background(), writer)
		require.NoError(t, err)
		out = append(out, writer+" "+string(c.Body))
	}
	return "checkpoints: " + strings.Join(out, ", ")
}

func (w *writes) rows(t *testing.T, c *script.Command) string {
	v := w.version(t, c)
	tbl := w.table(t)
	if _, err := tbl.At(v); err != nil && !v.IsHead() {
		return hidden(errorText(err))
	}
	return strings.Join(contents(t, tbl, v), "\n")
}

func (w *writes) added(t *testing.T, c *script.Command) string {
	tbl := w.table(t)
	since := int64(0)
	if v := w.version(t, c); v.SnapshotID != nil {
		since = *v.SnapshotID
	}
	added, err := tbl.AddedSince(context.Background(), since)
	if err != nil {
		return hidden(errorText(err))
	}
	if len(added.Files) == 0 {
		return "nothing"
	}
	rdr, err := tbl.Scan(context.Background(), tables.ScanOptions{Files: added.Files})
	require.NoError(t, err)
	return strings.Join(rowTexts(t, batches(rdr)), "\n")
}

func (w *writes) show(t *testing.T) string {
	info, err := w.table(t).Info(context.Background())
	require.NoError(t, err)
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows, %d data files, %d delete files, %d snapshots", info.Rows, info.DataFiles, info.DeleteFiles, info.Snapshots)
	for _, p := range info.Partitions {
		fmt.Fprintf(&b, "\n%s: %d rows, %d files", p.Path, p.Rows, p.Files)
	}
	fmt.Fprintf(&b, "\n%s", w.checkpoints(t))
	return b.String()
}

var volatile = regexp.MustCompile(`file://\S+|\b\d{12,}\b`)

func hidden(s string) string { return volatile.ReplaceAllString(s, "…") }
