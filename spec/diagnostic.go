package spec

// Severity orders diagnostics; only an Error stops a compilation.
type Severity int

const (
	Error Severity = iota
	Warning
)

// Diagnostic is one finding in a file: what was found, what was expected, and the nearest known name.
type Diagnostic struct {
	Pos
	Severity Severity
	Message  string
	Hint     string
	Source   string // the line of the file, for display; may be empty
}

// Diagnostics are all findings of one file. As an error it prints each in the form
//
//	pipelines/flights.yaml:31:18: error: column "tailnumm" is not in bronze.flights
//	   | filter: tailnumm != nil
//	   |         ^ did you mean "tailnum"?
type Diagnostics []Diagnostic
