// Package names finds the name that was probably meant.
package names

import "strings"

// Nearest is the candidate closest to name, "" if none is near: at most a third of its letters are wrong, and letter
// case counts less than spelling. Of equally near candidates the first wins.
func Nearest(name string, candidates []string) string {
	best, distance := "", len(name)/3+1
	for _, c := range candidates {
		if strings.EqualFold(c, name) {
			return c
		}
		if d := edits(strings.ToLower(name), strings.ToLower(c), distance); d < distance || d == distance && best == "" {
			best, distance = c, d
		}
	}
	if best != "" && distance >= max(len(name), len(best)) {
		return ""
	}
	return best
}

// edits is the number of insertions, deletions, substitutions and swaps of neighbours between a and b; anything above
// limit may come back as limit+1.
func edits(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit || len(a) > 256 {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
