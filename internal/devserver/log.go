package devserver

import (
	"context"
	"log/slog"

	"go.temporal.io/server/common/log/tag"
)

// slogLogger gives Temporal's log lines to a slog.Logger. Fatal and panic are errors here: the embedding process decides
// when it ends.
type slogLogger struct{ out *slog.Logger }

func (l slogLogger) Debug(msg string, tags ...tag.Tag)  { l.log(slog.LevelDebug, msg, tags) }
func (l slogLogger) Info(msg string, tags ...tag.Tag)   { l.log(slog.LevelInfo, msg, tags) }
func (l slogLogger) Warn(msg string, tags ...tag.Tag)   { l.log(slog.LevelWarn, msg, tags) }
func (l slogLogger) Error(msg string, tags ...tag.Tag)  { l.log(slog.LevelError, msg, tags) }
func (l slogLogger) DPanic(msg string, tags ...tag.Tag) { l.log(slog.LevelError, msg, tags) }
func (l slogLogger) Panic(msg string, tags ...tag.Tag)  { l.log(slog.LevelError, msg, tags) }
func (l slogLogger) Fatal(msg string, tags ...tag.Tag)  { l.log(slog.LevelError, msg, tags) }

// SLog lets Temporal log through the same logger where it uses slog itself.
func (l slogLogger) SLog() *slog.Logger { return l.out }

func (l slogLogger) log(level slog.Level, msg string, tags []tag.Tag) {
	if !l.out.Enabled(context.Background(), level) {
		return
	}
	attrs := make([]slog.Attr, len(tags))
	for i, t := range tags {
		attrs[i] = slog.Any(t.Key(), t.Value())
	}
	l.out.LogAttrs(context.Background(), level, msg, attrs...)
}
