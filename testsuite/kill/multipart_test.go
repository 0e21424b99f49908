package kill

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/testsuite/lab"
)

// steps are the requests of an upload in parts.
var steps = []struct{ name, at string }{
	{"completed", "io/after/POST/uploadId=:1"},
	{"begun", "io/after/POST/uploads=:1"},
	{"part-sent", "io/after/PUT/partNumber=:1"},
	{"complete", "io/before/POST/uploadId=:1"},
}

// multipart kills a worker in the midst of the upload of a data file that goes up in parts. The object is whole or not
// there, and the run's next attempt writes another.
func multipart(t *testing.T, bin string, on *backend, shared *lab.Worker) {
	chosen := steps
	if os.Getenv("VARVE_KILL") == "few" {
		chosen = steps[:1]
	}
	part := shardOf(t)
	for i, step := range chosen {
		if !part.has(int64(i + 1)) {
			continue
		}
		t.Run("multipart-"+step.name, func(t *testing.T) {
			t.Parallel()
			x := &trial{t: t, on: on, name: "multipart-" + step.name, pipeline: "texts", victim: worker, at: step.at}
			t.Cleanup(func() {
				report.add(x.outcome(-1, !t.Failed()))
			})
			x.start(bin, shared)
			want, delivery := texts()
			on.deliver(t, x.lab, x.name, "1.csv", delivery)
			built := x.run(1).Tables[0]
			require.Equal(t, wire.StateBuilt, built.State, built.Reason)
			require.True(t, x.killed, "nobody was killed at %s", step.at)
			again := x.run(2).Tables[0]
			require.Equal(t, wire.StateUnchanged, again.State, again.Reason)
			on.open(t, x.lab, func(lake *tables.Lake) {
				table, err := lake.Table(t.Context(), "bronze.texts")
				require.NoError(t, err)
				head, ok := table.Head()
				require.True(t, ok)
				got := rowsOf(t, table, head.ID, []string{"id", "text"})
				require.True(t, slices.Equal(want, got), "%d rows of %d, or others", len(got), len(want))
			})
			require.Equal(t, map[string]int{"bronze.texts": 2}, on.commits(t, x.name), "the table is made and appended to, once each")
			require.Zero(t, on.left(t, x.lab).Staged)
			x.worker.Kill()
		})
	}
}

// texts are rows of noise and the delivery that they come in: some 12 MB when compressed, more than one part.
func texts() (rows []string, delivery []byte) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("id,text\n")
	text := make([]byte, 1000)
	for id := range 16000 {
		for i := range text {
			text[i] = letters[random.IntN(len(letters))]
		}
		fmt.Fprintf(&b, "%d,%s\n", id, text)
		rows = append(rows, fmt.Sprintf("%d|%s", id, text))
	}
	slices.Sort(rows)
	return rows, []byte(b.String())
}
