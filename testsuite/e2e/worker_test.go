package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/reference"
)

// TestWorkerStopsGracefully stops the worker by SIGTERM in the midst of a run: it ends by itself and without an error, and
// the next one brings the run to its end. Before, it serves metrics.
func TestWorkerStopsGracefully(t *testing.T) {
	l := lab.New(t, lab.Build(t))
	w := l.StartWorker("--metrics", "127.0.0.1:0")
	landing := reference.Landing(t, l, "landing", 4)
	l.Must("run", "flights", "--detach", "--id", "stopped", "-p", "landing="+landing)

	url := regexp.MustCompile(`url=(http://\S+/metrics)`).FindStringSubmatch(w.Log())
	if url == nil {
		t.Fatalf("the log does not say where metrics are:\n%s", w.Log())
	}
	awaitMetrics(t, url[1], "temporal_", "varve_commit_attempts_total", "varve_commit_conflicts_total", "varve_commit_unknown_outcomes_total")

	if code := w.Terminate(); code != 0 {
		t.Errorf("the worker ended with exit code %d:\n%s", code, w.Log())
	}
	l.StartWorker()
	l.Await("stopped", 3*time.Minute)
	reference.Check(t, l, landing)
	reference.CheckNothingStaged(t, l)
}

// awaitMetrics reads metrics until all of these are among them: the first commit has to have ended.
func awaitMetrics(t *testing.T, url string, names ...string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		response, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		missing := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.Contains(string(body), n) })
		if len(missing) == 0 {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("no metrics %v in\n%.2000s", missing, body)
		}
	}
}

// TestCancel cancels a run; what was not committed is not there, and resume brings it.
func TestCancel(t *testing.T) {
	l := lab.New(t, lab.Build(t))
	l.StartWorker()
	l.Must("run", "flights", "--detach", "--id", "cancelled")
	began := time.Now()
	l.Must("cancel", "cancelled")
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("cancelling took %s", took)
	}
	var status struct{ Status string }
	if err := json.Unmarshal([]byte(l.Must("status", "cancelled", "--json")), &status); err != nil || status.Status != "canceled" {
		t.Fatalf("status %q, %v", status.Status, err)
	}
	l.Must("resume", "cancelled")
	reference.Check(t, l, "pipelines/data/flights")
	reference.CheckNothingStaged(t, l)
}
