package spec

import "time"

// Pos is a place in a file, 1-based. The zero Pos is "no place".
type Pos struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// Text is a string as the file has it (after substitution), with the place where it stands.
type Text struct {
	Value string
	Pos   Pos

	origin *origin // nil for a Text that was not read from a file
}

func (t Text) String() string { return t.Value }

// Pipeline is one decoded file: defaults are applied, parameters substituted, units parsed, and every value keeps its place.
type Pipeline struct {
	Name        Text
	Description string
	Parameters  []Parameter
	Schedule    *Schedule
	Tables      []*Table // in the file's order
	Tests       []Test
	Digest      string // SHA-256 of the file's bytes, hexadecimal
	Pos         Pos
}

// Parameter is a value that a run may set; ${name} stands for it anywhere in a string.
type Parameter struct {
	Name    Text
	Type    string // string | int | float | bool | date | timestamp
	Default *string
	Value   string // the run's value, or else the default
	Doc     string

	given *Text // the default as it stands in the file
}

// Schedule says when Temporal starts the pipeline. Exactly one of Cron, Every and Calendar is set.
type Schedule struct {
	Cron          []Text
	Every         time.Duration
	Offset        time.Duration
	Calendar      []Calendar
	Timezone      string
	Overlap       string // skip | buffer_one | buffer_all | cancel_other | terminate_other | allow_all
	CatchupWindow time.Duration
	Jitter        time.Duration
	Paused        bool
	Pos           Pos
}

// Calendar names the seconds to fire at, as Temporal's ScheduleCalendarSpec does, each field in its string form ("*", "1-5", "*/2").
type Calendar struct {
	Second, Minute, Hour, DayOfMonth, Month, Year, DayOfWeek string
	Comment                                                  string
}

// Table is one table that the pipeline builds. Exactly one of Source, From and SQL says what it reads.
type Table struct {
	Name          Text // namespace.name; the namespace is the layer (bronze, silver, gold)
	Source        *Source
	From          *From
	SQL           *Text
	Engine        string // duckdb | trino; for SQL only
	Steps         []Step
	Columns       []Column
	Strict        bool   // only declared columns are kept
	SchemaMode    string // enforce | evolve | rescue
	Expect        []Expectation
	Write         Write
	PartitionBy   []Text // Iceberg transforms: identity column, days(ts), bucket(16, id), truncate(4, s), void(c)
	SortBy        []Text // column, column desc, zorder(a, b)
	Identifier    []Text // Iceberg's identifier fields
	Properties    map[string]string
	FormatVersion int
	Maintenance   *Maintenance
	Retain        *Retain
	Readers       []string
	Gate          bool
	Tags          []string
	Owner         string
	Doc           string
	Pos           Pos
}

// Source names files outside the lake.
type Source struct {
	Files      Text   // a glob, or a URI with one
	Format     string // csv | ndjson | parquet | avro | text | binary
	SchemaMode string // enforce | evolve | rescue
	Malformed  string // fail | drop | quarantine
	Options    SourceOptions
	Pos        Pos
}

// SourceOptions are the format's own settings; the zero value is each format's default.
type SourceOptions struct {
	Delimiter   string   // csv; one character, "," by default
	Header      *bool    // csv; true by default
	Quote       string   // csv; `"` by default
	NullValues  []string // csv; "" and "NA" by default
	SampleRows  int      // rows read of each sampled file for inference
	MaxFileSize int64    // bytes; binary's bound of a file
	MaxRowSize  int64    // bytes; bound of a line, text, csv, ndjson
	HiveColumns bool     // key=value folders of the path become columns
}

// From reads another table of the lake.
type From struct {
	Table Text
	Read  string // appends | changes | full
}

// Step is one row step; exactly one of its fields is set.
type Step struct {
	Filter *Text
	Derive []Assign
	Select []Text
	Rename []Assign // Name is the old name, Value the new
	Cast   []Assign // Value is the type
	Drop   []Text
	Dedupe *Dedupe
	Pos    Pos
}

// Assign is one `name: value` of a derive, rename, cast or update map.
type Assign struct {
	Name  Text
	Value Text
}

// Dedupe keeps one row of those with equal By values.
type Dedupe struct {
	By      []Text
	Keep    string // latest | earliest
	OrderBy []Text // column names
	Pos     Pos
}

// Column declares a column of the enforced schema.
type Column struct {
	Name     Text
	Type     *Text // nil keeps the inferred type
	Required bool
	Doc      string
}

// Expectation is a predicate that every row should fulfil.
type Expectation struct {
	Name      Text
	That      Text
	Otherwise string // warn | drop | quarantine | fail
}

// Write says how rows reach the table.
type Write struct {
	Mode       string // append | replace | replace_partitions | replace_where | merge | cdc
	Partitions []Text // replace_partitions by these columns; none: the table's own partitioning
	Where      *Text  // replace_where: a condition over the table's columns
	Merge      *Merge
	CDC        *CDC
	Pos        Pos
}

// Merge is SQL's MERGE: s is the source row, t the target row.
type Merge struct {
	On                     []Text // key columns, or
	Predicate              *Text  // an expression over s and t
	NullSafe               bool
	Strategy               string // copy-on-write | merge-on-read
	NewColumns             string // ignore | evolve | error: source columns that the target lacks
	WhenMatched            []Clause
	WhenNotMatched         []Clause
	WhenNotMatchedBySource []Clause
	Isolation              string // serializable | snapshot
	Pos                    Pos

	on on // On or Predicate, as read
}

// Clause is one WHEN; exactly one of Update, Insert and Delete is set.
type Clause struct {
	If     *Text
	Update *Assignments
	Insert *Assignments
	Delete bool
	Pos    Pos
}

// Assignments is "*" (All) or a map of column: expression.
type Assignments struct {
	All bool
	Set []Assign
}

// CDC is change data in short form; it expands to a Merge.
type CDC struct {
	Keys       []Text
	SequenceBy []Text
	Ties       string // fail | first | last
	DeleteWhen *Text
	Tombstones time.Duration
	History    string // scd1 | scd2
	Except     []Text
	Strategy   string // copy-on-write | merge-on-read
	Pos        Pos
}

// Maintenance is the table's policy.
type Maintenance struct {
	Every            time.Duration
	Compact          *Compact
	MergeDeletes     *MergeDeletes
	RemoveDangling   *RemoveDangling
	RewriteManifests *RewriteManifests
	ExpireSnapshots  *Expire
	RemoveOrphans    *Orphans
	Pos              Pos
}

type Compact struct {
	Strategy       string // binpack | sort | zorder
	Columns        []Text // "term [desc] [nulls first|nulls last]"
	TargetFileSize int64  // bytes
	MinFileSize    int64  // bytes; 0 is three quarters of TargetFileSize
	MinInputFiles  int
	DeleteRatio    float64 // above 0, up to 1
	DeleteFiles    int
	CleanBytes     int64
	MaxDepth       float64 // 0 is not said
	AfterFiles     int
	MaxBytes       int64         // 0 is no bound
	MaxTime        time.Duration // 0 is no bound
	Pos            Pos

	ownOrder bool // it sorts by the table's sort_by
}

type MergeDeletes struct{ MinInputFiles int }

type RemoveDangling struct{ MinFiles int }

type RewriteManifests struct {
	TargetSize        int64 // bytes
	MinInputManifests int
}

type Expire struct {
	OlderThan time.Duration
	KeepLast  int
}

type Orphans struct{ OlderThan time.Duration }

// Retain bounds the age of rows.
type Retain struct {
	Column Text
	For    time.Duration
}

// Test is one declared test: given rows of the tables read, the rows expected of the tables built. A given table whose
// name ends in SourceSuffix stands for the files of the table before the suffix.
type Test struct {
	Name   Text
	Given  map[string][]map[string]any
	Expect map[string][]map[string]any
	Pos    Pos

	given, expect rows // Given and Expect, as read
}

// SourceSuffix ends the name under which a test gives what a table's files hold.
const SourceSuffix = "__source"

// GivenAt is the place of a row, by its index, that is given for a table, or with -1 that of the table's name.
func (t *Test) GivenAt(table string, row int) Pos { return t.given.at(table, row, t.Pos) }

// ExpectAt is the same of the rows expected.
func (t *Test) ExpectAt(table string, row int) Pos { return t.expect.at(table, row, t.Pos) }
