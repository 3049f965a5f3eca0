package config

import "strings"

// Nearest is the one of words that word was probably meant to be, or nothing:
// the same but for case, dashes and a plural, or else one or two letters off.
func Nearest(word string, words []string) string {
	plain := func(s string) string {
		return strings.TrimSuffix(strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s)), "s")
	}
	asked, best, most := plain(word), "", min(2, len(word)/3)
	for _, w := range words {
		if d := distance(asked, plain(w)); d <= most {
			if d == 0 {
				return w
			}
			best, most = w, d-1
		}
	}
	return best
}

// distance counts the letters to put in, take out or exchange (Levenshtein).
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
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
