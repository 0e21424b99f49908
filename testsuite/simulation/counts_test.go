package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/varve-lake/varve/tables"
)

// counts are of what took place, so that a test knows that it did.
type counts map[string]int

func (s *scheduler) count(what string, n int) {
	s.counted.Lock()
	defer s.counted.Unlock()
	if n > 0 {
		s.counts[what] += n
	}
}

// met counts what an operation met with.
func (p *process) met(r tables.Result) {
	s := p.sim
	s.most = max(s.most, r.Attempts)
	s.count("conflict", r.Conflicts)
	s.count("file group redone", r.GroupsRedone)
	s.count("unknown outcome", r.UnknownOutcomes)
	s.count("claim of a turn", r.Claims)
	if r.AlreadyCommitted {
		s.count("commit found that an earlier life or a twin has made", 1)
	}
}

func (c counts) add(o counts) {
	for what, n := range o {
		c[what] += n
	}
}

func (c counts) String() string {
	var out []string
	for _, what := range slices.Sorted(maps.Keys(c)) {
		out = append(out, fmt.Sprintf("%7d  %s", c[what], what))
	}
	return strings.Join(out, "\n")
}

// everything is what the seeds of `make test` have to come by.
var everything = []string{
	"claim of a turn", "conflict", "file group redone", "unknown outcome", "commit found that an earlier life or a twin has made",
	"commit: append", "commit: replace", "commit: delete", "commit: overwrite", "commit: retain",
	"commit: merge", "commit: merge in groups", "commit: merge under snapshot isolation", "commit: merge in groups under snapshot isolation",
	"commit: compact", "commit: rewrite manifests", "commit: " + anotherEngine,
	"commit: expire", "commit: rollback", "commit: tag", "commit: branch", "old snapshot named", "commit: evolve", "commit: upgrade",
	"MERGE divided", "MERGE divided anew after a conflict", "results of groups kept over a conflict", "division of which groups are missing",
	"small MERGE divided after a conflict", "division that keeps what its commit has done", "results of a division that was given up",
	"group looked through", "group looked through twice", "group of a table that has moved",
	"row that a MERGE under snapshot isolation did not see", "row updated by two MERGEs at once",
	"group that a compaction left to a writer", "snapshot expired", "row erased", "read",
}

// fates are what an I/O has to meet with.
func fates() (out []string) {
	for _, f := range slices.Concat(readFates, writeFates, loadFates, commitFates) {
		out = append(out, "fate: "+string(f))
	}
	return slices.Compact(slices.Sorted(slices.Values(out)))
}

// missing are those of some kinds that took place less often.
func (c counts) missing(kinds []string, least int) (out []string) {
	for _, what := range kinds {
		if c[what] < least {
			out = append(out, fmt.Sprintf("%s: %d times", what, c[what]))
		}
	}
	return out
}
