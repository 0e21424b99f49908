package spec

import "strings"

// Nearest is the known name that was probably meant by name, or "" if none is near. Case and separators count less than
// letters, and a swap of neighbours counts as one edit.
func Nearest(name string, known []string) string {
	best, bestDistance := "", 0
	folded := fold(name)
	if len(folded) > 64 {
		return ""
	}
	for _, candidate := range known {
		d := distance(folded, fold(candidate))
		limit := max(1, (max(len(folded), len(candidate))+1)/3)
		if len(folded) <= 2 {
			limit = 1
		}
		if d > limit || d >= max(len(folded), 1) && folded != fold(candidate) {
			continue
		}
		if best == "" || d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return '_'
		}
		return r
	}, strings.ToLower(s))
}

// distance is the optimal string alignment distance in bytes.
func distance(a, b string) int {
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
