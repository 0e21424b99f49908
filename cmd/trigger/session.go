package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/varve-lake/varve/internal/devserver"
	"github.com/varve-lake/varve/internal/durable"
	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/internal/host"
	"github.com/varve-lake/varve/internal/payloads"
)

// session is a connection to the Temporal server of the environment. Where none is configured and none runs on the
// project's folder, the session embeds one, and a worker with it.
type session struct {
	client.Client
	env       environment.Environment
	converter converter.DataConverter // of payloads, which may be encrypted
	ui        string                  // address of the UI, if it is known
	embedded  bool
	closers   []func()
}

// connect finds the server in this order: configured; the embedded one of another process (worker --dev, or another
// trigger); one of this process.
func connect(ctx context.Context, g *global) (*session, error) {
	env, err := environment.Load(g.env)
	if err != nil {
		return nil, err
	}
	codec, err := env.Codec()
	if err != nil {
		return nil, err
	}
	s := &session{env: env}
	s.converter, _ = payloads.Converters(codec)
	conn := g.conn
	conn.Logger = newLog(env)
	configured, err := env.Configured(conn)
	if err != nil {
		return nil, err
	}
	if !configured {
		if err := s.useEmbedded(ctx, &conn); err != nil {
			return nil, err
		}
	}
	if s.Client, err = env.Dial(ctx, conn); err != nil {
		s.close()
		return nil, codedError{err, exitUnreachable}
	}
	s.closers = append(s.closers, s.Client.Close)
	if s.embedded {
		w, err := host.Start(ctx, s.Client, devserver.Namespace, env, conn.Logger)
		if err != nil {
			s.close()
			return nil, err
		}
		s.closers = append(s.closers, func() { _ = w.Stop() })
	}
	return s, nil
}

// useEmbedded finds the running embedded server of the folder or starts one.
func (s *session) useEmbedded(ctx context.Context, conn *environment.Connection) error {
	info, running := devserver.Find(s.env.Dir)
	if !running {
		server, err := devserver.Start(ctx, devserver.Options{Dir: s.env.Dir})
		switch {
		case errors.Is(err, devserver.ErrRunning): // it is just starting, or just ending
			return codedError{fmt.Errorf("%w; try again in a second", err), exitUnreachable}
		case err != nil:
			return err
		}
		s.embedded = true
		s.closers = append(s.closers, server.Stop)
		info = server.Info()
	}
	conn.Address, conn.Namespace, s.ui = info.Address, devserver.Namespace, info.UI
	return nil
}

// close ends what the session began, the last first.
func (s *session) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

// newLog writes what the worker in this process has to say to .varve/trigger.log, so that it does not mix with results.
func newLog(env environment.Environment) *slog.Logger {
	if err := durable.MkdirAll(env.Dir); err != nil {
		return slog.New(slog.DiscardHandler)
	}
	f, err := os.OpenFile(filepath.Join(env.Dir, "trigger.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// workflowURL is where the UI shows a run.
func (s *session) workflowURL(id, runID string) string {
	if s.ui == "" {
		return ""
	}
	return fmt.Sprintf("%s/namespaces/%s/workflows/%s/%s/history", s.ui, devserver.Namespace, id, runID)
}
