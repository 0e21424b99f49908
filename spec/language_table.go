package spec

import (
	"time"

	"go.yaml.in/yaml/v3"
)

var tableLanguage = define("table",
	"One table that the pipeline builds. Its rows are read (`source`, `from` or `sql`), go through `steps`, are brought to `columns`, held against `expect`, and written (`write`) in one commit.",
	field("source", optional(sourceLanguage.shape()), func(t *Table) **Source { return &t.Source },
		"Files outside the lake."),
	field("from", optional(fromShape), func(t *Table) **From { return &t.From },
		"Another table of the lake: its name alone, or a map that also says what is read of it.", example("bronze.flights")),
	field("sql", optional(aQuery), func(t *Table) **Text { return &t.SQL },
		"A query, in DuckDB's dialect, over tables of the lake. `FROM t FOR VERSION AS OF 123` or `'tag'` and `FOR TIMESTAMP AS OF '2013-01-31 00:00:00'` read an older state.",
		example("SELECT carrier, count(*) AS flights FROM silver.flights GROUP BY ALL")),
	field("engine", enum(
		value{name: "duckdb", doc: "within the worker, spilling to disk"},
		value{name: "trino", doc: "by a Trino cluster", later: true},
	), func(t *Table) *string { return &t.Engine }, "What runs the query.", auto("duckdb")),
	field("steps", list("a list of steps", stepLanguage.shape()), func(t *Table) *[]Step { return &t.Steps },
		"Row steps, in order. Each is a map with one key."),
	field("columns", columnsShape, func(t *Table) *[]Column { return &t.Columns },
		"The enforced schema: columns by name, each a map or just its type. A column not named here is kept as it is inferred, unless `strict`.",
		example("{flight_id: {type: string, required: true, doc: Carrier and number.}, distance: int}")),
	field("strict", aBoolean, func(t *Table) *bool { return &t.Strict },
		"Only the columns that `columns` declares are kept.", initial("false")),
	field("schema_mode", schemaModes, func(t *Table) *string { return &t.SchemaMode },
		"What happens when rows have columns that the table lacks; see [schema modes](#schema-modes).", auto("the source's, `evolve`, for a table with a `source`; else `enforce`")),
	field("expect", list("a list of expectations", expectationLanguage.shape()), func(t *Table) *[]Expectation { return &t.Expect },
		"What every row should fulfil.", example("[{name: positive distance, that: distance > 0, otherwise: quarantine}]")),
	field("write", writeShape, func(t *Table) *Write { return &t.Write },
		"How rows reach the table: `append`, `replace`, `replace_partitions`, or a map with one of `merge`, `replace_partitions`, `replace_where` and `cdc`.", initial("append")),
	field("partition_by", terms("a list of partition fields", aPartition), func(t *Table) *[]Text { return &t.PartitionBy },
		"Iceberg's partition fields: a column, or `years`, `months`, `days`, `hours`, `void` of one, `bucket(N, column)`, `truncate(W, column)`.",
		example("[days(time_hour), bucket(16, tailnum)]")),
	field("sort_by", terms("a list of sort terms", aSort), func(t *Table) *[]Text { return &t.SortBy },
		"The order of rows within files: a column or a transform of one, then `asc` or `desc`, then `nulls first` or `nulls last`. A Z-order is compaction's to make; see [compact](#compact).",
		example("[carrier, time_hour desc]")),
	field("identifier", list("a list of columns", aColumn), func(t *Table) *[]Text { return &t.Identifier },
		"Iceberg's identifier fields: columns whose values name a row. They become required, and files get Bloom filters on them.", example("[flight_id]")),
	field("properties", propertiesShape, func(t *Table) *map[string]string { return &t.Properties },
		"Iceberg's table properties. Those under `varve.` are Varve's own. None may hold a secret: whoever reads the table reads them.", example("{write.metadata.compression-codec: gzip}")),
	field("format_version", anInteger(2, 3), func(t *Table) *int { return &t.FormatVersion },
		"Iceberg's format version of a new table: 2, or 3 with deletion vectors and row lineage.", initial("2")),
	field("maintenance", optional(maintenanceLanguage.shape()), func(t *Table) **Maintenance { return &t.Maintenance },
		"Compaction, expiry of snapshots and removal of orphans, by a schedule of their own.",
		example("{every: 1h, compact: {}, expire_snapshots: {older_than: 7d}, remove_orphans: {older_than: 3d}}")),
	field("retain", optional(retainLanguage.shape()), func(t *Table) **Retain { return &t.Retain },
		"The age at which rows are deleted, by the table's maintenance. Snapshots that still have them are forgotten `expire_snapshots.older_than` later, whatever `keep_last` says.", example("{column: ts, for: 7y}")),
	field("readers", list("a list of readers", enum(
		value{name: "spark", doc: "Apache Spark"},
		value{name: "trino", doc: "Trino"},
		value{name: "snowflake", doc: "Snowflake"},
		value{name: "duckdb", doc: "DuckDB's Iceberg extension"},
	)), func(t *Table) *[]string { return &t.Readers },
		"The engines that read the table: strategy and deletes are chosen so that all of them can.", later, example("[spark, trino]")),
	field("gate", aBoolean, func(t *Table) *bool { return &t.Gate },
		"Write, audit, publish: rows are committed to a branch, held against `expect`, and published if they pass. `true` is not yet supported.", initial("false")),
	field("tags", list("a list of tags", aString), func(t *Table) *[]string { return &t.Tags },
		"Words by which a run or a listing selects tables.", example("[hourly, public]")),
	field("owner", aString, func(t *Table) *string { return &t.Owner }, "Who answers for the table; becomes a table property.", example("flight-ops")),
	field("doc", aString, func(t *Table) *string { return &t.Doc }, "What a row of the table is; becomes the table's comment."),
).at(func(t *Table) *Pos { return &t.Pos }).
	rule(oneSource, sources...).
	rule(needs, "engine", "sql").
	checked(checkTable)

var schemaModes = enum(
	value{name: "enforce", doc: "the table's columns stay as they are, and unknown ones are refused"},
	value{name: "evolve", doc: "new columns are added to the table, and types are widened where Iceberg allows it"},
	value{name: "rescue", doc: "the table's columns stay as they are; unknown fields of files are kept as JSON in the column `_rescued`"},
)

var sourceLanguage = define("source",
	"Files outside the lake. Each file is loaded once: the table itself remembers which. Three columns tell a row's origin: `_source_file` (string), `_source_row` (long, the record's number in its file, from 1) and `_loaded_at` (timestamptz).",
	field("files", aGlob, func(s *Source) *Text { return &s.Files },
		"A path with `*`, `?`, `[a-z]` and `**` (any folders). A suffix `.gz` or `.zst` is decompressed.", required, example("pipelines/data/flights/*.csv.gz")),
	field("format", enum(
		value{name: "csv", doc: "delimited text with a header"},
		value{name: "ndjson", doc: "a JSON object a line"},
		value{name: "parquet", doc: "Apache Parquet"},
		value{name: "avro", doc: "Apache Avro's container files"},
		value{name: "text", doc: "a row a line, in the column `value`"},
		value{name: "binary", doc: "a row a file, in the columns `path`, `modified`, `size` and `content`"},
	), func(s *Source) *string { return &s.Format }, "The files' format.", auto("by the suffix of `files`: .csv, .ndjson or .jsonl, .parquet, .avro, .txt or .log")),
	field("schema_mode", schemaModes, func(s *Source) *string { return &s.SchemaMode },
		"What happens when a file has fields that the table lacks; see [schema modes](#schema-modes).", auto("the table's `schema_mode`, else `evolve`")),
	field("malformed", enum(
		value{name: "fail", doc: "the build stops, and names file, line and column"},
		value{name: "drop", doc: "the row is left out and counted"},
		value{name: "quarantine", doc: "the row goes to `<table>__quarantine`, with the reason and its origin"},
	), func(s *Source) *string { return &s.Malformed },
		"What happens to a [row that cannot be read](#malformed-rows-and-the-quarantine). A file that is broken as a whole (a truncated archive, a corrupt footer) always stops the build.", initial("fail")),
	field("options", sourceOptionsLanguage.shape(), func(s *Source) *SourceOptions { return &s.Options }, "The format's own settings."),
).at(func(s *Source) *Pos { return &s.Pos }).checked(checkSource)

var sourceOptionsLanguage = define("source_options",
	"Settings of a file format.",
	field("delimiter", aDelimiter, func(o *SourceOptions) *string { return &o.Delimiter }, "csv: the character that separates fields.", auto("`,`"), example(`"\t"`)),
	field("header", optional(aBoolean), func(o *SourceOptions) **bool { return &o.Header }, "csv: the first record names the columns. Without it they are the declared ones in their order, then `column_N`.", auto("true")),
	field("quote", aQuote, func(o *SourceOptions) *string { return &o.Quote }, "csv: the character that encloses a field; doubled, it stands for itself. `none`: no field is enclosed.", auto("`\"`"), example(`"'"`)),
	field("null_values", list("a list of strings", aString), func(o *SourceOptions) *[]string { return &o.NullValues },
		"csv: fields that mean null, quoted or not.", auto(`the empty field and NA`), example(`["", NA, "-"]`)),
	field("sample_rows", anInteger(1, 10_000_000), func(o *SourceOptions) *int { return &o.SampleRows },
		"How many rows of each sampled file decide the types of columns that `columns` does not declare.", auto("10000")),
	field("max_file_size", sizeUpTo(1<<30), func(o *SourceOptions) *int64 { return &o.MaxFileSize }, "binary: a larger file is a malformed row. At most 1GiB.", auto("64MiB")),
	field("max_row_size", sizeUpTo(1<<30), func(o *SourceOptions) *int64 { return &o.MaxRowSize }, "csv, ndjson, text: a longer record is malformed. At most 1GiB.", auto("16MiB")),
	field("hive_columns", aBoolean, func(o *SourceOptions) *bool { return &o.HiveColumns }, "Folders named key=value become columns.", initial("false")),
)

var fromLanguage = define("from",
	"Another table of the lake.",
	field("table", aTable, func(f *From) *Text { return &f.Table }, "Its name.", required, example("bronze.flights")),
	field("read", enum(
		value{name: "appends", doc: "the rows added since this table's last commit; a snapshot that rewrote or deleted rows is an error"},
		value{name: "changes", doc: "rows added, changed and deleted since then", later: true},
		value{name: "full", doc: "all rows, each time"},
	), func(f *From) *string { return &f.Read }, "What is read of it.", auto("`full` where `write` replaces, else `appends`")),
)

var fromShape = union("a table's name, or a map of from's keys",
	as(yaml.ScalarNode, aTable, func(out *From, v Text) { out.Table = v }),
	as(yaml.MappingNode, fromLanguage.shape(), func(out *From, v From) { *out = v }),
)

var columnLanguage = define("column",
	"A column of the enforced schema.",
	field("type", optional(aType), func(c *Column) **Text { return &c.Type },
		"Its type, in Iceberg's notation: boolean, int, long, float, double, decimal(P,S), date, time, timestamp, timestamptz, timestamp_ns, timestamptz_ns, string, uuid, fixed(L), binary, struct<a: T, b: T>, list<T>, map<K, V>.",
		auto("the inferred type"), example("decimal(18,2)")),
	field("required", aBoolean, func(c *Column) *bool { return &c.Required }, "Nulls are refused, as [malformed rows](#malformed-rows-and-the-quarantine) are.", initial("false")),
	field("doc", aString, func(c *Column) *string { return &c.Doc }, "What it holds; becomes the column's comment."),
)

// columnsShape reads columns by name; a text alone is the type.
var columnsShape = func() shape[[]Column] {
	column := union("a type, or a map of column's keys",
		as(yaml.ScalarNode, aType, func(out *Column, v Text) { out.Type = &v }),
		as(yaml.MappingNode, columnLanguage.shape(), func(out *Column, v Column) { *out = v }),
	)
	columns := named("a map of columns by name", aNewColumn, column)
	return convertAll(columns, func(e entry[Column]) Column {
		e.Value.Name = e.Name
		return e.Value
	})
}()

var expectationLanguage = define("expectation",
	"A predicate that every row should fulfil. One that is unknown (see [nulls](#nulls)) is not fulfilled.",
	field("name", textLike("a name", "", nil), func(e *Expectation) *Text { return &e.Name }, "Its name, in counts and reports.", required, example("positive distance")),
	field("that", anExpression, func(e *Expectation) *Text { return &e.That }, "A boolean expression over the row.", required, example("distance > 0")),
	field("otherwise", enum(
		value{name: "warn", doc: "the row is kept and counted"},
		value{name: "drop", doc: "the row is left out and counted"},
		value{name: "quarantine", doc: "the row goes to `<table>__quarantine` with the expectation's name and its origin"},
		value{name: "fail", doc: "nothing is committed"},
	), func(e *Expectation) *string { return &e.Otherwise }, "What happens to a row that does not fulfil it.", initial("fail")),
)

// propertiesShape reads table properties.
var propertiesShape = func() shape[map[string]string] {
	pairs := named("a map of properties by name", aProperty, aLiteral)
	return shape[map[string]string]{pairs.kind, func(d *decoder, n *yaml.Node, out *map[string]string) {
		var entries []entry[Text]
		pairs.decode(d, n, &entries)
		*out = make(map[string]string, len(entries))
		for _, e := range entries {
			(*out)[e.Name.Value] = e.Value.Value
			checkProperty(d, e)
		}
	}}
}()

var retainLanguage = define("retain",
	"Rows older than this are deleted: files all of whose rows are go without being read, from others rows are removed by writing the files anew. Tags and branches keep what they point at.",
	field("column", aColumn, func(r *Retain) *Text { return &r.Column }, "The column that holds a row's time, a date or timestamp. Rows without one stay.", required, example("ts")),
	field("for", aDuration(time.Hour), func(r *Retain) *time.Duration { return &r.For }, "How long rows are kept.", required, example("7y")),
)
