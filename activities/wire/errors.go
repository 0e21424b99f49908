package wire

// The types of application errors, one for each class of failure. Activities set them in one place (activities'
// errors.go); workflows and the CLI branch on them.
const (
	// ErrUser is the user's mistake: an unknown column, a type error, a merge that matches a row twice.
	ErrUser = "UserError"
	// ErrData is the data's fault where the policy is to fail.
	ErrData = "DataError"
	// ErrDenied says that credentials or permissions are not enough.
	ErrDenied = "Denied"
	// ErrSuperseded says that what the build was planned from has changed: another run committed first, a file changed.
	// The build begins anew.
	ErrSuperseded = "Superseded"
	// ErrConflict says that a commit lost against others too often. It is tried again.
	ErrConflict = "Conflict"
	// ErrPassing is a fault of the outer world that may pass. It is tried again.
	ErrPassing = "PassingFault"
	// ErrInternal is an error without a class. It is tried a few times.
	ErrInternal = "InternalError"
	// ErrTablesFailed is a run's own failure, after all that could be built was built.
	ErrTablesFailed = "TablesFailed"
	// ErrMaintenance is a maintenance's own failure, after all of it that could be done was done.
	ErrMaintenance = "MaintenanceFailed"
)

// NonRetryable lists the types for which trying again is no use.
var NonRetryable = []string{ErrUser, ErrData, ErrDenied, ErrSuperseded}
