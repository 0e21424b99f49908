// Package plan holds the Plan: what a run of a pipeline does, decided before it starts.
//
// A Plan is immutable, versioned and serialisable; the same inputs give the same bytes. It names no secret. It is pure
// data, so that workflows can interpret it; package plan/compile makes it.
package plan

// Version is the version of the Plan's JSON form. A worker refuses a plan of a later version.
const Version = 1

// Plan is a DAG of table builds.
type Plan struct {
	Version     int               `json:"version"`
	Pipeline    string            `json:"pipeline"`
	Description string            `json:"description,omitempty"`
	File        string            `json:"file"`
	Digest      string            `json:"digest"` // SHA-256 of the pipeline file
	Parameters  map[string]string `json:"parameters,omitempty"`
	Environment string            `json:"environment"`
	Tables      []Table           `json:"tables"` // topological order, ties in the file's order
	Warnings    []string          `json:"warnings,omitempty"`
}

// Table is one build. Exactly one of Files, From and SQL is set.
type Table struct {
	Name  string   `json:"name"`  // namespace.name
	Layer string   `json:"layer"` // the namespace
	After []string `json:"after,omitempty"`

	Files *Files `json:"files,omitempty"`
	From  *From  `json:"from,omitempty"`
	SQL   *SQL   `json:"sql,omitempty"`

	// Dormant says that no file matched and the table exists: there is nothing to read, Columns are the table's own,
	// and the steps are not checked.
	Dormant bool          `json:"dormant,omitempty"`
	Input   []Column      `json:"input,omitempty"` // columns before the steps
	Steps   []Step        `json:"steps,omitempty"` // in order
	Rows    []Column      `json:"rows,omitempty"`  // of a merge, or of what cdc expands to: the columns of s, in their enforced types
	Columns []Column      `json:"columns"`         // the table's columns: the enforced schema
	Expect  []Expectation `json:"expect,omitempty"`
	// Malformed is the policy for rows that a step, or the enforced schema, cannot take: fail | drop | quarantine.
	Malformed string `json:"malformed"`
	// Quarantine names the table that takes rejected rows; empty if no policy can send any there.
	Quarantine string `json:"quarantine,omitempty"`

	Write         Write             `json:"write"`
	SchemaMode    string            `json:"schema_mode"` // enforce | evolve | rescue
	Strict        bool              `json:"strict,omitempty"`
	PartitionBy   []string          `json:"partition_by,omitempty"`
	SortBy        []string          `json:"sort_by,omitempty"`
	Identifier    []string          `json:"identifier,omitempty"`
	Properties    map[string]string `json:"properties,omitempty"`
	FormatVersion int               `json:"format_version"`
	Doc           string            `json:"doc,omitempty"`
	Owner         string            `json:"owner,omitempty"`
	Tags          []string          `json:"tags,omitempty"`
	Maintenance   *Maintenance      `json:"maintenance,omitempty"`
}

// Column is a named, typed column. Type is in Iceberg's notation, as internal/columntype reads it.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required,omitempty"`
	Doc      string `json:"doc,omitempty"`
}

// Files reads files outside the lake, each once.
type Files struct {
	Glob        string   `json:"glob"`
	Format      string   `json:"format"`
	SchemaMode  string   `json:"schema_mode"`
	Malformed   string   `json:"malformed"`
	Declared    []Column `json:"declared,omitempty"` // types that override inference
	Delimiter   string   `json:"delimiter,omitempty"`
	Quote       string   `json:"quote,omitempty"`
	NoHeader    bool     `json:"no_header,omitempty"`
	NullValues  []string `json:"null_values,omitempty"`
	SampleRows  int      `json:"sample_rows,omitempty"`
	MaxFileSize int64    `json:"max_file_size,omitempty"`
	MaxRowSize  int64    `json:"max_row_size,omitempty"`
	HiveColumns bool     `json:"hive_columns,omitempty"`
}

// From reads a table of the lake.
type From struct {
	Table string `json:"table"`
	Read  string `json:"read"` // appends | full
}

// SQL is a query over tables of the lake.
type SQL struct {
	Query  string   `json:"query"`
	Engine string   `json:"engine"`
	Reads  []string `json:"reads"` // the tables that it names, sorted
}

// Step is one row step; exactly one field is set.
type Step struct {
	Filter string   `json:"filter,omitempty"`
	Derive []Assign `json:"derive,omitempty"`
	Select []string `json:"select,omitempty"`
	Rename []Assign `json:"rename,omitempty"`
	Cast   []Assign `json:"cast,omitempty"`
	Drop   []string `json:"drop,omitempty"`
	Dedupe *Dedupe  `json:"dedupe,omitempty"`
}

// Assign is one `name: value` of a step or clause.
type Assign struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Dedupe keeps one row of those with equal By values.
type Dedupe struct {
	By      []string `json:"by"`
	Keep    string   `json:"keep"` // latest | earliest
	OrderBy []string `json:"order_by,omitempty"`
}

// Expectation is a predicate that every row should fulfil.
type Expectation struct {
	Name      string `json:"name"`
	That      string `json:"that"`
	Otherwise string `json:"otherwise"` // warn | drop | quarantine | fail
}

// Write says how rows reach the table.
type Write struct {
	Mode       string   `json:"mode"` // append | replace | replace_partitions | replace_where | merge | cdc
	Partitions []string `json:"partitions,omitempty"`
	Where      string   `json:"where,omitempty"`
	Merge      *Merge   `json:"merge,omitempty"` // of cdc: what it expands to
	CDC        *CDC     `json:"cdc,omitempty"`
}

// Merge is SQL's MERGE over s (source) and t (target).
type Merge struct {
	On                     []string `json:"on,omitempty"`
	Predicate              string   `json:"predicate,omitempty"` // as written
	Pairs                  []Pair   `json:"pairs,omitempty"`     // the predicate's equalities of columns
	Residual               string   `json:"residual,omitempty"`  // what else the predicate asks for
	NullSafe               bool     `json:"null_safe,omitempty"`
	Strategy               string   `json:"strategy"`
	NewColumns             string   `json:"new_columns,omitempty"`
	Isolation              string   `json:"isolation,omitempty"`
	WhenMatched            []Clause `json:"when_matched,omitempty"`
	WhenNotMatched         []Clause `json:"when_not_matched,omitempty"`
	WhenNotMatchedBySource []Clause `json:"when_not_matched_by_source,omitempty"`
}

// Pair equates a source column with a target column.
type Pair struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// Clause is one WHEN. Action is update, insert or delete; All stands for "*".
type Clause struct {
	If     string   `json:"if,omitempty"`
	Action string   `json:"action"`
	All    bool     `json:"all,omitempty"`
	Set    []Assign `json:"set,omitempty"`
}
