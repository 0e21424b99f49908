package spec

import "time"

var maintenanceLanguage = define("maintenance",
	"What keeps a table fast and small. It runs as a workflow of its own, one at a time for each table: by a schedule that `trigger apply` makes, after commits that cross a threshold, and by hand with `trigger table maintain`, which shows first what it would do and why.",
	field("every", aDuration(aMinute), func(m *Maintenance) *time.Duration { return &m.Every }, "How often it runs.", initial("1h")),
	field("compact", optional(compactLanguage.shape()), func(m *Maintenance) **Compact { return &m.Compact }, "Small files are joined, and files with many deleted rows are written anew.", example("{target_file_size: 512MB, min_input_files: 5}")),
	field("expire_snapshots", optional(expireLanguage.shape()), func(m *Maintenance) **Expire { return &m.ExpireSnapshots },
		"Old snapshots are forgotten, of each branch by itself, and their files removed. What a branch or tag says of its own age goes before this.", example("{older_than: 7d, keep_last: 20}")),
	field("remove_orphans", optional(orphansLanguage.shape()), func(m *Maintenance) **Orphans { return &m.RemoveOrphans },
		"Files under the table's location that nothing names are removed.", example("{older_than: 3d}")),
).at(func(m *Maintenance) *Pos { return &m.Pos }).
	rule(atLeastOne, "compact", "expire_snapshots", "remove_orphans")

var compactLanguage = define("compact", "When and how files are joined. A compaction yields to writers: what one of them touched meanwhile is left for the next.",
	field("target_file_size", aSize, func(c *Compact) *int64 { return &c.TargetFileSize }, "The size aimed at.", initial("512MB")),
	field("min_input_files", anInteger(2, 1_000_000), func(c *Compact) *int { return &c.MinInputFiles }, "Fewer files of a partition than these are left alone.", initial("5")),
	field("after_files", anInteger(1, 1_000_000), func(c *Compact) *int { return &c.AfterFiles },
		"When a commit of the pipeline has brought the files that were added since the last compaction to so many, maintenance begins at once.", initial("100")),
	field("max_bytes", aSize, func(c *Compact) *int64 { return &c.MaxBytes }, "How much of the table one run rewrites at most, the worst partitions first.", auto("no bound"), example("100GB")),
	field("max_time", aDuration(aMinute), func(c *Compact) *time.Duration { return &c.MaxTime }, "How long after its beginning one run begins to rewrite more.", auto("no bound"), example("30m")),
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
