package spec

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// The language of a pipeline file. Each key stands here or in a language_*.go once, with its shape, default and
// documentation; the decoder, the JSON Schema and the reference all come from it.

var pipelineLanguage = define("pipeline",
	"One file declares one pipeline. Its tables form a graph by what they read; a run builds them in that order, independent ones side by side.",
	field("pipeline", aPipelineName, func(p *Pipeline) *Text { return &p.Name },
		"The pipeline's name, by which it is run.", required, example("flights")),
	field("description", aString, func(p *Pipeline) *string { return &p.Description },
		"What the pipeline is for.", example("New York departures, from carrier files to daily punctuality.")),
	field("parameters", parametersShape, func(p *Pipeline) *[]Parameter { return &p.Parameters },
		"Values that a run may set. `${name}` stands for a parameter's value in any value of the file but those of `parameters` itself.",
		example("{landing: {type: string, default: pipelines/data/flights}}")),
	field("schedule", optional(scheduleLanguage.shape()), func(p *Pipeline) **Schedule { return &p.Schedule },
		"When the pipeline runs by itself: a Temporal Schedule, made by `trigger apply`."),
	field("defaults", defaultsShape, func(p *Pipeline) *struct{} { return &struct{}{} },
		"Any key of a table, for every table that does not give it. A table's own key replaces the default whole; only `properties` are merged, name by name. "+
			"A table with `source`, `from` or `sql` of its own ignores those of the defaults."),
	field("tables", nonEmpty(tablesShape), func(p *Pipeline) *[]*Table { return &p.Tables },
		"The tables that the pipeline builds, by name. A name is namespace.name; the namespace is the layer (bronze, silver, gold).", required),
	field("tests", testsShape, func(p *Pipeline) *[]Test { return &p.Tests },
		"Declared tests, run by `trigger test` with no server and no files. A run of the pipeline does not look at them."),
).at(func(p *Pipeline) *Pos { return &p.Pos }).checked(checkPipeline)

var parameterLanguage = define("parameter",
	"A value that a run may set.",
	field("type", enum(
		value{name: "string", doc: "any text"},
		value{name: "int", doc: "a whole number of 64 bits"},
		value{name: "float", doc: "a number"},
		value{name: "bool", doc: "true or false"},
		value{name: "date", doc: "a day, as 2013-01-31"},
		value{name: "timestamp", doc: "a moment, as 2013-01-31T06:00:00Z"},
	), func(p *Parameter) *string { return &p.Type }, "The type, against which the default and a run's value are checked.", initial("string")),
	field("default", optional(aLiteral), func(p *Parameter) **Text { return &p.given },
		"The value of a run that sets none. Without a default every run must set one.", example("pipelines/data/flights")),
	field("doc", aString, func(p *Parameter) *string { return &p.Doc }, "What the parameter is for."),
)

// parametersShape reads parameters while none can be referred to.
var parametersShape = func() shape[[]Parameter] {
	maps := named("a map of parameters by name", aName, parameterLanguage.shape())
	return shape[[]Parameter]{maps.kind, func(d *decoder, n *yaml.Node, out *[]Parameter) {
		saved := d.parameters
		d.parameters = nil
		defer func() { d.parameters = saved }()
		var entries []entry[Parameter]
		maps.decode(d, n, &entries)
		for _, e := range entries {
			e.Value.Name = e.Name
			if e.Value.given != nil {
				text := e.Value.given.Value
				e.Value.Default = &text
			}
			*out = append(*out, e.Value)
		}
	}}
}()

var scheduleLanguage = define("schedule",
	"When a pipeline runs by itself. The policies have Temporal's names and meanings.",
	field("cron", union("a cron line, or a list of them",
		as(yaml.ScalarNode, aCron, func(out *[]Text, v Text) { *out = []Text{v} }),
		as(yaml.SequenceNode, nonEmpty(list("a list of cron lines", aCron)), func(out *[]Text, v []Text) { *out = v }),
	), func(s *Schedule) *[]Text { return &s.Cron },
		"Cron lines of five fields (minute, hour, day of month, month, day of week), of six with a year behind, or of seven with seconds in front as well; `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. "+
			"Day of month and day of week must both hold. Names of months and days may be used.", example(`"15 * * * *"`)),
	field("every", aDuration(time.Second), func(s *Schedule) *time.Duration { return &s.Every },
		"A fixed interval, counted from the Unix epoch.", example("15m")),
	field("offset", aDuration(0), func(s *Schedule) *time.Duration { return &s.Offset },
		"Shifts the intervals of `every`.", example("5m")),
	field("calendar", union("a calendar, or a list of them",
		as(yaml.MappingNode, calendarLanguage.shape(), func(out *[]Calendar, v Calendar) { *out = []Calendar{v} }),
		as(yaml.SequenceNode, nonEmpty(list("a list of calendars", calendarLanguage.shape())), func(out *[]Calendar, v []Calendar) { *out = v }),
	), func(s *Schedule) *[]Calendar { return &s.Calendar },
		"Calendars as Temporal has them: the pipeline starts at the seconds at which all fields of one hold.", example(`{hour: "6", day_of_week: 1-5}`)),
	field("timezone", aTimezone, func(s *Schedule) *string { return &s.Timezone },
		"The IANA time zone of cron lines and calendars.", initial("UTC"), example("America/New_York")),
	field("overlap", enum(
		value{name: "skip", doc: "the new run does not start"},
		value{name: "buffer_one", doc: "it waits; at most one does"},
		value{name: "buffer_all", doc: "it waits, as do all others"},
		value{name: "cancel_other", doc: "the running one is cancelled, then the new one starts"},
		value{name: "terminate_other", doc: "the running one is terminated, and the new one starts"},
		value{name: "allow_all", doc: "both run; commits keep them apart"},
	), func(s *Schedule) *string { return &s.Overlap }, "What happens when a run is due and the last one has not ended.", initial("skip")),
	field("catchup_window", aDuration(10*time.Second), func(s *Schedule) *time.Duration { return &s.CatchupWindow },
		"How late a missed start is made up for, after the server was down.", initial("1h")),
	field("jitter", aDuration(0), func(s *Schedule) *time.Duration { return &s.Jitter },
		"Starts are spread at random over this time.", initial("0s"), example("30s")),
	field("paused", aBoolean, func(s *Schedule) *bool { return &s.Paused },
		"The schedule exists but starts nothing.", initial("false")),
).at(func(s *Schedule) *Pos { return &s.Pos }).
	rule(exactlyOne, "cron", "every", "calendar").
	rule(needs, "offset", "every")

var calendarLanguage = define("calendar",
	"The fields of a calendar take `*`, a value, a range `1-5`, steps `*/15`, and lists of them with commas; months and days of the week also take names.",
	field("second", aCalendarField(cronSecond), func(c *Calendar) *string { return &c.Second }, "0 to 59.", initial("0")),
	field("minute", aCalendarField(cronMinute), func(c *Calendar) *string { return &c.Minute }, "0 to 59.", initial("0")),
	field("hour", aCalendarField(cronHour), func(c *Calendar) *string { return &c.Hour }, "0 to 23.", initial("0"), example("6,18")),
	field("day_of_month", aCalendarField(cronDay), func(c *Calendar) *string { return &c.DayOfMonth }, "1 to 31.", initial("*")),
	field("month", aCalendarField(cronMonth), func(c *Calendar) *string { return &c.Month }, "1 to 12, or a name.", initial("*"), example("jan-mar")),
	field("year", aCalendarField(cronYear), func(c *Calendar) *string { return &c.Year }, "2000 to 2100.", initial("*")),
	field("day_of_week", aCalendarField(cronWeekday), func(c *Calendar) *string { return &c.DayOfWeek }, "0 (Sunday) to 7 (also Sunday), or a name.", initial("*"), example("mon-fri")),
	field("comment", aString, func(c *Calendar) *string { return &c.Comment }, "A note, shown by Temporal."),
)

// tablesShape reads the tables with the defaults put in.
var tablesShape = func() shape[[]*Table] {
	tables := named("a map of tables by name", aTable, shape[*Table]{tableLanguage.kind, decodeTable})
	return shape[[]*Table]{tables.kind, func(d *decoder, n *yaml.Node, out *[]*Table) {
		var entries []entry[*Table]
		tables.decode(d, n, &entries)
		for _, e := range entries {
			if e.Value != nil {
				e.Value.Name = e.Name
				*out = append(*out, e.Value)
			}
		}
	}}
}()

// decodeTable reads one table, to which the defaults' keys are added that it does not have.
func decodeTable(d *decoder, n *yaml.Node, out **Table) {
	*out = &Table{}
	tableLanguage.decode(d, d.inherit(n), *out)
}

// sources are the keys that say what a table reads: one of its own drives out all of the defaults'.
var sources = []string{"source", "from", "sql"}

func (d *decoder) inherit(n *yaml.Node) *yaml.Node {
	if d.defaults == nil || n.Kind != yaml.MappingNode {
		return n
	}
	own := map[string]member{}
	reads := false
	for _, m := range d.members(n) {
		own[m.name] = m
		reads = reads || slices.Contains(sources, m.name)
	}
	theirs := map[string]member{}
	for _, m := range d.members(d.defaults) {
		theirs[m.name] = m
	}
	merged := *n
	merged.Content = slices.Clone(n.Content)
	for _, m := range d.members(d.defaults) {
		mine, given := own[m.name]
		switch {
		case reads && slices.Contains(sources, m.name):
		case !given && lacksCompany(m.name, own, theirs):
		case !given:
			merged.Content = append(merged.Content, m.key, m.value)
		case m.name == "properties":
			replaceValue(&merged, mine.key, d.mergeMaps(m.value, mine.value))
		}
	}
	return &merged
}

// lacksCompany reports a default whose table has not the key beside which alone it goes: it does not apply there.
func lacksCompany(name string, own, theirs map[string]member) bool {
	for _, r := range tableLanguage.kind.object.rules {
		if r.what == needs && r.keys[0] == name {
			_, mine := own[r.keys[1]]
			_, given := theirs[r.keys[1]]
			return !mine && (!given || slices.Contains(sources, r.keys[1]))
		}
	}
	return false
}

func replaceValue(n *yaml.Node, key, value *yaml.Node) {
	if i := slices.Index(n.Content, key); i >= 0 {
		n.Content[i+1] = value
	}
}

// mergeMaps adds to own the members of base that it does not have.
func (d *decoder) mergeMaps(base, own *yaml.Node) *yaml.Node {
	base, own = d.follow(base), d.follow(own)
	if base == nil || own == nil || base.Kind != yaml.MappingNode || own.Kind != yaml.MappingNode {
		return own
	}
	has := map[string]bool{}
	for _, m := range d.members(own) {
		has[m.name] = true
	}
	merged := *own
	merged.Content = slices.Clone(own.Content)
	for _, m := range d.members(base) {
		if !has[m.name] {
			merged.Content = append(merged.Content, m.key, m.value)
		}
	}
	return &merged
}

// defaultsShape checks the defaults as a table of which nothing is required.
var defaultsShape = shape[struct{}]{tableLanguage.kind, func(d *decoder, n *yaml.Node, _ *struct{}) {
	d.partial = true
	tableLanguage.decode(d, n, &Table{})
	d.partial = false
}}

var testLanguage = define("test",
	"Rows given to the tables that are read, and the rows expected in tables that are built.",
	field("name", textLike("a name", "", nil), func(t *Test) *Text { return &t.Name },
		"What the test shows.", required, example("the newest record of a flight wins")),
	field("given", rowsShape, func(t *Test) *rows { return &t.given },
		"Rows by table: what these tables hold. `<table>__source` stands for what a table's files hold. A column that a row does not name is null.", example("{bronze.flights: [{carrier: UA, flight: 1}]}")),
	field("expect", rowsShape, func(t *Test) *rows { return &t.expect },
		"All rows of these tables after the run, in any order. Of a row only the columns that it names are compared. `<table>__quarantine` has the rows that were refused.", required, example("{silver.flights: [{flight_id: UA1}]}")),
).at(func(t *Test) *Pos { return &t.Pos }).checked(func(_ *decoder, _ keys, t *Test) {
	t.Given, t.Expect = t.given.byTable(), t.expect.byTable()
})

var testsShape = list("a list of tests", testLanguage.shape())

// rows are a test's rows by table.
type rows []entry[[]row]

// row is one row and where it stands.
type row struct {
	values map[string]any
	pos    Pos
}

func (r rows) byTable() map[string][]map[string]any {
	out := make(map[string][]map[string]any, len(r))
	for _, e := range r {
		values := make([]map[string]any, len(e.Value))
		for i, row := range e.Value {
			values[i] = row.values
		}
		out[e.Name.Value] = values
	}
	return out
}

// at is where a row stands, or with -1 the name of its table.
func (r rows) at(table string, row int, otherwise Pos) Pos {
	for _, e := range r {
		switch {
		case e.Name.Value != table:
		case row >= 0 && row < len(e.Value):
			return e.Value[row].pos
		default:
			return e.Name.Pos
		}
	}
	return otherwise
}

var rowsShape = func() shape[rows] {
	tables := named("a map of rows by table", aTable, list("a list of rows", aRow))
	return shape[rows]{tables.kind, func(d *decoder, n *yaml.Node, out *rows) {
		tables.decode(d, n, (*[]entry[[]row])(out))
	}}
}()

var aRow = shape[row]{
	&kind{label: "a row, as a map of values by column", scalar: map[string]any{"type": "object"}},
	func(d *decoder, n *yaml.Node, out *row) {
		if n.Kind != yaml.MappingNode {
			d.mismatch(n, n.Value, "a row, as a map of values by column")
			return
		}
		out.pos = d.pos(n)
		out.values, _ = d.data(n, 0).(map[string]any)
	},
}
