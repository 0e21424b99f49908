package transforms_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/expression"
	"github.com/varve-lake/varve/transforms/internal/rowtest"
)

const flights = "carrier string; flight int; dist string; delay double; _source_file string; _source_row long"

func flightRows(t testing.TB) arrow.RecordBatch {
	return rowtest.Batch(t, flights,
		`{"carrier": "UA", "flight": 1, "dist": "100", "delay": 20, "_source_file": "a.csv", "_source_row": 1}`,
		`{"carrier": "AA", "flight": 2, "dist": "far", "delay": 1, "_source_file": "a.csv", "_source_row": 2}`,
		`{"carrier": null, "flight": 3, "dist": "300", "delay": null, "_source_file": "a.csv", "_source_row": 3}`,
		`{"carrier": "DL", "flight": 0, "dist": "-4", "delay": 5, "_source_file": "b.csv", "_source_row": 1}`,
	)
}

// recorder collects what a chain reports.
type recorder struct {
	rejected []transforms.Rejected
	warned   []string
}

func (r *recorder) observer() transforms.Observer {
	return transforms.Observer{
		Reject: func(x transforms.Rejected) error { r.rejected = append(r.rejected, x); return nil },
		Warn:   func(name string, rows int64) { r.warned = append(r.warned, fmt.Sprintf("%s %d", name, rows)) },
	}
}

func TestSteps(t *testing.T) {
	assign := func(pairs ...string) []transforms.Assign {
		var out []transforms.Assign
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, transforms.Assign{Name: pairs[i], Value: pairs[i+1]})
		}
		return out
	}
	cases := []struct {
		name     string
		steps    []transforms.Step
		rows     []string
		rejected []string
		counts   transforms.Counts
	}{
		{
			name: "filter drops false and unknown", steps: []transforms.Step{{Filter: "delay > 2"}, {Select: []string{"carrier"}}},
			rows:   []string{`{"carrier":"UA"}`, `{"carrier":"DL"}`},
			counts: transforms.Counts{In: 4, Out: 2, Filtered: 2},
		},
		{
			name: "an unknown constant drops all", steps: []transforms.Step{{Filter: "nil"}},
			counts: transforms.Counts{In: 4, Filtered: 4},
		},
		{
			name: "a derived column sees those before it, and one of the same name is replaced in place",
			steps: []transforms.Step{
				{Derive: assign("late", "(delay ?? 0) > 10 ? 1 : 0", "flight", "flight * 10 + late")},
				{Select: []string{"flight", "late"}},
			},
			rows:   []string{`{"flight":11,"late":1}`, `{"flight":20,"late":0}`, `{"flight":30,"late":0}`, `{"flight":0,"late":0}`},
			counts: transforms.Counts{In: 4, Out: 4},
		},
		{
			name: "names can be swapped",
			steps: []transforms.Step{
				{Rename: assign("carrier", "dist", "dist", "carrier")}, {Drop: []string{"flight", "delay", "_source_file", "_source_row"}},
				{Filter: `carrier == "100"`},
			},
			rows:   []string{`{"dist":"UA","carrier":"100"}`},
			counts: transforms.Counts{In: 4, Out: 1, Filtered: 3},
		},
		{
			name: "what cannot be cast is rejected, with its origin after a filter and a drop",
			steps: []transforms.Step{
				{Filter: "flight != 1"}, {Select: []string{"flight", "dist"}}, {Cast: assign("dist", "int")},
			},
			rows:     []string{`{"flight":3,"dist":300}`, `{"flight":0,"dist":-4}`},
			rejected: []string{`a.csv 2 dist: column "dist": "far" is not an int {"flight":2,"dist":"far"}`},
			counts:   transforms.Counts{In: 4, Out: 2, Filtered: 1, Faulty: 1},
		},
		{
			name:  "a row is rejected once, for the first column at fault",
			steps: []transforms.Step{{Select: []string{"flight", "dist"}}, {Derive: assign("a", "10 / flight", "b", "1 % flight", "c", "int(dist)")}, {Drop: []string{"dist"}}},
			rows:  []string{`{"flight":1,"a":10.0,"b":0,"c":100}`, `{"flight":3,"a":3.3333333333333335,"b":1,"c":300}`},
			rejected: []string{
				`a.csv 2 c: column "c": "far" is not an int {"flight":2,"dist":"far"}`,
				`b.csv 1 a: column "a": division by zero {"flight":0,"dist":"-4"}`,
			},
			counts: transforms.Counts{In: 4, Out: 2, Faulty: 2},
		},
		{
			name:     "a filter that fails rejects",
			steps:    []transforms.Step{{Filter: "10 / flight > 4"}, {Select: []string{"flight"}}},
			rows:     []string{`{"flight":1}`, `{"flight":2}`},
			rejected: []string{`b.csv 1 : division by zero {"carrier":"DL","flight":0,"dist":"-4","delay":5.0,"_source_file":"b.csv","_source_row":1}`},
			counts:   transforms.Counts{In: 4, Out: 2, Filtered: 1, Faulty: 1},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			batch := flightRows(t)
			chain, err := transforms.NewChain(batch.Schema(), c.steps, nil)
			require.NoError(t, err)
			var seen recorder
			rows, err := rowtest.Drain(chain.Apply(context.Background(), rowtest.Reader(t, batch), seen.observer()))
			require.NoError(t, err)
			require.Equal(t, c.rows, rows)
			var rejected []string
			for _, r := range seen.rejected {
				rejected = append(rejected, fmt.Sprintf("%s %d %s: %s %s", r.SourceFile, r.SourceRow, r.Column, r.Reason, r.Row))
			}
			require.Equal(t, c.rejected, rejected)
			require.Equal(t, c.counts, chain.Counts())
		})
	}
}

func TestExpectations(t *testing.T) {
	batch := flightRows(t)
	chain, err := transforms.NewChain(batch.Schema(), []transforms.Step{{Select: []string{"carrier", "flight", "delay"}}}, []transforms.Expectation{
		{Name: "has carrier", That: "carrier != nil", Otherwise: "warn"},
		{Name: "delay known", That: "delay > 0", Otherwise: "quarantine"},
		{Name: "flight", That: "10 / flight > 5", Otherwise: "quarantine"},
		{Name: "not late", That: "delay < 10", Otherwise: "drop"},
		{Name: "carrier", That: `carrier == "AA"`, Otherwise: "fail"},
	})
	require.NoError(t, err)
	var seen recorder
	rows, err := rowtest.Drain(chain.Apply(context.Background(), rowtest.Reader(t, batch), seen.observer()))
	require.NoError(t, err)
	require.Empty(t, rows, "flight 2 has 10/2 = 5")
	require.Equal(t, []transforms.Rejected{
		{
			Expectation: "delay known", Reason: `expectation "delay known": delay > 0 is unknown, as a value is null`,
			Row: `{"carrier":null,"flight":3,"delay":null}`, SourceFile: "a.csv", SourceRow: 3,
		},
		{
			Expectation: "flight", Reason: `expectation "flight": 10 / flight > 5 is false`,
			Row: `{"carrier":"AA","flight":2,"delay":1.0}`, SourceFile: "a.csv", SourceRow: 2,
		},
		{
			Expectation: "flight", Reason: `expectation "flight": 10 / flight > 5: division by zero`,
			Row: `{"carrier":"DL","flight":0,"delay":5.0}`, SourceFile: "b.csv", SourceRow: 1,
		},
	}, seen.rejected)
	require.Equal(t, []string{"has carrier 1"}, seen.warned)
	require.Equal(t, transforms.Counts{In: 4, Out: 0, Dropped: 1, Quarantined: 3, Warned: map[string]int64{"has carrier": 1}}, chain.Counts())
}

func TestExpectationFails(t *testing.T) {
	batch := flightRows(t)
	chain, err := transforms.NewChain(batch.Schema(), nil, []transforms.Expectation{{Name: "carrier", That: `carrier != nil`, Otherwise: "fail"}})
	require.NoError(t, err)
	rows, err := rowtest.Drain(chain.Apply(context.Background(), rowtest.Reader(t, batch, batch), transforms.Observer{}))
	var failed *transforms.ExpectationError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "carrier", failed.Name)
	require.EqualError(t, err, `a.csv: row 3: expectation "carrier": carrier != nil is false`)
	require.Empty(t, rows)
}

func TestWithoutObserverAFaultIsAnError(t *testing.T) {
	batch := flightRows(t)
	chain, err := transforms.NewChain(batch.Schema(), []transforms.Step{{Cast: []transforms.Assign{{Name: "dist", Value: "int"}}}}, nil)
	require.NoError(t, err)
	_, err = rowtest.Drain(chain.Apply(context.Background(), rowtest.Reader(t, batch), transforms.Observer{}))
	var fault *transforms.FaultError
	require.ErrorAs(t, err, &fault)
	require.EqualError(t, err, `a.csv: row 2: column "dist": "far" is not an int`)
}

func TestRejectStops(t *testing.T) {
	batch := flightRows(t)
	enough := errors.New("enough")
	chain, err := transforms.NewChain(batch.Schema(), []transforms.Step{{Cast: []transforms.Assign{{Name: "dist", Value: "int"}}}}, nil)
	require.NoError(t, err)
	_, err = rowtest.Drain(chain.Apply(context.Background(), rowtest.Reader(t, batch), transforms.Observer{
		Reject: func(transforms.Rejected) error { return enough },
	}))
	require.ErrorIs(t, err, enough)
}

func TestMistakes(t *testing.T) {
	one := func(s transforms.Step) []transforms.Step { return []transforms.Step{{Filter: "true"}, s} }
	assign := func(name, value string) []transforms.Assign { return []transforms.Assign{{Name: name, Value: value}} }
	cases := []struct {
		steps  []transforms.Step
		expect []transforms.Expectation
		want   string
		field  string
	}{
		{one(transforms.Step{Filter: "dela > 1"}), nil, `step 2: unknown column "dela"; did you mean "delay"?`, ""},
		{one(transforms.Step{Filter: "delay"}), nil, `step 2: expected a boolean, found double; compare it with something`, ""},
		{one(transforms.Step{}), nil, "step 2: a step is one of filter, derive, select, rename, cast and drop, found 0 of them", ""},
		{one(transforms.Step{Filter: "true", Drop: []string{"flight"}}), nil, "step 2: a step is one of filter, derive, select, rename, cast and drop, found 2 of them", ""},
		{one(transforms.Step{Derive: assign("x", "nil")}), nil, `step 2: x: the type of null is not known; name it, as in string(nil)`, "x"},
		{one(transforms.Step{Derive: assign("x", `duration("1h")`)}), nil, `step 2: x: a duration cannot be stored; total_seconds(...) is a number`, "x"},
		{one(transforms.Step{Derive: assign("x", `[]`)}), nil, `step 2: x: tables cannot store a column of Arrow type null`, "x"},
		{one(transforms.Step{Derive: assign("x", `upper(flight)`)}), nil, `step 2: x: upper needs text, found int; string(...) turns it into text`, "x"},
		{one(transforms.Step{Derive: assign("", `1`)}), nil, `step 2: a derived column needs a name`, ""},
		{one(transforms.Step{Select: []string{"flight", "Carrier"}}), nil, `step 2: Carrier: unknown column "Carrier"; did you mean "carrier"?`, "Carrier"},
		{one(transforms.Step{Select: []string{"flight", "flight"}}), nil, `step 2: flight: column "flight" is selected twice`, "flight"},
		{one(transforms.Step{Select: []string{}}), nil, `step 2: select names no column`, ""},
		{one(transforms.Step{Drop: []string{"nope"}}), nil, `step 2: nope: unknown column "nope"`, "nope"},
		{one(transforms.Step{Drop: []string{"carrier", "flight", "dist", "delay", "_source_file", "_source_row"}}), nil, `step 2: drop leaves no column`, ""},
		{one(transforms.Step{Rename: assign("carrier", "dist")}), nil, `step 2: carrier: there is a column "dist" already`, "carrier"},
		{one(transforms.Step{Rename: assign("flght", "f")}), nil, `step 2: flght: unknown column "flght"; did you mean "flight"?`, "flght"},
		{one(transforms.Step{Cast: assign("flight", "bigint")}), nil, `step 2: flight: unknown type "bigint": `, "flight"},
		{one(transforms.Step{Cast: assign("flight", "date")}), nil, `step 2: flight: int cannot be cast to date`, "flight"},
		{nil, []transforms.Expectation{{Name: "e", That: "delay + 1", Otherwise: "warn"}}, `expectation 1: e: expected a boolean, found double`, "e"},
		{nil, []transforms.Expectation{{Name: "e", That: "true", Otherwise: "ignore"}}, `expectation 1: e: otherwise is warn, drop, quarantine or fail, found "ignore"`, "e"},
	}
	in := rowtest.Schema(t, flights)
	for _, c := range cases {
		_, err := transforms.NewChain(in, c.steps, c.expect)
		require.ErrorContains(t, err, c.want)
		var step *transforms.StepError
		require.ErrorAs(t, err, &step)
		require.Equal(t, c.field, step.Field)
		require.Equal(t, c.expect != nil, step.Expectation)
	}
	_, err := transforms.NewChain(in, []transforms.Step{{Derive: []transforms.Assign{{Name: "x", Value: "1 + nope"}}}}, nil)
	var mistake *expression.Error
	require.ErrorAs(t, err, &mistake)
	require.Equal(t, 4, mistake.Offset)
}

// Columns that no step touches pass through whatever their encoding; the others are decoded.
func TestOtherEncodings(t *testing.T) {
	mem := memory.DefaultAllocator
	dict := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	db := array.NewDictionaryBuilder(mem, dict).(*array.BinaryDictionaryBuilder)
	lb, sb, tb := array.NewLargeStringBuilder(mem), array.NewInt16Builder(mem), array.NewTimestampBuilder(mem, &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "Europe/Berlin"})
	vb := array.NewStringViewBuilder(mem)
	for i, s := range []string{"a", "b", "a"} {
		require.NoError(t, db.AppendString(s))
		lb.Append(s)
		sb.Append(int16(i))
		tb.Append(arrow.Timestamp(i * 1000))
		vb.Append(s)
	}
	db.AppendNull()
	lb.AppendNull()
	sb.AppendNull()
	tb.AppendNull()
	vb.AppendNull()
	columns := []arrow.Array{db.NewArray(), lb.NewArray(), sb.NewArray(), tb.NewArray(), vb.NewArray()}
	var fields []arrow.Field
	for i, name := range []string{"d", "l", "i", "t", "v"} {
		fields = append(fields, arrow.Field{Name: name, Type: columns[i].DataType(), Nullable: true})
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, 4)
	chain, err := transforms.NewChain(batch.Schema(), []transforms.Step{
		{Filter: `(d == "a" and l == "a" and v == "a" and i >= 0) or t == nil`},
		{Derive: []transforms.Assign{{Name: "x", Value: `d + l + v + string(i) + string(t)`}, {Name: "y", Value: "t"}}},
		{Cast: []transforms.Assign{{Name: "l", Value: "string"}, {Name: "i", Value: "long"}}},
	}, nil)
	require.NoError(t, err)
	rows, err := rowtest.Drain(chain.Apply(context.Background(), rowtest.Reader(t, batch), transforms.Observer{}))
	require.NoError(t, err)
	require.Equal(t, []string{
		`{"d":"a","l":"a","i":0,"t":"1970-01-01T00:00:00Z","v":"a","x":"aaa01970-01-01 00:00:00+00","y":"1970-01-01T00:00:00Z"}`,
		`{"d":"a","l":"a","i":2,"t":"1970-01-01T00:00:02Z","v":"a","x":"aaa21970-01-01 00:00:02+00","y":"1970-01-01T00:00:02Z"}`,
		`{"d":null,"l":null,"i":null,"t":null,"v":null,"x":null,"y":null}`,
	}, rows)
	for _, f := range chain.Schema().Fields() {
		_, err := columntype.Format(f.Type)
		require.NoError(t, err)
	}
}

func TestCancel(t *testing.T) {
	batch := flightRows(t)
	chain, err := transforms.NewChain(batch.Schema(), []transforms.Step{{Filter: "flight >= 0"}}, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r := chain.Apply(ctx, rowtest.Reader(t, batch, batch), transforms.Observer{})
	defer r.Release()
	require.True(t, r.Next())
	cancel()
	require.False(t, r.Next())
	require.ErrorIs(t, r.Err(), context.Canceled)
}

// One chain runs over several streams at once, and counts them together.
func TestStreamsAtOnce(t *testing.T) {
	batch := flightRows(t)
	chain, err := transforms.NewChain(batch.Schema(), []transforms.Step{
		{Derive: []transforms.Assign{{Name: "id", Value: `carrier + string(flight)`}, {Name: "bits", Value: "bitand(flight, 1)"}}},
		{Filter: `carrier matches "^[A-Z]+$"`},
	}, []transforms.Expectation{{Name: "short", That: "delay < 10", Otherwise: "warn"}})
	require.NoError(t, err)
	require.Len(t, chain.Explain(), 1)
	require.Contains(t, chain.Explain()[0], "step 1: bits: bitand at byte 0 has no kernel")
	var group sync.WaitGroup
	results := make([][]string, 8)
	for i := range results {
		group.Go(func() {
			results[i], _ = rowtest.Drain(chain.Apply(context.Background(), rowtest.Reader(t, batch, batch), transforms.Observer{}))
		})
	}
	group.Wait()
	for _, rows := range results {
		require.Len(t, rows, 6)
		require.Equal(t, results[0], rows)
	}
	require.Equal(t, transforms.Counts{In: 64, Out: 48, Filtered: 16, Warned: map[string]int64{"short": 16}}, chain.Counts())
}

// What a chain holds of its input, it gives back.
func TestChainReleases(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	b := array.NewRecordBuilder(mem, rowtest.Schema(t, "a int; s string; p struct<x: int>; xs list<int>"))
	require.NoError(t, b.UnmarshalJSON([]byte(`{"a": 1, "s": "x", "p": {"x": 4}, "xs": [1, 2]}`)))
	require.NoError(t, b.UnmarshalJSON([]byte(`{"a": 2, "s": "7", "p": null, "xs": null}`)))
	require.NoError(t, b.UnmarshalJSON([]byte(`{"a": 3, "s": "8", "p": {"x": 5}, "xs": [3]}`)))
	batch := b.NewRecordBatch()
	b.Release()
	chain, err := transforms.NewChain(batch.Schema(), []transforms.Step{
		{Derive: []transforms.Assign{
			{Name: "px", Value: "p.x"}, {Name: "first", Value: "xs[0]"}, {Name: "copy", Value: "s"}, {Name: "rest", Value: "filter(xs, # > a)"},
			{Name: "ys", Value: "map(xs, # + a)"}, {Name: "c", Value: "a > 1 ? p : {x: 0}"},
		}},
		{Cast: []transforms.Assign{{Name: "s", Value: "long"}, {Name: "xs", Value: "list<string>"}}},
		{Filter: "a != 3"},
		{Drop: []string{"a"}},
	}, []transforms.Expectation{{Name: "e", That: "px == nil", Otherwise: "quarantine"}})
	require.NoError(t, err)
	source := rowtest.Reader(t, batch, batch)
	batch.Release()
	var seen recorder
	rows, err := rowtest.Drain(chain.Apply(context.Background(), source, seen.observer()))
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Len(t, seen.rejected, 2)
}

func BenchmarkChain(b *testing.B) {
	var rows []string
	for i := range 64 << 10 {
		rows = append(rows, fmt.Sprintf(`{"carrier": "C%d", "flight": %d, "dist": "%d", "delay": %d}`, i%16, i, i%3000, i%60))
	}
	batch := rowtest.Batch(b, "carrier string; flight int; dist string; delay double", rows...)
	for name, steps := range map[string][]transforms.Step{
		"filter":       {{Filter: `delay > 15 and carrier != "C3"`}},
		"filter_all":   {{Filter: "flight >= 0"}},
		"derive":       {{Derive: []transforms.Assign{{Name: "late", Value: "delay != nil and delay > 15"}, {Name: "id", Value: `carrier + "/" + string(flight)`}}}},
		"cast":         {{Cast: []transforms.Assign{{Name: "dist", Value: "int"}}}},
		"rename_drop":  {{Rename: []transforms.Assign{{Name: "dist", Value: "distance"}}}, {Drop: []string{"delay"}}},
		"expectations": nil,
	} {
		b.Run(name, func(b *testing.B) {
			var expect []transforms.Expectation
			if steps == nil {
				expect = []transforms.Expectation{{Name: "e", That: "delay >= 0", Otherwise: "quarantine"}, {Name: "w", That: "flight > 10", Otherwise: "warn"}}
			}
			chain, err := transforms.NewChain(batch.Schema(), steps, expect)
			require.NoError(b, err)
			for b.Loop() {
				r := chain.Apply(context.Background(), rowtest.Reader(b, batch), transforms.Observer{})
				for r.Next() {
				}
				require.NoError(b, r.Err())
				r.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(batch.NumRows()), "ns/row")
		})
	}
}
