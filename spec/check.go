package spec

import (
	"path"
	"slices"
	"strings"
)

// Checks between keys that no rule of an object says. They run on what was read, mistakes included, so they bear zero
// values and do not report a second time what a shape has reported.

func checkPipeline(d *decoder, _ keys, p *Pipeline) {
	names := make([]string, len(p.Tables))
	first := map[string]Text{}
	for i, t := range p.Tables {
		names[i] = t.Name.Value
		folded := strings.ToLower(t.Name.Value)
		if before, again := first[folded]; again {
			d.fail(t.Name.Pos, "table %q is declared twice: %q stands on line %d, and names are compared without case", t.Name.Value, before.Value, before.Pos.Line)
		} else {
			first[folded] = t.Name
		}
	}
	for _, t := range p.Tables {
		if base, found := strings.CutSuffix(t.Name.Value, quarantineSuffix); found {
			d.fail(t.Name.Pos, "table %q: names that end in %s are kept for the refused rows of a table, here of %s", t.Name.Value, quarantineSuffix, base)
		}
		if base, found := strings.CutSuffix(t.Name.Value, SourceSuffix); found {
			d.fail(t.Name.Pos, "table %q: names that end in %s are kept for the files of a table in tests, here of %s", t.Name.Value, SourceSuffix, base)
		}
	}
	var tests []Text
	for _, test := range p.Tests {
		tests = append(tests, test.Name)
		checkTest(d, p, names, test)
	}
	refuseTwice(d, "test", tests)
}

// checkTest checks the tables that a test names. Given ones may be of the lake.
func checkTest(d *decoder, p *Pipeline, names []string, test Test) {
	for _, e := range test.expect {
		base := strings.TrimSuffix(e.Name.Value, quarantineSuffix)
		if !slices.Contains(names, base) {
			d.failHint(e.Name.Pos, didYouMean(base, names), "table %q is not built by this pipeline", shorten(base))
		}
	}
	for _, e := range test.given {
		base, found := strings.CutSuffix(e.Name.Value, SourceSuffix)
		if !found {
			continue
		}
		switch i := slices.Index(names, base); {
		case i < 0:
			d.failHint(e.Name.Pos, didYouMean(base, names), "%q stands for the files of %q, which is not built by this pipeline", shorten(e.Name.Value), shorten(base))
		case p.Tables[i].Source == nil && (p.Tables[i].From != nil || p.Tables[i].SQL != nil):
			d.fail(e.Name.Pos, "%q stands for the files of %q, which reads none", shorten(e.Name.Value), shorten(base))
		}
	}
}

func checkTable(d *decoder, m keys, t *Table) {
	settleSchemaMode(d, m, t)
	if t.SQL != nil && t.Engine == "" {
		t.Engine = "duckdb"
	}
	if t.Gate {
		d.fail(m.keyPos(d, "gate"), "gate is not yet supported")
	}
	if t.Strict && !m.has("columns") {
		if !d.inherited(m, "strict") {
			d.fail(m.keyPos(d, "strict"), `"strict" goes only with "columns"`)
		}
		t.Strict = false
	}
	settleWrite(d, m, t)
	if t.Maintenance != nil {
		checkClustering(d, m, t)
	}
	refuseTwice(d, "partition field", t.PartitionBy)
	refuseTwice(d, "sort term", t.SortBy)
	refuseTwice(d, "column", t.Identifier)
	names := make([]Text, len(t.Expect))
	for i, e := range t.Expect {
		names[i] = e.Name
	}
	refuseTwice(d, "expectation", names)
}

// checkClustering checks that there is something to sort by.
func checkClustering(d *decoder, m keys, t *Table) {
	c := t.Maintenance.Compact
	if c == nil || !c.ownOrder || len(t.SortBy) > 0 || m.has("sort_by") {
		return
	}
	d.fail(c.Pos, "strategy sort needs columns: the table has no sort_by")
}

// settleSchemaMode gives the table and its source each the other's mode where only one is given.
func settleSchemaMode(d *decoder, m keys, t *Table) {
	if t.Source == nil {
		if t.SchemaMode == "rescue" && !d.inherited(m, "schema_mode") {
			d.fail(m.pos(d, "schema_mode"), "schema_mode rescue goes only with a source of files")
		}
		if t.SchemaMode == "" || t.SchemaMode == "rescue" {
			t.SchemaMode = "enforce"
		}
		return
	}
	switch {
	case t.Source.SchemaMode == "" && t.SchemaMode == "":
		t.Source.SchemaMode, t.SchemaMode = "evolve", "evolve"
	case t.Source.SchemaMode == "":
		t.Source.SchemaMode = t.SchemaMode
	case t.SchemaMode == "" || d.inherited(m, "schema_mode"):
		t.SchemaMode = t.Source.SchemaMode
	}
}

// inherited reports that the table has a key from the defaults.
func (d *decoder) inherited(m keys, name string) bool {
	found, ok := m.members[name]
	return ok && d.defaults != nil && slices.Contains(d.defaults.Content, found.key)
}

// settleWrite sets what depends on how the table is written, and warns of what repeats or loses rows.
func settleWrite(d *decoder, m keys, t *Table) {
	replaces := t.Write.Mode == "replace" || t.Write.Mode == "replace_partitions" || t.Write.Mode == "replace_where"
	if t.From != nil {
		switch {
		case t.From.Read == "" && replaces:
			t.From.Read = "full"
		case t.From.Read == "":
			t.From.Read = "appends"
		case t.From.Read == "appends" && replaces:
			d.warn(m.pos(d, "from"), "write %s with read: appends keeps only the rows added since the last run", t.Write.Mode)
		case t.From.Read == "full" && t.Write.Mode == "append":
			d.warn(m.pos(d, "from"), "write append with read: full adds all rows again whenever %s changes", t.From.Table.Value)
		}
	}
	if t.SQL != nil && t.Write.Mode == "append" {
		d.warn(m.pos(d, "write"), "write append with sql adds the query's whole result again whenever a table that it reads changes")
	}
	if t.Write.Mode == "replace_partitions" && len(t.PartitionBy) == 0 && !m.has("partition_by") {
		d.fail(m.pos(d, "write"), "replace_partitions needs a table with partition_by")
	}
	if merge := t.Write.Merge; merge != nil && merge.NewColumns == "" {
		merge.NewColumns = "ignore"
		if t.SchemaMode == "evolve" {
			merge.NewColumns = "evolve"
		}
	}
}

func checkMerge(d *decoder, m keys, merge *Merge) {
	merge.On, merge.Predicate = merge.on.columns, merge.on.predicate
	refuseTwice(d, "column", merge.On)
	given := m.has("when_matched") || m.has("when_not_matched") || m.has("when_not_matched_by_source")
	clauses := len(merge.WhenMatched) + len(merge.WhenNotMatched) + len(merge.WhenNotMatchedBySource)
	if clauses == 0 && !(given && len(d.found) > 0) {
		d.failHint(m.owner, `an upsert is when_matched: [{update: "*"}] and when_not_matched: [{insert: "*"}]`,
			"merge has no clause: it would do nothing")
	}
}

// suffixes tell a file's format, after that of its compression.
var suffixes = map[string]string{
	".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet", ".avro": "avro", ".txt": "text", ".log": "text",
}

// compressions are the suffixes of compressed files.
var compressions = []string{".gz", ".zst"}

func checkSource(d *decoder, m keys, s *Source) {
	if s.Format == "" && !m.has("format") && s.Files.Value != "" {
		name := strings.ToLower(s.Files.Value)
		for _, c := range compressions {
			name = strings.TrimSuffix(name, c)
		}
		if s.Format = suffixes[path.Ext(name)]; s.Format == "" {
			d.fail(s.Files.Pos, "the suffix of %q tells no format: add format: csv, ndjson, parquet, avro, text or binary", shorten(s.Files.Value))
		}
	}
	if s.Format == "" {
		return
	}
	var options keys
	if o, ok := m.members["options"]; ok {
		if n := d.follow(o.value); n != nil {
			options = keys{node: n, owner: d.pos(o.key), members: map[string]member{}}
			for _, found := range d.members(n) {
				options.members[found.name] = found
			}
		}
	}
	for _, name := range []string{"delimiter", "header", "quote", "null_values", "sample_rows", "max_file_size", "max_row_size"} {
		if formats := optionFormats[name]; options.has(name) && !slices.Contains(formats, s.Format) {
			d.fail(options.keyPos(d, name), "option %s is of format %s, and this is %s", name, strings.Join(formats, ", "), s.Format)
		}
	}
	if o := s.Options; o.Delimiter != "" && o.Delimiter == o.Quote {
		d.fail(options.pos(d, "quote"), "quote and delimiter are both %q", o.Quote)
	}
}

// optionFormats are the formats of which an option is; the others are of all.
var optionFormats = map[string][]string{
	"delimiter": {"csv"}, "header": {"csv"}, "quote": {"csv"}, "null_values": {"csv"}, "sample_rows": {"csv", "ndjson"},
	"max_file_size": {"binary"}, "max_row_size": {"csv", "ndjson", "text"},
}

// aProperty names a table property.
var aProperty = textLike("a property's name", "", nil)

func checkProperty(d *decoder, e entry[Text]) {
	name, value := e.Name, e.Value
	switch {
	case secretProperty(name.Value):
		d.secretProperty(e)
	case credentialsIn(value.Value) != nil:
		d.secretValue(e)
	case strings.HasPrefix(name.Value, "varve."):
		d.fail(name.Pos, "property %q: names under varve. are Varve's own", shorten(name.Value))
	case name.Value == "format-version":
		d.failHint(name.Pos, "use format_version", "property %q is set by a key of its own", name.Value)
	case name.Value == "write.format.default" && value.Value != "" && value.Value != "parquet":
		d.fail(value.Pos, "write.format.default: %s is not yet supported: expected parquet", shorten(value.Value))
	}
}
