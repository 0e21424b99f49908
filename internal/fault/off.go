//go:build !faults

package fault

import "net/http"

// Point does nothing in this build.
func Point(string) {}

// Before does nothing in this build.
func Before(op, at string) {}

// After does nothing in this build.
func After(op, at string) {}

// Sending does nothing in this build.
func Sending(*http.Request) {}

// Answered does nothing in this build.
func Answered(*http.Request) {}

// Client is the client itself in this build.
func Client(c Doer) Doer { return c }
