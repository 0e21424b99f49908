package render_test

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/internal/render"
	"github.com/varve-lake/varve/transforms/internal/rowtest"
)

func TestRows(t *testing.T) {
	batch := rowtest.Batch(t, `b boolean; i int; x double; m decimal(38,2); s string; bin binary; d date; t time; ts timestamp; tz timestamptz; ns timestamp_ns; u uuid; xs list<struct<q: int>>; m1 map<string, int>; m2 map<int, string>; "q" int`,
		`{"b": true, "i": -1, "x": 1e-7, "m": "12345678901234567890123456789012345.10", "s": "a\"\n\u0001é", "bin": "AAE=", "d": "2024-01-31", "t": "12:30:00.25", "ts": "2024-01-31 12:30:00", "tz": "2024-01-31 12:30:00.000001Z", "ns": "2024-01-31 12:30:00.000000001", "u": "00112233-4455-6677-8899-aabbccddeeff", "xs": [{"q": 1}, null], "m1": [{"key": "a", "value": null}], "m2": [{"key": 1, "value": "b"}], "\"q\"": 3}`,
	)
	row := rowtest.Rows(batch)[0]
	require.Equal(t, `{"b":true,"i":-1,"x":1e-07,"m":12345678901234567890123456789012345.10,"s":"a\"\n\u0001é","bin":"AAE=","d":"2024-01-31","t":"12:30:00.25","ts":"2024-01-31T12:30:00","tz":"2024-01-31T12:30:00.000001Z","ns":"2024-01-31T12:30:00.000000001","u":"00112233-4455-6677-8899-aabbccddeeff","xs":[{"q":1},null],"m1":{"a":null},"m2":[[1,"b"]],"\"q\"":3}`, row)
	require.True(t, json.Valid([]byte(row)))
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"b\\\x00é\xff\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		out := render.AppendString(nil, s)
		var back string
		require.NoError(t, json.Unmarshal(out, &back), "%s", out)
		require.Equal(t, string([]rune(s)), back)
	})
}

func TestAppendFloat(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0.0", 1: "1.0", -2.5: "-2.5", 1e15: "1000000000000000.0", 1e16: "1e+16", 1e-4: "0.0001", 1e-5: "1e-05",
		1.0 / 3: "0.3333333333333333", math.Inf(1): "inf", math.Inf(-1): "-inf", math.MaxFloat64: "1.7976931348623157e+308",
	} {
		got := string(render.AppendFloat(nil, in, 64))
		require.Equal(t, want, got)
		back, err := strconv.ParseFloat(got, 64)
		require.NoError(t, err)
		require.Equal(t, in, back)
	}
}
