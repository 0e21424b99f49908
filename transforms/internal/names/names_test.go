package names_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/internal/names"
)

func TestNearest(t *testing.T) {
	columns := []string{"tailnum", "carrier", "time_hour", "id", "x"}
	cases := map[string]string{
		"tailnumm":  "tailnum",
		"TailNum":   "tailnum",
		"talinum":   "tailnum",
		"carier":    "carrier",
		"timehour":  "time_hour",
		"di":        "id",
		"y":         "",
		"something": "",
		"":          "",
	}
	for name, want := range cases {
		require.Equal(t, want, names.Nearest(name, columns), name)
	}
}
