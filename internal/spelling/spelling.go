// Package spelling suggests a word for a misspelt one. Its functions have no state.
package spelling

import "slices"

// Nearest returns the candidate with the smallest edit distance to word, or "" if none is close.
func Nearest(word string, candidates []string) string {
	best, bound := "", len(word)/3+1
	for _, candidate := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(word, candidate); d <= bound {
			best, bound = candidate, d-1
		}
	}
	return best
}

// distance returns the Levenshtein distance of two words, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
