package commit

import (
	"context"
	"slices"
	"strconv"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

const (
	// maxRewritten is how many entries of manifests an append reads and writes again, which takes some 10 µs each.
	maxRewritten = 10_000
	// leastManifest is the target size below which manifests are not merged at all.
	leastManifest = 16 << 10
)

// mergingOf gives the metadata that a change is staged on, which says how the library merges manifests. Of a table that came to have
// row ids, and whose manifests have none yet, it merges none: the files that are added have ids beside them, those of the others
// would be counted from the same one on if both were in one manifest.
func mergingOf(ctx context.Context, head *table.Table, change *Change) (table.Metadata, error) {
	meta := head.Metadata()
	if meta.Version() >= 3 && change.files() > 0 {
		fs, err := head.FS(ctx)
		if err != nil {
			return nil, err
		}
		manifests, err := manifestsOf(fs, meta.CurrentSnapshot())
		if err != nil {
			return nil, err
		}
		if unnumbered(meta, manifests) {
			return withProperties(head, iceberg.Properties{table.ManifestMergeEnabledKey: "false"})
		}
	}
	if change.onlyAdds() {
		return boundMerging(ctx, head)
	}
	return meta, nil
}

// withProperties is a table's metadata with other properties, for the library alone.
func withProperties(head *table.Table, properties iceberg.Properties) (table.Metadata, error) {
	b, err := table.MetadataBuilderFromBase(head.Metadata(), head.MetadataLocation())
	if err != nil {
		return nil, err
	}
	if err := b.SetProperties(properties); err != nil {
		return nil, err
	}
	return b.Build()
}

// boundMerging gives the metadata that an append is staged on. Where manifests are merged (commit.manifest-merge.enabled), the
// library rewrites in one commit every run of manifests that are together smaller than the target size: after a rewrite of
// manifests by partition, or in a table of millions of files that others wrote, all of them. Here the target that a commit goes
// by is lowered until it merges no more than maxRewritten entries, so that its cost does not follow the table's: large manifests
// are left alone, and the small ones that appends leave are merged.
func boundMerging(ctx context.Context, head *table.Table) (table.Metadata, error) {
	meta := head.Metadata()
	props := meta.Properties()
	snapshot := meta.CurrentSnapshot()
	if snapshot == nil || !props.GetBool(table.ManifestMergeEnabledKey, table.ManifestMergeEnabledDefault) {
		return meta, nil
	}
	fs, err := head.FS(ctx)
	if err != nil {
		return nil, err
	}
	manifests, err := manifestsOf(fs, snapshot)
	if err != nil {
		return nil, err
	}
	whole := int64(props.GetInt(table.ManifestTargetSizeBytesKey, table.ManifestTargetSizeBytesDefault))
	least := props.GetInt(table.ManifestMinMergeCountKey, table.ManifestMinMergeCountDefault)
	bySpec := dataManifests(manifests)
	target := whole
	for target >= leastManifest && rewritten(bySpec, int32(meta.DefaultPartitionSpec()), target, least) > maxRewritten {
		target /= 2
	}
	if target == whole {
		return meta, nil
	}
	less := iceberg.Properties{table.ManifestTargetSizeBytesKey: strconv.FormatInt(target, 10)}
	if target < leastManifest {
		less = iceberg.Properties{table.ManifestMergeEnabledKey: "false"}
	}
	return withProperties(head, less)
}

// size is that of a manifest.
type size struct{ bytes, entries int64 }

// dataManifests are the sizes of a snapshot's manifests of data files, by partition spec, in their order.
func dataManifests(all []iceberg.ManifestFile) map[int32][]size {
	out := map[int32][]size{}
	for _, m := range all {
		if m.ManifestContent() == iceberg.ManifestContentData {
			entries := int64(m.AddedDataFiles()) + int64(m.ExistingDataFiles()) + int64(m.DeletedDataFiles())
			if entries < 0 { // not known, in version 1
				entries = m.Length() / 100
			}
			out[m.PartitionSpecID()] = append(out[m.PartitionSpecID()], size{m.Length(), entries})
		}
	}
	return out
}

// rewritten is how many entries of manifests an append merges, by the library's rule: from the oldest on, as many manifests as
// are together no larger than the target; those with the new one, which is of the current spec, not before there are so many.
func rewritten(bySpec map[int32][]size, current int32, target int64, least int) (entries int64) {
	for spec, sizes := range bySpec {
		n, together := 0, size{} // the run at hand
		for _, m := range slices.Backward(sizes) {
			if n > 0 && together.bytes+m.bytes > target {
				if n > 1 {
					entries += together.entries
				}
				n, together = 0, size{}
			}
			n, together = n+1, size{together.bytes + m.bytes, together.entries + m.entries}
		}
		if n+1 >= least || n > 1 && (spec != current || len(bySpec) > 1) { // of another spec than the new one's, all runs are merged
			entries += together.entries
		}
	}
	return entries
}
