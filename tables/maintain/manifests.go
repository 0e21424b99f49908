package maintain

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/planning"
)

// ManifestOptions say when manifests are written anew, and how large.
type ManifestOptions struct {
	// TargetBytes is what manifests are brought near to. Default: commit.manifest.target-size-bytes, 8 MiB.
	TargetBytes int64
	// MinInputManifests is how many manifests of one partition spec that are small, or not in order, are worth a rewrite. Default: 10.
	MinInputManifests int
}

func (o ManifestOptions) check() error {
	if o.TargetBytes < 0 || o.MinInputManifests < 0 || o.MinInputManifests == 1 {
		return fmt.Errorf("rewrite manifests: a target of %d bytes, from %d manifests on; want 2 or more", o.TargetBytes, o.MinInputManifests)
	}
	return nil
}

func (o ManifestOptions) withDefaults(props iceberg.Properties) ManifestOptions {
	if o.TargetBytes <= 0 {
		o.TargetBytes = props.GetInt64(table.ManifestTargetSizeBytesKey, table.ManifestTargetSizeBytesDefault)
	}
	if o.MinInputManifests <= 0 {
		o.MinInputManifests = 10
	}
	return o
}

const (
	// clusteredPrefix begins the names of manifests that a rewrite has laid by partition. Nothing but what is worth another one
	// rests on it.
	clusteredPrefix = "clustered-"
	// maxManifestsAtOnce bounds what one run writes, in manifests of the target size: so many are written side by side.
	maxManifestsAtOnce = 64
)

// manifestGroup is manifests of one partition spec, and of one kind of content, that are written anew together.
type manifestGroup struct {
	spec     int32
	content  iceberg.ManifestContent
	inputs   []iceberg.ManifestFile
	bytes    int64
	files    int64 // that they list, live
	outputs  int
	leftOver int // manifests that would be worth it too, for another run
}

// chooseManifests finds the manifests that are worth a rewrite. Those that no rewrite has laid by partition yet, and small ones,
// are; and with them those that were laid before and whose partitions are theirs too, unless these are so many that they would be
// written anew for little.
func chooseManifests(meta table.Metadata, manifests []iceberg.ManifestFile, o ManifestOptions) []*manifestGroup {
	type kind struct {
		spec    int32
		content iceberg.ManifestContent
	}
	fresh, laid := map[kind][]iceberg.ManifestFile{}, map[kind][]iceberg.ManifestFile{}
	var kinds []kind
	for _, m := range manifests {
		k := kind{m.PartitionSpecID(), m.ManifestContent()}
		if !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
		if strings.HasPrefix(path.Base(m.FilePath()), clusteredPrefix) && m.Length() >= o.TargetBytes/2 {
			laid[k] = append(laid[k], m)
		} else {
			fresh[k] = append(fresh[k], m)
		}
	}
	slices.SortFunc(kinds, func(a, b kind) int { return cmp.Or(cmp.Compare(a.content, b.content), cmp.Compare(a.spec, b.spec)) })
	var out []*manifestGroup
	for _, k := range kinds {
		if len(fresh[k]) < o.MinInputManifests {
			continue
		}
		g := &manifestGroup{spec: k.spec, content: k.content}
		g.fill(meta, fresh[k], touching(meta, k.spec, laid[k], fresh[k]), o)
		out = append(out, g)
	}
	return out
}

// fill takes manifests until they are as much as one run writes, by the order of their partitions.
func (g *manifestGroup) fill(meta table.Metadata, fresh, laid []iceberg.ManifestFile, o ManifestOptions) {
	all := slices.Clone(fresh)
	if liveIn(fresh...)*8 >= liveIn(laid...)+liveIn(fresh...) {
		all = append(all, laid...)
	}
	types := partitionTypes(meta, g.spec)
	slices.SortStableFunc(all, func(a, b iceberg.ManifestFile) int {
		return cmp.Or(summaryBox(types, a).before(summaryBox(types, b)), cmp.Compare(a.FilePath(), b.FilePath()))
	})
	for _, m := range all {
		if len(g.inputs) > 0 && g.bytes+m.Length() > maxManifestsAtOnce*o.TargetBytes {
			g.leftOver++
			continue
		}
		g.inputs, g.bytes, g.files = append(g.inputs, m), g.bytes+m.Length(), g.files+liveIn(m)
	}
	g.outputs = int(max(1, min((g.bytes+o.TargetBytes-1)/o.TargetBytes, g.files)))
}

// liveIn counts the live files of manifests; one of version 1 that does not say counts by its size.
func liveIn(manifests ...iceberg.ManifestFile) (n int64) {
	for _, m := range manifests {
		if m.AddedDataFiles() < 0 || m.ExistingDataFiles() < 0 {
			n += m.Length() / 100
			continue
		}
		n += int64(m.AddedDataFiles()) + int64(m.ExistingDataFiles())
	}
	return n
}

// touching are the manifests whose partitions may be those of some others too, by their summaries.
func touching(meta table.Metadata, spec int32, manifests, others []iceberg.ManifestFile) []iceberg.ManifestFile {
	types := partitionTypes(meta, spec)
	var boxes []box
	for _, m := range others {
		boxes = append(boxes, summaryBox(types, m))
	}
	var out []iceberg.ManifestFile
	for _, m := range manifests {
		if slices.ContainsFunc(boxes, summaryBox(types, m).overlaps) {
			out = append(out, m)
		}
	}
	return out
}

// partitionTypes are those of a spec's fields, nil for one whose column is in no schema any more.
func partitionTypes(meta table.Metadata, spec int32) []iceberg.Type {
	s := meta.PartitionSpecByID(int(spec))
	if s == nil {
		return nil
	}
	var out []iceberg.Type
	for _, f := range s.PartitionType(planning.SchemaOf(meta, s)).FieldList {
		out = append(out, f.Type)
	}
	return out
}

// summaryBox is the range of each partition field in a manifest, as bytes that order as the values do. A field of which it has
// nulls is taken to reach anywhere.
func summaryBox(types []iceberg.Type, m iceberg.ManifestFile) box {
	summaries := m.Partitions()
	b := box{make([][]byte, len(types)), make([][]byte, len(types))}
	for i := range min(len(types), len(summaries)) {
		if s := summaries[i]; !s.ContainsNull && s.LowerBound != nil && s.UpperBound != nil {
			b.low[i], b.high[i] = ordered(types[i], *s.LowerBound), ordered(types[i], *s.UpperBound)
		}
	}
	return b
}

// before orders manifests by where they begin.
func (b box) before(other box) int {
	for i := range b.low {
		if c := bytes.Compare(b.low[i], other.low[i]); c != 0 {
			return c
		}
	}
	return 0
}
