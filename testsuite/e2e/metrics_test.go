package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/testsuite/lab"
)

// TestMetricsAreTablesHealth reads the shape of tables from a worker's metrics, after it has looked at them, and holds each figure
// against what `trigger table health` says: of tables with deletes and several partitions, and again after their maintenance.
func TestMetricsAreTablesHealth(t *testing.T) {
	l := lab.Empty(t, lab.Build(t))
	names := l.Shaped()
	w := l.StartWorker("--metrics", "127.0.0.1:0")
	url := regexp.MustCompile(`url=(http://\S+/metrics)`).FindStringSubmatch(w.Log())
	if url == nil {
		t.Fatalf("the log does not say where metrics are:\n%s", w.Log())
	}
	compare := func(name string) tables.Health {
		t.Helper()
		l.Must("table", "maintain", name, "--plan") // looks, and changes nothing
		h := healthOf(t, l, name)
		awaitGauges(t, url[1], name, map[string]float64{
			"files": float64(h.Files), "small_files": float64(h.SmallFiles), "bytes": float64(h.Bytes), "rows": float64(h.Rows),
			"delete_files": float64(h.DeleteFiles), "deleted_rows": float64(h.DeletedRows), "clustering_depth": h.Depth,
			"snapshots": float64(h.Snapshots), "metadata_bytes": float64(h.MetadataBytes + h.ManifestBytes),
		})
		return h
	}
	for _, name := range names {
		before := compare(name)
		if before.SmallFiles == 0 || before.SmallFiles == before.Files || before.DeleteFiles == 0 || before.DeletedRows == 0 || before.Depth <= 1 {
			t.Errorf("%s: the comparison says little: %+v", name, before)
		}
		l.Must("table", "maintain", name, "--yes")
		if after := compare(name); after.Files >= before.Files || after.DeletedRows != 0 || after.Snapshots == before.Snapshots {
			t.Errorf("%s: after its maintenance %+v, before it %+v", name, after, before)
		}
	}
}

func healthOf(t *testing.T, l *lab.Lab, name string) tables.Health {
	t.Helper()
	var h tables.Health
	out := l.Must("table", "health", name, "--json")
	if err := json.Unmarshal([]byte(out), &h); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return h
}

// awaitGauges reads metrics until a table's are these: they are shown some time after they were measured.
func awaitGauges(t *testing.T, url, table string, want map[string]float64) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		have, err := gauges(url, table)
		if err != nil {
			t.Fatal(err)
		}
		if maps.Equal(have, want) {
			return
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("metrics of %s are\n%v, expected\n%v", table, have, want)
		}
	}
}

// gauge is a line as `varve_table_files{a="b",table="silver.flights"} 12`.
var gauge = regexp.MustCompile(`(?m)^varve_table_(\w+)\{([^}]*)\} (\S+)$`)

// gauges are those of a table, by name.
func gauges(url, table string) (map[string]float64, error) {
	response, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if closed := response.Body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for _, line := range gauge.FindAllStringSubmatch(string(body), -1) {
		if !strings.Contains(","+line[2]+",", fmt.Sprintf(",table=%q,", table)) {
			continue
		}
		if _, twice := out[line[1]]; twice {
			return nil, fmt.Errorf("varve_table_%s of %s is there twice", line[1], table)
		}
		if out[line[1]], err = strconv.ParseFloat(line[3], 64); err != nil {
			return nil, err
		}
	}
	return out, nil
}
