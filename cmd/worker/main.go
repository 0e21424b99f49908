// Command worker runs Varve's workflows and activities. With --dev it also embeds a Temporal server and its UI.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/internal/devserver"
	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/internal/host"
	"github.com/varve-lake/varve/internal/payloads"
)

// version is set by the linker for a release.
var version = "dev"

type options struct {
	env      environment.Options
	conn     environment.Connection
	dev      bool
	port     int
	uiPort   int
	metrics  string
	logLevel string
	logJSON  bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "worker: "+err.Error())
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "worker",
		Short: "Run Varve's workflows and activities",
		Long: "worker polls the task queue of its environment and builds tables.\n\n" +
			"The server is found by --address, then varve.yaml, then Temporal's own TEMPORAL_* variables and temporal.toml.\n" +
			"With --dev a server and the Temporal UI are embedded, on the loopback interface, with their state under .varve/.",
		Version: version, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error { return run(c.Context(), o) },
	}
	f := c.Flags()
	f.BoolVar(&o.dev, "dev", false, "embed a Temporal server and its UI")
	f.IntVar(&o.port, "port", 0, "with --dev: gRPC port (default: 7233 if free)")
	f.IntVar(&o.uiPort, "ui-port", 0, "with --dev: port of the UI (default: 8233 if free; -1: no UI)")
	f.StringVarP(&o.env.Root, "directory", "C", "", "the project's folder (default: the working directory)")
	f.StringVar(&o.env.Name, "env", "", "environment of varve.yaml (default: $VARVE_ENVIRONMENT, then local)")
	f.StringVar(&o.env.Pipelines, "pipelines", "", "folder of pipelines (default: $VARVE_PIPELINES, then pipelines)")
	f.StringVar(&o.env.Memory, "memory", "", "memory that the worker keeps to, such as 512MB; what does not fit is spilled to disk (default: limits.memory of varve.yaml, then half of the machine's)")
	f.IntVar(&o.env.Parallelism, "parallelism", 0, "pieces of work at one time (default: limits.parallelism of varve.yaml, then the machine's cores)")
	f.StringVar(&o.env.FanOut, "fan-out", "", "size of the data files that a MERGE looks through above which it is done in groups, by all workers of the task queue (default: limits.fan_out of varve.yaml, then 2GiB)")
	f.StringVar(&o.conn.Address, "address", "", "Temporal server, host:port")
	f.StringVar(&o.conn.Namespace, "namespace", "", "Temporal namespace")
	f.StringVar(&o.conn.Profile, "profile", "", "profile of Temporal's configuration file")
	f.StringVar(&o.conn.TLSCert, "tls-cert", "", "client certificate, a PEM file")
	f.StringVar(&o.conn.TLSKey, "tls-key", "", "client key, a PEM file")
	f.StringVar(&o.conn.TLSCA, "tls-ca", "", "certificate authorities of the server, a PEM file")
	f.StringVar(&o.metrics, "metrics", "", "address to serve Prometheus metrics at, such as 127.0.0.1:9090 (default: not served)")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&o.logJSON, "log-json", false, "log as JSON")
	c.MarkFlagsMutuallyExclusive("dev", "address")
	return c
}

func run(ctx context.Context, o options) error {
	logger, err := newLogger(o)
	if err != nil {
		return err
	}
	env, err := environment.Load(o.env)
	if err != nil {
		return err
	}
	if o.metrics != "" {
		m, err := host.ServeMetrics(o.metrics, logger)
		if err != nil {
			return err
		}
		defer func() { _ = m.Close() }()
		o.conn.Metrics = m.Handler
		logger.Info("metrics", "url", "http://"+m.Address+"/metrics")
	}
	o.conn.Logger = logger
	if o.dev {
		of := devserver.Options{Dir: env.Dir, Port: o.port, UIPort: o.uiPort, Logger: quiet(logger)}
		codec, err := env.Codec()
		if err != nil {
			return err
		}
		if codec != nil {
			of.Codec = func(origins []string) http.Handler { return payloads.Handler(codec, origins) }
		}
		server, err := devserver.Start(ctx, of)
		if err != nil {
			return err
		}
		defer server.Stop()
		o.conn.Address, o.conn.Namespace = server.Info().Address, devserver.Namespace
		logger.Info("Temporal", "address", server.Info().Address, "ui", server.Info().UI)
	} else if known, err := env.Configured(o.conn); err != nil {
		return err
	} else if !known {
		return errors.New("no Temporal server is configured: give --address, set TEMPORAL_ADDRESS or name one in varve.yaml; --dev embeds one")
	}
	c, err := env.Dial(ctx, o.conn)
	if err != nil {
		return err
	}
	defer c.Close()
	namespace, err := env.Namespace(o.conn)
	if err != nil {
		return err
	}
	w, err := host.Start(ctx, c, namespace, env, logger)
	if err != nil {
		return err
	}
	logger.Info("ready", "environment", env.Name, "task_queue", env.Queue(), "pipelines", env.Pipelines, "memory", env.Limits.Memory)
	<-ctx.Done()
	logger.Info("stopping; running activities have " + host.StopTimeout.String())
	return w.Stop()
}

func newLogger(o options) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: expected debug, info, warn or error", o.logLevel)
	}
	h := &slog.HandlerOptions{Level: level}
	if o.logJSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, h)), nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, h)), nil
}

// quiet keeps the embedded server's own chatter out of the worker's log unless debugging is on.
func quiet(logger *slog.Logger) *slog.Logger {
	if logger.Enabled(context.Background(), slog.LevelDebug) {
		return logger
	}
	return slog.New(slog.DiscardHandler)
}
