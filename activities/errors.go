package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/changes"
	"github.com/varve-lake/varve/transforms/expression"
	"github.com/varve-lake/varve/transforms/sql"
)

const (
	// patience is the number of attempts that an error without a class is worth: it may be a fault of the world that no
	// one has classed yet, or a mistake in Varve that will never go away.
	patience = 5
	// maxMessage bounds what of an error goes into a history.
	maxMessage = 16 << 10
)

var (
	// errStale says that what the build was planned from has changed, so that it must be planned anew.
	errStale = errors.New("the world has changed since the build was planned")
	// errUser marks mistakes of the user that are found here.
	errUser = errors.New("mistake")
)

func userError(format string, args ...any) error {
	return &marked{mark: errUser, text: fmt.Sprintf(format, args...)}
}

// marked is an error with a class of this package, whose text says nothing of it.
type marked struct {
	mark  error
	text  string
	cause error
}

func (e *marked) Error() string   { return e.text }
func (e *marked) Unwrap() []error { return []error{e.mark, e.cause} }

// stale makes an error one that a new plan may mend.
func stale(err error) error { return &marked{mark: errStale, text: err.Error(), cause: err} }

// rejected is a row that a step or the enforced schema could not take, where the policy is to fail.
type rejected struct{ row transforms.Rejected }

func (e *rejected) Error() string {
	var b strings.Builder
	if e.row.SourceFile != "" {
		fmt.Fprintf(&b, "%s: row %d: ", e.row.SourceFile, e.row.SourceRow)
	}
	if e.row.Column != "" {
		fmt.Fprintf(&b, "column %q: ", e.row.Column)
	}
	b.WriteString(e.row.Reason)
	if e.row.SourceFile == "" {
		fmt.Fprintf(&b, ": row %s", clip(e.row.Row, 500))
	}
	return b.String()
}

// classify gives an error the type that it crosses the boundary with. This is the one place where a class becomes an
// application error, and is decided to be worth another try.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var application *temporal.ApplicationError
	switch {
	case errors.As(err, &application):
		return err
	case ctx.Err() != nil && stopping(ctx):
		return temporal.NewApplicationError("the worker stopped", wire.ErrPassing)
	case ctx.Err() != nil:
		return ctx.Err() // cancelled: whatever else it looks like, that is why
	}
	class := classOf(err)
	options := temporal.ApplicationErrorOptions{NonRetryable: class == wire.ErrInternal && attempt(ctx) >= patience}
	for _, final := range wire.NonRetryable {
		options.NonRetryable = options.NonRetryable || class == final
	}
	var diagnostics spec.Diagnostics
	if errors.As(err, &diagnostics) {
		options.Details = []any{clipDiagnostics(diagnostics)}
	}
	return temporal.NewApplicationErrorWithOptions(clip(err.Error(), maxMessage), class, options)
}

// stopping tells whether the worker is being stopped: then another one takes the activity over.
func stopping(ctx context.Context) bool {
	if !activity.IsActivity(ctx) {
		return false
	}
	select {
	case <-activity.GetWorkerStopChannel(ctx):
		return true
	default:
		return false
	}
}

// clipDiagnostics bounds what goes into a history.
func clipDiagnostics(d spec.Diagnostics) spec.Diagnostics { return d[:min(len(d), 100)] }

func attempt(ctx context.Context) int32 {
	if !activity.IsActivity(ctx) {
		return 1
	}
	return activity.GetInfo(ctx).Attempt
}

func classOf(err error) string {
	switch {
	case errors.Is(err, errStale), errors.Is(err, commit.ErrSuperseded), errors.Is(err, commit.ErrSwept), errors.Is(err, sources.ErrChanged):
		return wire.ErrSuperseded
	case isData(err):
		return wire.ErrData
	case isUser(err):
		return wire.ErrUser
	case errors.Is(err, tables.ErrDenied), errors.Is(err, fs.ErrPermission):
		return wire.ErrDenied
	case errors.Is(err, tables.ErrConflict):
		return wire.ErrConflict
	case errors.Is(err, tables.ErrPassing), errors.Is(err, tables.ErrUnknownOutcome), errors.Is(err, sources.ErrPassing):
		return wire.ErrPassing
	}
	return wire.ErrInternal
}

// isUser tells the user's mistakes: what no number of attempts changes, and nothing is committed.
func isUser(err error) bool {
	for _, class := range []error{
		errUser, tables.ErrNoSuchTable, tables.ErrNoSuchSnapshot, tables.ErrIncompatible, tables.ErrDefinition,
		tables.ErrRewritten, tables.ErrExpired, tables.ErrNoBranches, merge.ErrOptions,
	} {
		if errors.Is(err, class) {
			return true
		}
	}
	var (
		diagnostics spec.Diagnostics
		mistake     *compile.Mistake
		step        *transforms.StepError
		text        *expression.Error
		cardinality *merge.CardinalityError
		query       *sql.Error
	)
	switch {
	case errors.As(err, &query):
		return query.Kind != sql.Data && query.Kind != sql.Memory
	case errors.As(err, &diagnostics), errors.As(err, &mistake), errors.As(err, &step), errors.As(err, &text), errors.As(err, &cardinality):
		return true
	}
	return false
}

// isData tells the faults of the data, where the policy is to fail.
func isData(err error) bool {
	var (
		row         *rejected
		malformed   *sources.MalformedError
		broken      *sources.BrokenFileError
		columns     *sources.SchemaError
		expectation *transforms.ExpectationError
		computed    *expression.RowError
		null        *merge.NullError
		value       *merge.ValueError
		query       *sql.Error
		incomplete  *changes.NullError
		tie         *changes.TieError
		text        *datafile.TextError
	)
	switch {
	case errors.As(err, &incomplete), errors.As(err, &tie), errors.As(err, &text):
		return true
	case errors.As(err, &query):
		return query.Kind == sql.Data
	case errors.As(err, &row), errors.As(err, &malformed), errors.As(err, &broken), errors.As(err, &columns),
		errors.As(err, &expectation), errors.As(err, &computed), errors.As(err, &null), errors.As(err, &value):
		return true
	}
	return false
}

// panicked makes an error of a panic: a mistake in Varve, which another attempt does not mend but may pass by.
func panicked(name string, v any) error {
	return fmt.Errorf("%s: internal error: %v\n%s", name, v, clip(string(debug.Stack()), 4<<10))
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
