package spec

import "time"

var maintenanceLanguage = define("maintenance",
	"What keeps a table fast and small. It runs as a workflow of its own, one at a time for each table: by a schedule that `trigger apply` makes, after commits that cross a threshold, and by hand with `trigger table maintain`, which shows first what it would do and why.",
	field("every", aDuration(aMinute), func(m *Maintenance) *time.Duration { return &m.Every }, "How often it runs.", initial("1h")),
	field("compact", optional(compactLanguage.shape()), func(m *Maintenance) **Compact { return &m.Compact }, "Small files are joined, and files with many deleted rows are written anew.", example("{target_file_size: 512MB, min_input_files: 5}")),
	field("merge_deletes", optional(mergeDeletesLanguage.shape()), func(m *Maintenance) **MergeDeletes { return &m.MergeDeletes },
		"Position deletes of one data file are put together, without rewriting the data file. Deletion vectors of format version 3 are one for each data file already.", example("{min_input_files: 3}")),
	field("remove_dangling_deletes", optional(danglingLanguage.shape()), func(m *Maintenance) **RemoveDangling { return &m.RemoveDangling },
		"Delete files that apply to no data file any more, as other engines leave them, are taken out of the table.", example("{min_files: 5}")),
	field("rewrite_manifests", optional(manifestsLanguage.shape()), func(m *Maintenance) **RewriteManifests { return &m.RewriteManifests },
		"Manifests are joined, and laid by partition, so that a read of some partitions opens few of them.", example("{target_size: 8MB, min_input_manifests: 10}")),
	field("expire_snapshots", optional(expireLanguage.shape()), func(m *Maintenance) **Expire { return &m.ExpireSnapshots },
		"Old snapshots are forgotten, of each branch by itself, and their files removed. What a branch or tag says of its own age goes before this.", example("{older_than: 7d, keep_last: 20}")),
	field("remove_orphans", optional(orphansLanguage.shape()), func(m *Maintenance) **Orphans { return &m.RemoveOrphans },
		"Files under the table's location that nothing names are removed.", example("{older_than: 3d}")),
).at(func(m *Maintenance) *Pos { return &m.Pos }).
	rule(atLeastOne, "compact", "merge_deletes", "remove_dangling_deletes", "rewrite_manifests", "expire_snapshots", "remove_orphans")

var compactLanguage = define("compact", "When and how files are joined. A compaction yields to writers: what one of them touched meanwhile is left for the next.",
	field("strategy", compactStrategies, func(c *Compact) *string { return &c.Strategy }, "How rows are laid into files, within each partition.", initial("binpack")),
	field("columns", nonEmpty(terms("a list of sort terms", aSort)), func(c *Compact) *[]Text { return &c.Columns },
		"What `sort` sorts by: columns or transforms of them, then `asc` or `desc`, then `nulls first` or `nulls last`; or the two or more of a `zorder`, which have no direction, the one that most queries filter by first.",
		auto("`sort_by` of the table, for `sort`"), example("[user_id, days(ts) desc]")),
	field("target_file_size", aSize, func(c *Compact) *int64 { return &c.TargetFileSize }, "The size aimed at.", initial("512MB")),
	field("min_file_size", aSize, func(c *Compact) *int64 { return &c.MinFileSize }, "Files below this are small.", auto("three quarters of `target_file_size`"), example("256MB")),
	field("min_input_files", anInteger(2, 1_000_000), func(c *Compact) *int { return &c.MinInputFiles }, "Fewer files of a partition than these are left alone.", initial("5")),
	field("delete_ratio", aShare, func(c *Compact) *float64 { return &c.DeleteRatio }, "The share of a file's rows whose deletion makes the file worth a rewrite alone.", initial("0.3")),
	field("delete_files", anInteger(1, 1_000_000), func(c *Compact) *int { return &c.DeleteFiles }, "The number of delete files of a data file that makes it worth a rewrite alone.", initial("5")),
	field("clean_bytes", aSize, func(c *Compact) *int64 { return &c.CleanBytes },
		"How much of other files one run writes anew because rows of theirs are deleted, those with the largest share first: files without deletes are read the fastest, and where tables are small it costs little that all are. `1B` is none.", initial("4GB")),
	field("max_depth", aNumber(1), func(c *Compact) *float64 { return &c.MaxDepth },
		"The clustering depth above which `sort` and `zorder` write a whole partition anew, if an eighth of its bytes came since it was last clustered. The depth is in how many files, on average over the files, a value of the columns may lie: 1 where their ranges are apart.",
		auto("4")),
	field("after_files", anInteger(1, 1_000_000), func(c *Compact) *int { return &c.AfterFiles },
		"When a commit of the pipeline has brought the files that were added since the last compaction to so many, maintenance begins at once.", initial("100")),
	field("max_bytes", aSize, func(c *Compact) *int64 { return &c.MaxBytes }, "How much of the table one run rewrites at most, the worst partitions first.", auto("no bound"), example("100GB")),
	field("max_time", aDuration(aMinute), func(c *Compact) *time.Duration { return &c.MaxTime }, "How long after its beginning one run begins to rewrite more.", auto("no bound"), example("30m")),
).at(func(c *Compact) *Pos { return &c.Pos }).
	checked(checkCompact)

var compactStrategies = enum(
	value{name: "binpack", doc: "small files are joined, row groups as bytes where nothing has to be decoded; each file is sorted if the table has `sort_by`"},
	value{name: "sort", doc: "rows are sorted by `columns` over all files of a partition, so that the ranges of the files do not overlap"},
	value{name: "zorder", doc: "rows are laid along a Z-order curve through `columns`, so that the files' ranges are narrow in each of them"},
)

// checkCompact finds what does not go together. What `sort` sorts by where it does not say is for checkClustering.
func checkCompact(d *decoder, m keys, c *Compact) {
	c.ownOrder = c.Strategy == "sort" && !m.has("columns")
	clustered := c.Strategy == "sort" || c.Strategy == "zorder"
	for _, name := range []string{"columns", "max_depth"} {
		if m.has(name) && !clustered && c.Strategy != "" {
			d.fail(m.keyPos(d, name), `%q goes only with strategy sort or zorder`, name)
		}
	}
	refuseTwice(d, "column", c.Columns)
	if c.MinFileSize > c.TargetFileSize && c.TargetFileSize > 0 {
		d.fail(m.pos(d, "min_file_size"), "min_file_size is above target_file_size: no file would ever be large enough")
	}
	if c.Strategy != "zorder" {
		return
	}
	if len(c.Columns) < 2 && !(m.has("columns") && len(c.Columns) == 0) { // an empty list is reported already
		d.fail(m.pos(d, "columns"), "strategy zorder needs two columns or more: by one, use sort")
	}
	for _, column := range c.Columns {
		if term, order := cutOrder(column.Value); order != "" {
			d.fail(column.At(len(term)+1), "a Z-order has no direction: expected %s alone, found %q", shorten(term), order)
		}
	}
}

var mergeDeletesLanguage = define("merge_deletes", "When position deletes are put together. It runs after `compact`, for the files that are not worth a rewrite.",
	field("min_input_files", anInteger(2, 1_000_000), func(m *MergeDeletes) *int { return &m.MinInputFiles }, "How many position-delete files of one data file are worth it.", initial("3")),
)

var danglingLanguage = define("remove_dangling_deletes", "When delete files are removed that delete nothing: position deletes and deletion vectors of data files that are gone, position deletes beside a deletion vector, and equality deletes than which no data file is older.",
	field("min_files", anInteger(1, 1_000_000), func(r *RemoveDangling) *int { return &r.MinFiles }, "How many are worth it.", initial("5")),
)

var manifestsLanguage = define("rewrite_manifests", "When manifests are written anew, and how.",
	field("target_size", aSize, func(r *RewriteManifests) *int64 { return &r.TargetSize }, "The size aimed at.", initial("8MB")),
	field("min_input_manifests", anInteger(2, 1_000_000), func(r *RewriteManifests) *int { return &r.MinInputManifests },
		"How many manifests of a partitioning that are smaller than half of `target_size`, or were not laid by partition yet, are worth it.", initial("10")),
)

var expireLanguage = define("expire_snapshots", "Which snapshots are forgotten.",
	field("older_than", aDuration(aMinute), func(e *Expire) *time.Duration { return &e.OlderThan },
		"Those that have not been the head of a branch for so long. It should be longer than builds and queries take, and than the tables that read this one by `read: appends` wait between their builds.", initial("7d")),
	field("keep_last", anInteger(1, 1_000_000), func(e *Expire) *int { return &e.KeepLast }, "But never the last so many of a branch.", initial("20")),
)

var orphansLanguage = define("remove_orphans", "Which files are removed.",
	field("older_than", aDuration(time.Hour), func(o *Orphans) *time.Duration { return &o.OlderThan },
		"Those older than this, by the store's clock; younger ones may belong to a commit under way. While a build has been under way for longer, none is removed.", initial("3d")),
)

const aMinute = time.Minute
