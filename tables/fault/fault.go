// Package fault holds the classes of errors that the lake's catalogs and stores answer with.
//
// An error is classed once, where the foreign library returns it (tables/catalog, tables/store). Everything above
// branches on the class with errors.Is, and never reads the text.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// The classes. An error of the lake wraps at most one of them.
var (
	// ErrConflict: what the commit required of the table is no longer so. Nothing was changed. The committer looks at
	// the new head and decides again.
	ErrConflict = errors.New("conflict")
	// ErrUnknownOutcome: the answer was lost; the change may or may not have happened. The committer looks for its
	// token before anything else, and no file is deleted until it is known.
	ErrUnknownOutcome = errors.New("unknown outcome")
	// ErrAbsent: the table, namespace or file is not there.
	ErrAbsent = errors.New("absent")
	// ErrDenied: the credentials or permissions do not allow it. Trying again does not help.
	ErrDenied = errors.New("denied")
	// ErrPassing: the other side is busy or unreachable and nothing was changed. Trying again later helps.
	ErrPassing = errors.New("passing fault")
)

// Error is an error with its class and what was attempted.
type Error struct {
	Class error  // one of this package's sentinels
	Op    string // what was attempted on what, "commit silver.flights"
	Err   error  // the foreign error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v: %v", e.Op, e.Class, e.Err) }

// Unwrap gives the class and the foreign error, so that errors.Is finds both.
func (e *Error) Unwrap() []error { return []error{e.Class, e.Err} }

// New classes err. It returns nil for a nil err, and an err that already has a class unchanged but for op.
func New(class error, op string, err error) error {
	if err == nil {
		return nil
	}
	if class == nil || Class(err) != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return &Error{Class: class, Op: op, Err: err}
}

// Class returns the sentinel that err wraps, or nil.
func Class(err error) error {
	for _, c := range []error{ErrUnknownOutcome, ErrConflict, ErrAbsent, ErrDenied, ErrPassing} {
		if errors.Is(err, c) {
			return c
		}
	}
	return nil
}

// Cancelled tells whether err comes from the caller's own context.
func Cancelled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// final is an error of a request of which nothing is under way any more.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// Final marks an error of a request that certainly had no effect and comes to have none: it was never sent, or there is nothing on its
// way that could have sent a second copy. An answer over HTTP is not final: a proxy that lost patience sends a request once more, and
// the answer is that to the second copy, while the first one may still be carried out.
func Final(err error) error {
	if err == nil || Class(err) == ErrUnknownOutcome || Cancelled(err) {
		return err
	}
	return final{err}
}

// IsFinal tells whether an error is one that Final has marked.
func IsFinal(err error) bool { return errors.As(err, new(final)) }
