// Package spell finds the known name that somebody probably meant.
package spell

// Nearest returns the known name that differs least from name, and in fewer than most letters; empty when none does. Of
// two that differ equally the first in the alphabet wins.
func Nearest(name string, known []string, most int) string {
	best, least := "", most
	for _, k := range known {
		if d := distance(name, k); d < least || d == least && best != "" && k < best {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of letters to add, drop or change to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
