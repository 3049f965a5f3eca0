package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// worsens is how much more a packet may cost than before, in percent of its
// ratio to the floor. Two runs on one machine differ by a few.
const worsens = 15

// Check measures packets again and compares them with earlier figures.
func (s Suite) Check(ctx context.Context, was Report) error {
	var worse map[string]string
	for again := range 3 {
		if again > 0 {
			var names []string
			for row := range worse {
				names = append(names, regexp.QuoteMeta(row))
			}
			s.Only = regexp.MustCompile("^(" + strings.Join(names, "|") + ")$")
			fmt.Fprintln(s.Out, "once more, what seems worse:")
		}
		now, err := s.packets(ctx)
		if err != nil {
			return err
		}
		found, compared := worsened(now, was)
		if compared == 0 {
			return errors.New("nothing to compare: the earlier figures have none of these rows; run make bench")
		}
		if worse = found; len(worse) == 0 {
			fmt.Fprintf(s.Out, "%d figures are no worse than on %s\n", compared, was.Date)
			return nil
		}
	}
	return errors.New("packets cost more than on " + was.Date + ":\n" + strings.Join(slices.Sorted(maps.Values(worse)), "\n"))
}

// worsened are the rows that cost more than they did, with what to say of them.
func worsened(now []Series, was Report) (worse map[string]string, compared int) {
	worse = make(map[string]string)
	for _, s := range now {
		i := slices.IndexFunc(was.Series, func(o Series) bool { return o.Name == s.Name })
		if i < 0 {
			continue
		}
		for _, v := range s.Values {
			before, ok := was.Series[i].at(v.Row, v.Column)
			if !ok {
				continue
			}
			compared++
			if v.Ratio() > before.Ratio()*(100+worsens)/100 {
				worse[v.Row] = fmt.Sprintf("%s, %s: %.2f × the floor, was %.2f", v.Row, v.Column, v.Ratio(), before.Ratio())
			}
		}
	}
	return worse, compared
}
