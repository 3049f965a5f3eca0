package conformance

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A Scenario is one variant of a scenario file.
type Scenario struct {
	Name    string // file and variant: e4-states/v4,m,FIN
	Place   Place
	Differs string // a sentence of docs/differences.md; empty: the two must agree
	Steps   []Step
}

// A Step is one thing done or looked at.
type Step struct {
	Line    int
	Text    string
	Packets []Packet      // to be sent, one after the other
	Command string        // of ipvsadm
	Look    bool          // at connections and destinations
	Stats   bool          // at counters
	Wait    time.Duration // for time to pass
	Link    string        // whose MTU changes …
	MTU     int           // … to this
	Sysctl  string        // of net.ipv4.vs that changes …
	Value   int           // … to this
	Mark    *lvs.Rule     // packets that get a mark from now on
}

// Load reads every scenario file of a directory; each variant gets a place.
func Load(files fs.FS) (all []Scenario, err error) {
	found, err := fs.Glob(files, "*.scenario")
	if err != nil {
		return nil, err
	}
	for _, name := range found {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		variants, err := parse(strings.TrimSuffix(path.Base(name), ".scenario"), string(text))
		if err != nil {
			return nil, fmt.Errorf("%s:%w", name, err)
		}
		all = append(all, variants...)
	}
	for i := range all {
		if err := all[i].settle(i + 1); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// A line is one of a file, comments gone.
type line struct {
	number int
	text   string
}

// parse reads a file: `vary WORD a b c` makes a variant of each, in which
// $WORD stands for it (family v4 v6 is one such word); `differs …` says that
// weir does otherwise on purpose.
func parse(name, text string) ([]Scenario, error) {
	var lines []line
	var differs string
	variants := []map[string]string{{}}
	labels := []string{""}
	n := 0
	for raw := range strings.Lines(text) {
		n++
		l, _, _ := strings.Cut(raw, "#")
		l = strings.TrimSpace(l)
		word, rest, _ := strings.Cut(l, " ")
		switch word {
		case "":
		case "differs":
			differs = strings.TrimSpace(rest)
		case "vary":
			f := strings.Fields(rest)
			if len(f) < 2 {
				return nil, fmt.Errorf("%d: vary wants a word and what it stands for", n)
			}
			variants, labels = multiply(variants, labels, f[0], f[1:])
		default:
			lines = append(lines, line{n, l})
		}
	}
	var out []Scenario
	for i, v := range variants {
		s := Scenario{Name: name + strings.Replace(labels[i], ",", "/", 1), Place: Place{V6: v["family"] == "v6"}, Differs: differs}
		for _, l := range lines {
			t, err := substitute(l.text, v)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", l.number, err)
			}
			s.Steps = append(s.Steps, Step{Line: l.number, Text: t})
		}
		out = append(out, s)
	}
	return out, nil
}

func multiply(variants []map[string]string, labels []string, word string, values []string) (v []map[string]string, l []string) {
	for i, have := range variants {
		for _, value := range values {
			m := map[string]string{word: value}
			for k, x := range have {
				m[k] = x
			}
			v, l = append(v, m), append(l, labels[i]+","+value)
		}
	}
	return v, l
}

var variable = regexp.MustCompile(`\$[a-z]+`)

func substitute(text string, v map[string]string) (string, error) {
	var lost error
	out := variable.ReplaceAllStringFunc(text, func(s string) string {
		value, ok := v[s[1:]]
		if !ok {
			lost = fmt.Errorf("nothing is called %s; begin with: vary %s …", s, s[1:])
		}
		return strings.ReplaceAll(value, "+", " ") // vary flags SYN+ACK
	})
	return out, lost
}

// settle gives the names addresses and reads the steps.
func (s *Scenario) settle(number int) error {
	s.Place.Number = number
	for i := range s.Steps {
		if err := s.step(&s.Steps[i]); err != nil {
			return fmt.Errorf("%s: line %d: %w", s.Name, s.Steps[i].Line, err)
		}
	}
	// However a scenario ends, what stands then is looked at.
	if last := len(s.Steps) - 1; last >= 0 && !s.Steps[last].Look {
		s.Steps = append(s.Steps, Step{Line: s.Steps[last].Line, Text: "look", Look: true})
	}
	return nil
}

func (s *Scenario) step(st *Step) (err error) {
	word, rest, _ := strings.Cut(st.Text, " ")
	switch {
	case strings.HasPrefix(word, "-"):
		st.Command, err = s.Place.command(st.Text)
	case word == "look":
		st.Look = true
	case word == "stats":
		st.Stats = true
	case word == "wait":
		st.Wait, err = time.ParseDuration(rest)
	case word == "sysctl":
		st.Sysctl, st.Value, err = parseSysctl(rest)
	case word == "mark":
		st.Mark, err = s.Place.mark(strings.Fields(rest))
	case word == "mtu":
		link, size, _ := strings.Cut(rest, " ")
		st.Link = link
		if st.MTU, err = strconv.Atoi(size); err == nil {
			_, err = wireOf(link)
		}
	default:
		st.Packets, err = s.Place.packets(st.Text)
	}
	return err
}

var ports = regexp.MustCompile(`:(\d+)\.\.(\d+)`)

// packets reads a packet; "client:1000..1009 > …" is ten.
func (p Place) packets(text string) (out []Packet, err error) {
	texts := []string{text}
	if m := ports.FindStringSubmatchIndex(text); m != nil {
		from, _ := strconv.Atoi(text[m[2]:m[3]])
		to, _ := strconv.Atoi(text[m[4]:m[5]])
		if from > to || to > 65535 {
			return nil, fmt.Errorf("ports %s go nowhere", text[m[0]+1:m[1]])
		}
		texts = nil
		for n := from; n <= to; n++ {
			texts = append(texts, text[:m[0]]+":"+strconv.Itoa(n)+text[m[1]:])
		}
	}
	for _, t := range texts {
		pkt, err := p.parsePacket(t)
		if err != nil {
			return nil, err
		}
		out = append(out, pkt)
	}
	return out, nil
}

// command gives the names in a line of ipvsadm's their addresses.
func (p Place) command(text string) (string, error) {
	words := strings.Fields(text)
	for i := 1; i < len(words); i++ {
		if words[i-1] == "-f" {
			n, err := strconv.Atoi(words[i])
			if err != nil {
				return "", err
			}
			words[i] = strconv.Itoa(int(p.Mark(n)))
			if p.V6 {
				words[i] += " -6"
			}
		}
		if !slices.Contains([]string{"-t", "-u", "-r", "--sctp-service"}, words[i-1]) {
			continue
		}
		a, err := p.addrPort(words[i])
		if err != nil {
			return "", err
		}
		words[i] = a.String()
	}
	return strings.Join(words, " "), nil
}
