// Package patience gives up a peer on which nothing moves: one that is connected and neither takes what is sent nor sends
// what is waited for. Go's own time-outs either leave out the bodies or bound a whole request, however large it is.
package patience

import (
	"cmp"
	"fmt"
	"time"
)

// Default is how long a catalog or store may be silent. It is longer than the pauses of busy servers, since who is cut off
// while he works is asked to work again.
const Default = time.Minute

// Or is the given patience, or the default where none is given.
func Or(given time.Duration) time.Duration { return cmp.Or(given, Default) }

// Error says that a peer was silent for too long. It is a net.Error, and passing.
type Error struct{ After time.Duration }

func (e *Error) Error() string { return fmt.Sprintf("nothing moved for %s", e.After) }

// Timeout implements net.Error.
func (e *Error) Timeout() bool { return true }

// Temporary implements net.Error; clients of stores ask for it.
func (e *Error) Temporary() bool { return true }

// broken is an answer that ended before its end. Clients try it again, as they do what breaks before it begins.
type broken struct{ error }

func (e *broken) Unwrap() error { return e.error }
func (*broken) Timeout() bool   { return false }
func (*broken) Temporary() bool { return true }
