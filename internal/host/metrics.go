package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/uber-go/tally/v4"
	"github.com/uber-go/tally/v4/prometheus"
	"go.temporal.io/sdk/client"
	sdktally "go.temporal.io/sdk/contrib/tally"
)

// Metrics serves Prometheus metrics over HTTP: the SDK's own and what activities count.
type Metrics struct {
	Handler client.MetricsHandler
	Address string // host:port that /metrics is served at
	scope   io.Closer
	server  *http.Server
}

// ServeMetrics listens on address ("127.0.0.1:9090"; port 0 takes a free one).
func ServeMetrics(address string, logger *slog.Logger) (*Metrics, error) {
	reporter := prometheus.NewReporter(prometheus.Options{
		Registerer: promclient.DefaultRegisterer,
		OnRegisterError: func(err error) {
			logger.Warn("metric not registered", "error", err)
		},
	})
	sanitize := sdktally.PrometheusSanitizeOptions
	sanitize.ValueCharacters.Characters = []rune{'_', '-', '.'} // of tables' names, for one; Prometheus takes any
	scope, closer := tally.NewRootScope(tally.ScopeOptions{
		CachedReporter:  reporter,
		Separator:       prometheus.DefaultSeparator,
		SanitizeOptions: &sanitize,
	}, time.Second)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		_ = closer.Close()
		return nil, fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", reporter.HTTPHandler())
	m := &Metrics{
		Handler: sdktally.NewMetricsHandler(sdktally.NewPrometheusNamingScope(scope)),
		Address: listener.Addr().String(),
		scope:   closer,
		server:  &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second},
	}
	go func() {
		if err := m.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("metrics are no longer served", "error", err)
		}
	}()
	return m, nil
}

// Close flushes the last values and stops serving.
func (m *Metrics) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return errors.Join(m.scope.Close(), m.server.Shutdown(ctx))
}
