package contention

import "fmt"

// idKey is the entry of a snapshot's summary that says which change it is, in every system.
const idKey = "contention.id"

// history is a table's snapshots as its metadata file has them, read as JSON and by no one's library.
type history struct {
	// order are the ids of the commits from the first on, as each snapshot's parent says: the order in which the catalog
	// let them in. Snapshots that follow each other with one id, as an overwrite's two parts, are one.
	order []string
	// twice are the commits that are there again, after others; forks the snapshots that are no ancestor of the head.
	twice, forks []string
	others       int // snapshots that are no change of the work's: the first rows, compactions
	compactions  int
	snapshots    int
}

type snapshotJSON struct {
	ID      int64             `json:"snapshot-id"`
	Parent  *int64            `json:"parent-snapshot-id"`
	Summary map[string]string `json:"summary"`
}

func lineage(head int64, all []snapshotJSON) (*history, error) {
	byID := map[int64]snapshotJSON{}
	for _, s := range all {
		byID[s.ID] = s
	}
	h := &history{snapshots: len(all)}
	var chain []snapshotJSON // newest first
	for at := head; ; {
		s, ok := byID[at]
		if !ok {
			return nil, fmt.Errorf("snapshot %d, an ancestor of the head, is not there", at)
		}
		delete(byID, at)
		chain = append(chain, s)
		if s.Parent == nil || *s.Parent < 0 {
			break
		}
		at = *s.Parent
	}
	for _, s := range byID {
		h.forks = append(h.forks, s.Summary[idKey])
	}
	seen := map[string]bool{}
	for i := len(chain) - 1; i >= 0; i-- {
		id := chain[i].Summary[idKey]
		switch {
		case id == "" || id == "initial":
			h.others++
			if chain[i].Summary["varve.compaction"] != "" {
				h.compactions++
			}
		case len(h.order) > 0 && h.order[len(h.order)-1] == id && i+1 < len(chain) && chain[i+1].Summary[idKey] == id:
		case seen[id]:
			h.twice = append(h.twice, id)
			h.order = append(h.order, id)
		default:
			h.order = append(h.order, id)
		}
		seen[id] = true
	}
	return h, nil
}
