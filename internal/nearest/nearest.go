// Package nearest decides which known word a misspelled one was probably meant to be. Its
// hazard is a hint that misleads, so it rather gives none.
package nearest

// To is the known word with the least edit distance, the first in the
// alphabet of several. It is empty when a third of the word would have to change:
// such a hint would mislead.
func To(word string, known []string) string {
	best, least := "", max(1, len(word)/3)+1
	for _, name := range known {
		if d := distance(word, name, least); d < least || d == least && best != "" && name < best {
			best, least = name, d
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes. Words whose lengths alone differ
// by more than limit get limit+1, without the work.
func distance(a, b string, limit int) int {
	if diff := len(a) - len(b); diff > limit || -diff > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
