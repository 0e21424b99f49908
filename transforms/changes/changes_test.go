package changes_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/changes"
	"github.com/varve-lake/varve/transforms/expression"
	"github.com/varve-lake/varve/transforms/internal/rowtest"
	"github.com/varve-lake/varve/transforms/sql"
)

// memory is rows that any thread may read.
type memory []arrow.RecordBatch

func (m memory) Schema() *arrow.Schema { return m[0].Schema() }

func (m memory) Open(_ context.Context, columns []string) (array.RecordReader, error) {
	if columns == nil {
		return array.NewRecordReader(m.Schema(), m)
	}
	var fields []arrow.Field
	for _, c := range columns {
		fields = append(fields, m.Schema().Field(m.Schema().FieldIndices(c)[0]))
	}
	schema := arrow.NewSchema(fields, nil)
	var out []arrow.RecordBatch
	for _, b := range m {
		var columns []arrow.Array
		for _, f := range fields {
			columns = append(columns, b.Column(b.Schema().FieldIndices(f.Name)[0]))
		}
		out = append(out, array.NewRecordBatch(schema, columns, b.NumRows()))
	}
	return array.NewRecordReader(schema, out)
}

func engine(t *testing.T, limit int64) *sql.Engine {
	e, err := sql.Open(sql.Options{MemoryLimit: limit, TempDir: t.TempDir(), Threads: 2})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

const header = "id decimal(12,2); day date; mark binary; s string; x double; op string; v list<int>"

// happening is an event of the random test.
type happening struct {
	ID   string  `json:"id"`
	Day  string  `json:"day"`
	Mark []byte  `json:"mark"`
	S    string  `json:"s"`
	X    float64 `json:"x"`
	Op   string  `json:"op"`
	V    []int   `json:"v"`
}

func (h happening) key() string { return fmt.Sprintf("%s %s %x", h.ID, h.Day, h.Mark) }

func before(a, b happening) int {
	return cmp.Or(bytes.Compare([]byte(a.S), []byte(b.S)), cmp.Compare(a.X, b.X))
}

// Keys and sequences of many types, texts with zeros and long common beginnings among them, are ordered as they are
// everywhere in Varve, and more of them than fit in the engine's memory.
func TestKeysAndSequencesOfEveryKind(t *testing.T) {
	texts := []string{"", "\x00", "a", "a\x00", "a\x00b", "a\x01", "ab", "ÿ", strings.Repeat("long", 9), strings.Repeat("long", 9) + "\x00", strings.Repeat("long", 9) + "er"}
	r := rand.New(rand.NewPCG(1, 2))
	last := map[string]happening{}
	var batches memory
	for range 6 {
		var rows []string
		for range 4000 {
			h := happening{
				ID: fmt.Sprintf("%d.%02d", r.IntN(40), r.IntN(2)), Day: fmt.Sprintf("2024-01-0%d", 1+r.IntN(5)), Mark: []byte{byte(r.IntN(3)), 0},
				S: texts[r.IntN(len(texts))], X: r.Float64()*100 - 50, Op: []string{"u", "u", "d"}[r.IntN(3)], V: []int{r.IntN(3)},
			}
			if old, found := last[h.key()]; !found || before(old, h) < 0 {
				last[h.key()] = h
			}
			text, err := json.Marshal(h)
			require.NoError(t, err)
			rows = append(rows, string(text))
		}
		batches = append(batches, rowtest.Batch(t, header, rows...))
	}
	deleted, err := expression.Compile(`op == "d"`, expression.Scope{"": batches.Schema()})
	require.NoError(t, err)
	def := changes.Definition{
		Keys: []string{"id", "day", "mark"}, Sequence: []string{"s", "x"}, Kept: []string{"s", "_sequence_x"}, Content: []string{"v"},
		Delete: deleted, Ties: changes.Fail, Deleted: "_deleted",
	}
	in := changes.Input{Events: batches}
	decisions, err := changes.Decide(t.Context(), engine(t, 64<<20), def, in)
	require.NoError(t, err)
	rows, err := rowtest.Drain(changes.Rows(t.Context(), def, in, decisions,
		rowtest.Schema(t, "id decimal(12,2); day date; mark binary; s string; _sequence_x double; v list<int>; _deleted boolean")))
	require.NoError(t, err)
	require.Len(t, rows, len(last))
	var want, have []string
	for _, h := range last {
		want = append(want, fmt.Sprint(h.key(), " ", h.S, " ", h.X, " ", h.Op == "d"))
	}
	for _, row := range rows {
		var h happening
		var more struct {
			Sequence float64 `json:"_sequence_x"`
			Deleted  bool    `json:"_deleted"`
			ID       json.Number
		}
		require.NoError(t, json.Unmarshal([]byte(row), &more), row)
		_ = json.Unmarshal([]byte(row), &h)
		h.ID = more.ID.String()
		have = append(have, fmt.Sprint(h.key(), " ", h.S, " ", more.Sequence, " ", more.Deleted))
	}
	slices.Sort(want)
	slices.Sort(have)
	require.Equal(t, want[:5], have[:5])
	require.Equal(t, want, have)
}

func TestMistakenEvents(t *testing.T) {
	def := changes.Definition{Keys: []string{"id"}, Sequence: []string{"n"}, Kept: []string{"n"}, Content: []string{"v"}, Ties: changes.Fail}
	run := func(rows ...string) error {
		in := changes.Input{Events: memory{rowtest.Batch(t, "id int; n long; v string", rows...)}}
		decisions, err := changes.Decide(t.Context(), engine(t, 64<<20), def, in)
		require.NoError(t, err)
		_, err = rowtest.Drain(changes.Rows(t.Context(), def, in, decisions, in.Events.Schema()))
		return err
	}
	require.NoError(t, run(`{"id": 1, "n": 1, "v": "a"}`, `{"id": 1, "n": 1, "v": "a"}`, `{"id": 2, "n": 1, "v": "b"}`))
	var null *changes.NullError
	require.ErrorAs(t, run(`{"id": null, "n": 1}`), &null)
	require.ErrorContains(t, run(`{"id": 7, "n": null}`), "an event has no n (id = 7, n = null)")
	var tie *changes.TieError
	err := run(`{"id": 1, "n": 1, "v": "a"}`, `{"id": 1, "n": 1, "v": null}`, `{"id": 1, "n": 2, "v": "b"}`)
	require.ErrorAs(t, err, &tie)
	require.ErrorContains(t, err, "different events of id = 1 have equal sequences, n = 1")
}

func TestDefinitionsThatCannotBe(t *testing.T) {
	in := changes.Input{Events: memory{rowtest.Batch(t, "id int; n long")}}
	for _, c := range []struct {
		def  changes.Definition
		want string
	}{
		{changes.Definition{Keys: []string{"id"}, Ties: changes.Fail}, "there must be keys and a sequence"},
		{changes.Definition{Keys: []string{"id"}, Sequence: []string{"n"}, Kept: []string{"n"}, Ties: "none"}, `ties "none"`},
		{changes.Definition{Keys: []string{"idd"}, Sequence: []string{"n"}, Kept: []string{"n"}, Ties: changes.Last}, `no column "idd"`},
	} {
		_, err := changes.Decide(t.Context(), nil, c.def, in)
		require.ErrorContains(t, err, c.want)
	}
}
