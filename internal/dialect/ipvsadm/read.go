package ipvsadm

import (
	"strings"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect"
	"github.com/weir-lb/weir/internal/lvs"
)

// Read reads saved rules, the lines of ipvsadm -S, as a configuration. Comments
// are allowed, as ipvsadm-restore allows them, and a first -C, since a
// configuration begins with nothing. Nobody asks the real servers: the rules
// do not say how.
func Read(file string, text []byte, names dialect.Names) (config.Config, config.Problems) {
	r := reader{c: config.Default(), names: Names{Names: names}}
	r.wish = map[lvs.ServiceKey]int{}
	for _, line := range dialect.Lines(file, text) {
		r.line(line)
	}
	problems := append(r.problems, config.Validate(&r.c)...)
	return r.c, problems.Sorted()
}

type reader struct {
	c        config.Config
	names    Names
	wish     map[lvs.ServiceKey]int // where in c.Services
	problems config.Problems
}

func (r *reader) line(l dialect.Line) {
	trimmed := strings.TrimSpace(l.Text)
	if trimmed == "" || trimmed[0] == '#' {
		return
	}
	var words []string
	for _, w := range strings.Fields(trimmed) {
		if w != "ipvsadm" {
			words = append(words, w)
		}
	}
	if len(words) == 0 {
		return
	}
	c, fault := Parse(words, r.names)
	if fault != nil {
		text := fault.Text
		if fault == TryHelp {
			text = "not a command of ipvsadm: " + words[0]
		}
		r.problems.Errorf(l.Place, "%s", strings.TrimSpace(text))
		return
	}
	switch c.Verb {
	case AddService:
		r.wish[c.Service.Key] = len(r.c.Services)
		r.c.Services = append(r.c.Services, service(c.Service, l.Place))
	case AddServer:
		i, ok := r.wish[c.Service.Key]
		if !ok {
			r.problems.Errorf(l.Place, "a real server of %s, which no line before this one adds", c.Service.Key)
			return
		}
		check := config.DefaultCheck()
		check.Kind = lvs.CheckOn
		r.c.Services[i].Reals = append(r.c.Services[i].Reals, config.Real{Destination: c.Destination, Check: config.CheckOf(check), Place: l.Place})
	case Set:
		r.c.Engine.Timeouts = c.Timeouts.Over(r.c.Engine.Timeouts)
	case Flush:
		if len(r.c.Services) > 0 {
			r.problems.Errorf(l.Place, "-C after the first service: the lines before it mean nothing; take them out")
		}
	default:
		r.problems.Errorf(l.Place, "%s makes no configuration; -A, -a, --set and a first -C do", words[0])
	}
}

func service(s lvs.Service, at config.Place) config.Service {
	return config.Service{Key: s.Key, Scheduler: s.Scheduler, SchedFlags: s.SchedFlags, Persistence: s.Persistence,
		OnePacket: s.OnePacket, CleanStop: true, Place: at}
}
