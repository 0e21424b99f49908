package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/reference"
	"github.com/varve-lake/varve/workflows"
)

// hostile is a folder with a file that is broken, between a good one with the row (1, a) and another with (3, c).
type hostile struct {
	name    string // of the table, in layer bronze, and of its folder
	source  string // options of the source, and more keys of the table
	file    string // the broken one; its name says how all three are written
	content string // as text, before it is compressed
	damage  func([]byte) []byte
	class   string // of the error; empty if a policy deals with the file
	message []string
	mended  string // the file as it is delivered again
	rows    string // of the table in the end
}

const columns = "\n    columns: {n: int, k: string}"

// hostiles are the cases. The tables are built by one run: a file that stops one must not stop another.
var hostiles = []hostile{
	{name: "truncated_gzip", source: "{format: csv}" + columns, file: "b.csv.gz", content: "n,k\n" + strings.Repeat("2,b\n", 5000),
		damage: func(b []byte) []byte { return b[:len(b)/2] }, class: wire.ErrData,
		message: []string{"/in/truncated_gzip/b.csv.gz: ", "gzip: unexpected EOF"}, mended: "n,k\n2,b\n", rows: "1a 2b 3c"},
	{name: "corrupt_footer", source: "{format: parquet}", file: "b.parquet", content: "2,b",
		damage: func(b []byte) []byte { copy(b[len(b)-20:], "deadbeefdead"); return b }, class: wire.ErrData,
		message: []string{"/in/corrupt_footer/b.parquet", "is not a sound Parquet file"}, mended: "2,b", rows: "1a 2b 3c"},
	{name: "truncated_parquet", source: "{format: parquet, malformed: drop}", file: "b.parquet", content: "2,b",
		damage: func(b []byte) []byte { return b[:len(b)-9] }, class: wire.ErrData, // a policy is about rows
		message: []string{"/in/truncated_parquet/b.parquet", "is not a sound Parquet file"}, mended: "2,b", rows: "1a 2b 3c"},
	{name: "quote_fail", source: "{format: csv}" + columns, file: "b.csv", content: "n,k\n2,\"b\n4,d\n", class: wire.ErrData,
		message: []string{`/in/quote_fail/b.csv:2: row 1: column "k": the quote is not closed before the end of the file`},
		mended:  "n,k\n2,b\n4,d\n", rows: "1a 2b 3c 4d"},
	{name: "quote_drop", source: "{format: csv, malformed: drop}" + columns, file: "b.csv", content: "n,k\n2,\"b\n4,d\n", rows: "1a 3c 4d"},
	{name: "quote_quarantine", source: "{format: csv, malformed: quarantine}" + columns, file: "b.csv", content: "n,k\n2,\"b\n4,d\n", rows: "1a 3c 4d"},
	{name: "utf8_fail", source: "{format: csv}" + columns, file: "b.csv", content: "n,k\n2,b\n4,\xff\xfe\n", class: wire.ErrData,
		message: []string{`/in/utf8_fail/b.csv:3: row 2: column "k"`, "UTF-8"}, mended: "n,k\n2,b\n", rows: "1a 2b 3c"},
	{name: "utf8_drop", source: "{format: csv, malformed: drop}" + columns, file: "b.csv", content: "n,k\n2,b\n4,\xff\xfe\n", rows: "1a 2b 3c"},
	{name: "utf8_quarantine", source: "{format: csv, malformed: quarantine}" + columns, file: "b.csv", content: "n,k\n2,b\n4,\xff\xfe\n", rows: "1a 2b 3c"},
	{name: "number", source: "{format: csv}" + columns, file: "b.csv", content: "n,k\n2,b\n4x,d\n", class: wire.ErrData,
		message: []string{`/in/number/b.csv:3: row 2: column "n": `, "4x"}, mended: "n,k\n2,b\n4,d\n", rows: "1a 2b 3c 4d"},
	{name: "json", source: "{format: ndjson}" + columns, file: "b.ndjson", content: "{\"n\":2,\"k\":\"b\"}\n{\"n\":4,\n", class: wire.ErrData,
		message: []string{"/in/json/b.ndjson:2: row 2: "}, mended: "{\"n\":2,\"k\":\"b\"}\n", rows: "1a 2b 3c"},
	{name: "cast", source: "{format: csv}\n    columns: {n: string, k: string}\n    steps: [{cast: {n: int}}]", file: "b.csv",
		content: "n,k\n2,b\nfour,d\n", class: wire.ErrData,
		message: []string{`/in/cast/b.csv: row 2: column "n": `, "four"}, mended: "n,k\n2,b\n4,d\n", rows: "1a 2b 3c 4d"},
	{name: "required", source: "{format: csv}\n    columns: {n: int, k: {type: string, required: true}}", file: "b.csv",
		content: "n,k\n2,b\n4,\n", class: wire.ErrData,
		message: []string{`/in/required/b.csv: row 2: column "k": `, "null"}, mended: "n,k\n2,b\n4,d\n", rows: "1a 2b 3c 4d"},
	{name: "reserved_name", source: "{format: csv}" + columns, file: "b.csv", content: "n,k,_source_row\n2,b,7\n", class: wire.ErrData,
		message: []string{"/in/reserved_name/b.csv", `"_source_row"`}, mended: "n,k\n2,b\n", rows: "1a 2b 3c"},
	{name: "too_many_columns", source: "{format: csv}" + columns, file: "b.csv", content: wide(60_000), class: wire.ErrData,
		message: []string{"/in/too_many_columns/b.csv", "60002 columns"}, mended: "n,k\n2,b\n", rows: "1a 2b 3c"},
	{name: "wide", source: "{format: csv, schema_mode: evolve}" + columns, file: "b.csv", content: wide(9_998), rows: "1a 2b 3c"},
	{name: "empty", source: "{format: csv}" + columns, file: "b.csv", content: "", rows: "1a 3c"},
}

// wide is a CSV file with the row (2, b) and so many more columns.
func wide(more int) string {
	var header, row strings.Builder
	header.WriteString("n,k")
	row.WriteString("2,b")
	for i := range more {
		fmt.Fprintf(&header, ",c%d", i)
		row.WriteString(",")
	}
	return header.String() + "\n" + row.String() + "\n"
}

// pipeline declares the tables, one that reads the first and so must wait for it, and one that reads the last.
func pipeline() []byte {
	var b strings.Builder
	b.WriteString("pipeline: hostile\ntables:\n")
	for _, h := range hostiles {
		source := strings.Replace(h.source, "{", fmt.Sprintf("{files: \"in/%s/*\", ", h.name), 1)
		fmt.Fprintf(&b, "  bronze.%s:\n    source: %s\n", h.name, source)
	}
	b.WriteString("  silver.stopped: {from: bronze.truncated_gzip}\n")
	b.WriteString("  gold.stopped: {sql: \"SELECT count(*) AS n FROM silver.stopped\", write: replace}\n")
	b.WriteString("  silver.built: {from: bronze.empty}\n")
	return []byte(b.String())
}

func (h hostile) deliver(t *testing.T, l *lab.Lab, letter, content string, damage func([]byte) []byte) {
	t.Helper()
	data := []byte(content)
	switch {
	case strings.HasSuffix(h.file, ".gz"):
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(data) // a buffer takes all
		_ = w.Close()
		data = b.Bytes()
	case strings.HasSuffix(h.file, ".parquet"):
		data = parquetOf(t, content)
	}
	if damage != nil {
		data = damage(data)
	}
	l.Write(filepath.Join("in", h.name, letter+h.file[1:]), data)
}

// good is a row as the case's files have it.
func (h hostile) good(n int, k string) string {
	switch {
	case strings.HasSuffix(h.file, ".ndjson"):
		return fmt.Sprintf("{\"n\":%d,\"k\":%q}\n", n, k)
	case strings.HasSuffix(h.file, ".parquet"):
		return fmt.Sprintf("%d,%s", n, k)
	}
	return fmt.Sprintf("n,k\n%d,%s\n", n, k)
}

func parquetOf(t *testing.T, row string) []byte {
	t.Helper()
	var n int32
	var k string
	if _, err := fmt.Sscanf(strings.Replace(row, ",", " ", 1), "%d %s", &n, &k); err != nil {
		t.Fatal(err)
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int32}, {Name: "k", Type: arrow.BinaryTypes.String}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int32Builder).Append(n)
	b.Field(1).(*array.StringBuilder).Append(k)
	batch := b.NewRecordBatch()
	defer batch.Release()
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &out, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err == nil {
		err = w.Write(batch)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestHostileInput gives one run all the broken files at once, looks at what it says and leaves, mends the files, and goes
// on with the run.
func TestHostileInput(t *testing.T) {
	l := lab.Empty(t, lab.Build(t))
	l.Write("pipelines/hostile.yaml", pipeline())
	for _, h := range hostiles {
		h.deliver(t, l, "a", h.good(1, "a"), nil)
		h.deliver(t, l, "b", h.content, h.damage)
		h.deliver(t, l, "c", h.good(3, "c"), nil)
	}
	out := l.Trigger("run", "hostile", "--json", "--id", "first")
	first := decodeRun(t, out, 1)
	for _, path := range reference.Staged(t, l) {
		if !strings.HasPrefix(filepath.Base(path), "plan-") { // 10,000 columns do not travel; to go on, the plan is needed
			t.Errorf("left behind: %s", path)
		}
	}
	snapshots := snapshotCounts(t, l)
	for _, h := range hostiles {
		h.checkFirst(t, l, first["bronze."+h.name], snapshots)
	}
	checkStates(t, first, map[string]string{
		"silver.stopped": wire.StateSkipped, "gold.stopped": wire.StateSkipped, "silver.built": wire.StateBuilt,
	})
	checkRows(t, l, func(h hostile) bool { return h.class == "" })
	checkQuarantine(t, l)

	for _, h := range hostiles {
		if h.class != "" {
			h.deliver(t, l, "b", h.mended, nil)
		}
	}
	second := decodeRun(t, l.Trigger("resume", "first", "--json"), 0)
	reference.CheckNothingStaged(t, l)
	for _, h := range hostiles {
		state := wire.StateDone
		if h.class != "" {
			state = wire.StateBuilt
		}
		checkStates(t, second, map[string]string{"bronze." + h.name: state})
	}
	checkStates(t, second, map[string]string{
		"silver.stopped": wire.StateBuilt, "gold.stopped": wire.StateBuilt, "silver.built": wire.StateDone,
	})
	checkRows(t, l, func(hostile) bool { return true })
	if n := l.Query("SELECT n FROM gold.stopped")[0]["n"]; fmt.Sprint(n) != "3" {
		t.Errorf("gold.stopped counts %v rows, not 3", n)
	}
	for table, n := range snapshotCounts(t, l) {
		if n > 1 {
			t.Errorf("%s has %d snapshots: a run that went on made one more", table, n)
		}
	}
}

func decodeRun(t *testing.T, out lab.Output, code int) map[string]wire.TableResult {
	t.Helper()
	var r workflows.RunResult
	if err := json.Unmarshal([]byte(out.Stdout), &r); err != nil || out.Code != code {
		t.Fatalf("exit code %d, expected %d; %v in %s%s", out.Code, code, err, out.Stdout, out.Stderr)
	}
	for _, table := range r.Tables {
		t.Logf("%-28s %-11s %.1fs", table.Table, table.State, table.Seconds)
	}
	return states(r)
}

// checkFirst holds the result of the first run against the case.
func (h hostile) checkFirst(t *testing.T, l *lab.Lab, got wire.TableResult, snapshots map[string]int) {
	t.Helper()
	files := parquetFiles(t, l.Path(".varve", "warehouse", "bronze.db", h.name))
	if h.class == "" {
		if got.State != wire.StateBuilt || len(files) == 0 {
			t.Errorf("%s: %s, %d data files: %s %s", h.name, got.State, len(files), got.ErrorType, got.Reason)
		}
		return
	}
	if got.State != wire.StateFailed || got.ErrorType != h.class {
		t.Errorf("%s: %s, error class %q, expected %q: %s", h.name, got.State, got.ErrorType, h.class, got.Reason)
	}
	for _, part := range h.message {
		if !strings.Contains(got.Reason, part) {
			t.Errorf("%s: %q does not say %q", h.name, got.Reason, part)
		}
	}
	if n := snapshots["bronze."+h.name]; n != 0 {
		t.Errorf("%s: a failed build made %d snapshots", h.name, n)
	}
	if len(files) > 0 {
		t.Errorf("%s: data files are left behind: %v", h.name, files)
	}
}

func checkStates(t *testing.T, got map[string]wire.TableResult, want map[string]string) {
	t.Helper()
	for table, state := range want {
		if got[table].State != state {
			t.Errorf("%s: %q, expected %q: %s", table, got[table].State, state, got[table].Reason)
		}
	}
}

// checkRows compares the rows of tables with those expected, by one query for all.
func checkRows(t *testing.T, l *lab.Lab, which func(hostile) bool) {
	t.Helper()
	var parts []string
	want := map[string]string{}
	for _, h := range hostiles {
		if which(h) {
			parts = append(parts, fmt.Sprintf("SELECT '%[1]s' AS t, string_agg(n || k, ' ' ORDER BY n) AS r FROM bronze.%[1]s", h.name))
			want[h.name] = h.rows
		}
	}
	for _, row := range l.Query(strings.Join(parts, " UNION ALL ")) {
		name := fmt.Sprint(row["t"])
		if row["r"] != want[name] {
			t.Errorf("%s has the rows %v, expected %s", name, row["r"], want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("no rows of %v", want)
	}
}

func checkQuarantine(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, table := range []string{"quote", "utf8"} {
		rows := l.Query(fmt.Sprintf("SELECT _source_file AS f, _source_row AS r, _column AS c, _reason AS why FROM bronze.%s_quarantine__quarantine", table))
		if len(rows) != 1 || !strings.HasSuffix(fmt.Sprint(rows[0]["f"]), table+"_quarantine/b.csv") || rows[0]["c"] != "k" || rows[0]["why"] == "" {
			t.Errorf("%s_quarantine: %v", table, rows)
		}
	}
}

// snapshotCounts counts the snapshots of all tables.
func snapshotCounts(t *testing.T, l *lab.Lab) map[string]int {
	t.Helper()
	var infos []struct {
		Name      string
		Snapshots int
	}
	if err := json.Unmarshal([]byte(l.Must("table", "list", "--json")), &infos); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, info := range infos {
		out[info.Name] = info.Snapshots
	}
	return out
}

func parquetFiles(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".parquet") {
			out = append(out, path)
		}
		if os.IsNotExist(err) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}
