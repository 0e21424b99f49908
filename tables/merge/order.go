package merge

import (
	"cmp"
	"maps"
	"slices"
)

// The same merge of the same table does the same things in the same order, so that a simulated run replays: groups go by
// the path of their first file, and files by their paths.

func (p *Plan) groupsInOrder() []*groupState {
	return slices.SortedFunc(maps.Keys(p.groups), func(a, b *groupState) int {
		return cmp.Compare(a.files[0].path, b.files[0].path)
	})
}

func (p *Plan) filesInOrder() []string { return slices.Sorted(maps.Keys(p.files)) }
