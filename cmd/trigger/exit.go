package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/tables"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1   // the run, or a table of it, failed; or another error
	exitUsage       = 2   // the command line is wrong
	exitMistake     = 3   // the pipeline or project file has mistakes, or a name is not known
	exitUnreachable = 4   // the Temporal server or the catalog does not answer
	exitDifference  = 5   // apply --check: the schedules differ from the files
	exitInterrupted = 130 // interrupted; the run goes on where it is durable
)

const exitText = `Exit codes:
  0    done
  1    the run, or a table of it, failed; or another error
  2    the command line is wrong
  3    a pipeline or project file has mistakes, or names what is not there
  4    the Temporal server or the catalog does not answer
  5    apply --check: the schedules differ from the files
  130  interrupted
`

func newExitCodes() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitText, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(c.OutOrStdout(), exitText)
			return err
		}}
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// codedError gives an error its exit code.
type codedError struct {
	error
	code int
}

func (e codedError) Unwrap() error { return e.error }

// silentError ends the command with a code; what there was to say is said.
type silentError struct{ code int }

func (e silentError) Error() string { return "" }

func isSilent(err error) bool {
	var s silentError
	return errors.As(err, &s)
}

func exitCode(ctx context.Context, err error) int {
	var (
		silent      silentError
		coded       codedError
		usage       usageError
		diagnostics spec.Diagnostics
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &silent):
		return silent.code
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &diagnostics):
		return exitMistake
	case errors.As(err, &usage), isCobraUsage(err):
		return exitUsage
	case errors.Is(err, tables.ErrPassing):
		return exitUnreachable
	}
	return exitFailed
}

// isCobraUsage knows the errors that cobra makes itself, which have no type.
func isCobraUsage(err error) bool {
	for _, s := range []string{"unknown command", "accepts ", "requires at least", "unknown flag", "required flag"} {
		if strings.HasPrefix(err.Error(), s) {
			return true
		}
	}
	return false
}

// describe is what a person reads: diagnostics as they are, everything else with a prefix.
func describe(err error) string {
	var diagnostics spec.Diagnostics
	if errors.As(err, &diagnostics) {
		return diagnostics.Error()
	}
	return "trigger: " + err.Error()
}
