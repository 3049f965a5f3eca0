package conformance

import (
	"slices"
	"strings"
)

// shrink takes lines out of a scenario's text as long as the disagreement
// stays. still is asked about many texts at once, because one guest boots for
// all of them, and tells which of them still disagree.
func shrink(text string, still func(texts []string) ([]bool, error)) (string, error) {
	lines := slices.Collect(strings.Lines(text))
	for piece := max(1, len(lines)/2); ; {
		var shorter [][]string
		var texts []string
		for at := 0; at < len(lines); at += piece {
			rest := append(append([]string{}, lines[:at]...), lines[min(at+piece, len(lines)):]...)
			if len(rest) > 0 {
				shorter, texts = append(shorter, rest), append(texts, strings.Join(rest, ""))
			}
		}
		disagree, err := still(texts)
		if err != nil {
			return "", err
		}
		// What can go alone can often go together: if so, one boot saved many.
		together := lines
		for i := len(shorter) - 1; i >= 0; i-- {
			if disagree[i] {
				at := i * piece
				together = append(append([]string{}, together[:at]...), together[min(at+piece, len(together)):]...)
			}
		}
		found := false
		if len(together) > 0 && len(together) < len(lines) {
			one, err := still([]string{strings.Join(together, "")})
			if err != nil {
				return "", err
			}
			if one[0] {
				lines, found = together, true
			}
		}
		for i := range shorter {
			if !found && disagree[i] {
				lines, found = shorter[i], true
			}
		}
		switch {
		case found:
			piece = max(1, min(piece, len(lines)/2))
		case piece == 1:
			return strings.Join(lines, ""), nil
		default:
			piece = max(1, piece/2)
		}
	}
}
