package activities

import (
	"sync"
	"time"

	"go.temporal.io/sdk/client"
)

// metered keeps what activities count, by metric and table.
type metered struct {
	mu     *sync.Mutex
	counts map[string]int64
	tags   map[string]string
}

func newMetered() *metered { return &metered{mu: &sync.Mutex{}, counts: map[string]int64{}} }

func (m *metered) of(metric, table string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[metric+" "+table]
}

// shows tells whether a count is there, if only zero.
func (m *metered) shows(metric, table string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, counted := m.counts[metric+" "+table]
	return counted
}

// WithTags implements client.MetricsHandler.
func (m *metered) WithTags(tags map[string]string) client.MetricsHandler {
	all := map[string]string{}
	for _, from := range []map[string]string{m.tags, tags} {
		for k, v := range from {
			all[k] = v
		}
	}
	return &metered{m.mu, m.counts, all}
}

// Counter implements client.MetricsHandler.
func (m *metered) Counter(name string) client.MetricsCounter {
	return counter(func(n int64) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.counts[name+" "+m.tags["table"]] += n
	})
}

// Gauge implements client.MetricsHandler.
func (m *metered) Gauge(string) client.MetricsGauge { return nothing{} }

// Timer implements client.MetricsHandler.
func (m *metered) Timer(string) client.MetricsTimer { return nothing{} }

type counter func(int64)

func (c counter) Inc(n int64) { c(n) }

type nothing struct{}

func (nothing) Update(float64)       {}
func (nothing) Record(time.Duration) {}
