package sql

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"
)

// oneColumn is an Input in which every table has an empty column a.
type oneColumn struct{ rows int64 }

var columnA = arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)

func (oneColumn) Schema(context.Context, string) (*arrow.Schema, error) { return columnA, nil }

func (oneColumn) Scan(context.Context, string, Version, []string, []Filter, int64) (array.RecordReader, error) {
	return array.NewRecordReader(columnA, nil)
}

func (o oneColumn) Rows(context.Context, string, Version) (int64, bool) { return o.rows, true }

// TestNothingIsLeft: neither catalogs nor relations outlive their query, however it ended.
func TestNothingIsLeft(t *testing.T) {
	e, err := Open(Options{TempDir: t.TempDir()})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	for _, query := range []string{
		"SELECT a FROM s.t", "SELECT b FROM s.t", "SELEC", "SELECT a FROM s.t FOR VERSION AS OF 1 WHERE a = 1", "SELECT a, a FROM s.t",
		"SELECT a FROM temp.t", "SELECT memory.t.a FROM memory.t JOIN main.t ON true", "SELECT a FROM system.t", "SELECT a FROM memory.t", "SELECT a FROM main.t",
	} {
		_, _ = e.Analyze(t.Context(), query, oneColumn{})
		r, err := e.Run(t.Context(), query, oneColumn{})
		if err != nil {
			continue
		}
		for r.Next() {
		}
		require.NoError(t, r.Err(), query)
		r.Release()
	}
	conn, err := e.connect()
	require.NoError(t, err)
	defer conn.close()
	left, err := conn.queryText("SELECT string_agg(database_name, ' ' ORDER BY database_name) FROM duckdb_databases()", 0)
	require.NoError(t, err)
	require.Equal(t, "memory system temp", left)
	relations.Range(func(id, _ any) bool {
		t.Errorf("relation %v is left", id)
		return true
	})
}

// TestRowCountsOrderJoins: the larger table is streamed past the smaller one, whichever the query names first.
func TestRowCountsOrderJoins(t *testing.T) {
	e, err := Open(Options{TempDir: t.TempDir()})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	for _, rows := range []int64{1, 1_000_000} {
		s, err := e.newSession(t.Context(), "SELECT count(*) AS n FROM s.t", oneColumn{rows})
		require.NoError(t, err)
		plan, err := s.conn.queryText("EXPLAIN (FORMAT JSON) SELECT a FROM s.t", 1)
		require.NoError(t, err)
		require.Contains(t, plan, fmt.Sprintf(`"Estimated Cardinality": "%d"`, rows))
		s.close()
	}
}

func TestSettingsAreLocked(t *testing.T) {
	e, err := Open(Options{TempDir: t.TempDir(), Threads: 3, MemoryLimit: 100 << 20})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	conn, err := e.connect()
	require.NoError(t, err)
	defer conn.close()
	for setting, want := range map[string]string{
		"threads": "3", "memory_limit": "100.0 MiB", "enable_external_access": "false", "TimeZone": "UTC", "lock_configuration": "true",
	} {
		got, err := conn.queryText(fmt.Sprintf("SELECT current_setting('%s')::VARCHAR", setting), 0)
		require.NoError(t, err)
		require.Equal(t, want, got, setting)
	}
	for _, query := range []string{
		"SET threads = 1", "SET TimeZone = 'Asia/Tokyo'", "SET enable_external_access = true", "RESET memory_limit",
		"COPY (SELECT 1) TO '/tmp/varve-must-not-be.csv'", "ATTACH '/tmp/varve-must-not-be.db'", "INSTALL httpfs", "SELECT * FROM read_text('/etc/hostname')",
	} {
		require.Error(t, conn.exec(query), query)
	}
}

func TestReservedNamespaces(t *testing.T) {
	e, err := Open(Options{TempDir: t.TempDir()})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	for name := range reserved {
		_, err := e.Analyze(t.Context(), "SELECT a FROM "+name+".t", oneColumn{})
		var typed *Error
		require.ErrorAs(t, err, &typed)
		require.ErrorContains(t, err, "line 1, column 15: table "+name+".t: SQL cannot read a namespace of this name")
	}
	for _, name := range []string{"main", "public", "default", "select", "varve query 1", "é"} {
		_, err := e.Analyze(t.Context(), `SELECT t.a FROM "`+name+`".t WHERE "`+name+`".t.a = 1`, oneColumn{})
		require.NoError(t, err, name)
	}
}

func TestOptions(t *testing.T) {
	for _, opts := range []Options{{Threads: -1}, {MemoryLimit: -1}, {TempDir: "/dev/null/x"}} {
		_, err := Open(opts)
		require.ErrorContains(t, err, "sql engine: ")
	}
}

// FuzzRewrite: whatever the text, rewriting does not panic, keeps its length, and leaves alone what is no clause.
func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{
		"SELECT 1", "a.b FOR VERSION AS OF 1", "'a.b FOR VERSION AS OF 1'", "E'\\", "$$", "$a$ $b$ $a$", "/* /* */", `"x""`, "a.b FOR TIMESTAMP AS OF '2013-01-01' c",
		`""."" FOR VERSION AS OF 1`, "a.b FOR VERSION AS OF '\x00'", "é.é/**/FOR--\nVERSION\tAS\rOF 1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		text, travels, err := rewriteTravel(query)
		if err != nil {
			return
		}
		require.Len(t, text, len(query))
		if len(travels) == 0 {
			require.Equal(t, query, text)
		}
		for _, travel := range travels {
			require.Contains(t, strings.ToUpper(query[travel.start:travel.end]), "FOR")
			aliased := travel.bindAlias(text)
			require.Len(t, aliased, len(query))
			require.Contains(t, aliased[travel.start:travel.end], " AS "+quoteName(travel.table))
		}
	})
}
