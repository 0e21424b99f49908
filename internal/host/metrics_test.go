package host

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestMetricsAreServed: what activities count is served under Prometheus's names, also before it happens the first time.
func TestMetricsAreServed(t *testing.T) {
	m, err := ServeMetrics("127.0.0.1:0", slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	h := m.Handler.WithTags(map[string]string{"table": "silver.flights"})
	h.Counter("varve_commit_attempts").Inc(3)
	h.Counter("varve_commit_conflicts").Inc(0)
	want := []string{`varve_commit_attempts_total{table="silver.flights"} 3`, `varve_commit_conflicts_total{table="silver.flights"} 0`}
	var body []byte
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(50 * time.Millisecond) {
		response, err := http.Get("http://" + m.Address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), want[0]) && strings.Contains(string(body), want[1]) {
			return
		}
	}
	t.Errorf("not all of %q in\n%s", want, body)
}
