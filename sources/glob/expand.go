package glob

import "fmt"

// expand resolves the braces of a pattern.
func expand(pattern string) ([]string, error) {
	open, parts, rest, err := firstBraces(pattern)
	if err != nil || parts == nil {
		return []string{pattern}, err
	}
	var all []string
	for _, part := range parts {
		expanded, err := expand(pattern[:open] + part + rest)
		if err != nil {
			return nil, err
		}
		if all = append(all, expanded...); len(all) > MaxAlternatives {
			return nil, fmt.Errorf("its braces make more than %d patterns", MaxAlternatives)
		}
	}
	return all, nil
}

// firstBraces finds the first outermost pair of braces: where it opens, its parts, and what follows.
func firstBraces(pattern string) (open int, parts []string, rest string, err error) {
	depth, start := 0, 0
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '{':
			if depth++; depth == 1 {
				open, start = i, i+1
			}
		case ',':
			if depth == 1 {
				parts = append(parts, pattern[start:i])
				start = i + 1
			}
		case '}':
			switch depth--; {
			case depth < 0:
				return 0, nil, "", fmt.Errorf("a } without a {")
			case depth == 0:
				return open, append(parts, pattern[start:i]), pattern[i+1:], nil
			}
		}
	}
	if depth > 0 {
		return 0, nil, "", fmt.Errorf("a { is not closed")
	}
	return 0, nil, "", nil
}
