package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/weir-lb/weir/internal/lvs"
)

// maxNodes bounds what a file may unfold to: aliases let a short text stand
// for an enormous one.
const maxNodes = 1 << 20

// A reader walks the nodes of a weir.yaml along the tables of keys and keeps
// every problem it meets. Its depth is that of the tables, whatever the file.
type reader struct {
	file     string
	problems Problems
	nodes    int
	kernels  bool // the data plane is the kernel's IPVS
}

func (r *reader) place(n *yaml.Node) Place { return Place{File: r.file, Line: n.Line} }

func (r *reader) errorf(n *yaml.Node, format string, args ...any) {
	r.problems.Errorf(r.place(n), format, args...)
}

// document is the one document in text; nil when it is empty or not YAML.
func (r *reader) document(text []byte) *yaml.Node {
	if len(text) > MaxText {
		r.problems.Errorf(Place{File: r.file}, "the file is larger than %d MiB", MaxText>>20)
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	if err := d.Decode(&first); err != nil {
		if !errors.Is(err, io.EOF) {
			r.broken(err)
		}
		return nil
	}
	if err := d.Decode(&second); err == nil {
		r.errorf(&second, "a second document; write everything into one")
	} else if !errors.Is(err, io.EOF) {
		r.broken(err)
	}
	if len(first.Content) == 0 {
		return nil
	}
	return first.Content[0]
}

var lineInError = regexp.MustCompile(`line (\d+)`)

// broken tells where a text stops being YAML.
func (r *reader) broken(err error) {
	at, text := Place{File: r.file}, err.Error()
	var load *yaml.LoadError
	if errors.As(err, &load) {
		at.Line, text = load.Mark.Line, load.Message
	} else if m := lineInError.FindStringSubmatch(text); m != nil {
		at.Line, _ = strconv.Atoi(m[1])
	}
	if strings.Contains(text, "cannot start any token") {
		text += "; indent with blanks, not tabs, and put text that begins with @, ` or % in quotes"
	}
	r.problems.Errorf(at, "not YAML: %s", text)
}

// resolve follows an alias and counts, so that no file unfolds without end.
func (r *reader) resolve(n *yaml.Node) *yaml.Node {
	if r.nodes++; r.nodes == maxNodes {
		r.errorf(n, "the aliases of this file unfold to more than %d values", maxNodes)
	}
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

func (r *reader) exhausted() bool { return r.nodes >= maxNodes }

// fields are the keys of one mapping, each known and there once.
type fields struct {
	r    *reader
	of   *object
	at   *yaml.Node
	node map[string]*yaml.Node
}

// object reads a mapping. A bare value is taken for the key it is short for.
func (r *reader) object(n *yaml.Node, o *object) fields {
	n = r.resolve(n)
	f := fields{r: r, of: o, at: n, node: map[string]*yaml.Node{}}
	switch {
	case r.exhausted() || isNull(n):
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			f.add(n.Content[i], n.Content[i+1])
		}
	case n.Kind == yaml.ScalarNode && o.short != "":
		f.node[o.short] = n
	default:
		r.errorf(n, "%s: want keys and values, have %s", o.name, kindOf(n))
		return f
	}
	for _, name := range o.must {
		if f.node[name] == nil && !r.exhausted() {
			r.errorf(n, "%s: %s is missing", o.name, name)
		}
	}
	return f
}

func (f fields) add(name, value *yaml.Node) {
	name = f.r.resolve(name)
	if name.Kind != yaml.ScalarNode || f.of.key(name.Value) == nil {
		if why := lvs.ForeignSysctls[name.Value]; why != "" && f.of == sysctlKeys {
			if f.r.kernels {
				why = fmt.Sprintf("set net.ipv4.vs.%s with sysctl(8), which weir leaves as it is", name.Value)
			}
			f.r.problems.Warnf(f.r.place(name), "vs: %s does nothing in weir: %s", name.Value, why)
			return
		}
		f.r.errorf(name, "%s: unknown key %s%s", f.of.name, shown(name), f.of.nearest(name.Value))
		return
	}
	if before := f.node[name.Value]; before != nil {
		f.r.errorf(name, "%s: %s is said twice, first in line %d", f.of.name, name.Value, before.Line)
		return
	}
	f.node[name.Value] = value
}

// nearest is a hint for a key that was probably meant.
func (o *object) nearest(word string) string {
	names := make([]string, 0, len(o.keys))
	for _, k := range o.keys {
		names = append(names, k.name)
	}
	if name := Nearest(word, names); name != "" {
		return fmt.Sprintf("; it is written %s", name)
	}
	return "; known are " + strings.Join(names, " ")
}

func (f fields) has(name string) bool { return f.node[name] != nil }

// get finds the node and the key of a name; ok is false when the file does
// not say it.
func (f fields) get(name string) (*yaml.Node, *key, bool) {
	k := f.of.key(name)
	if k == nil {
		panic("config: " + f.of.name + " has no key " + name)
	}
	n := f.node[name]
	if n == nil {
		return nil, k, false
	}
	return f.r.resolve(n), k, true
}

func (f fields) wrong(n *yaml.Node, k *key, want string) {
	have := shown(n)
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		have = "text in quotes, " + have
	}
	f.r.errorf(n, "%s: want %s, have %s", k.name, want, have)
}

// text reads a text and tells whether there was one, be it empty.
func (f fields) text(name string, to *string) bool {
	n, k, ok := f.get(name)
	if !ok {
		return false
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		f.wrong(n, k, "text (in quotes if it looks like something else)")
		return false
	}
	*to = n.Value
	return true
}

func (f fields) bool(name string, to *bool) {
	n, k, ok := f.get(name)
	if !ok {
		return
	}
	if n.Kind != yaml.ScalarNode || (n.Value != "true" && n.Value != "false") {
		f.wrong(n, k, "true or false")
		return
	}
	*to = n.Value == "true"
}

// readNumber reads a whole number within the bounds of its key.
func readNumber[T int | uint8 | uint16 | uint32](f fields, name string, to *T) {
	n, k, ok := f.get(name)
	if !ok {
		return
	}
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < k.min || v > k.max || n.ShortTag() == "!!str" {
		f.wrong(n, k, fmt.Sprintf("a whole number from %d to %d", k.min, k.max))
		return
	}
	*to = T(v)
}

func (f fields) duration(name string, to *time.Duration) {
	n, k, ok := f.get(name)
	if !ok {
		return
	}
	v, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || int64(v) < k.min || int64(v) > k.max {
		f.wrong(n, k, fmt.Sprintf("a time with its unit (500ms, 5s, 2m) from %s to %s",
			brief(time.Duration(k.min)), brief(time.Duration(k.max))))
		return
	}
	*to = v
}

func readWord[T ~string](f fields, name string, to *T) {
	n, k, ok := f.get(name)
	if !ok {
		return
	}
	if n.Kind != yaml.ScalarNode || !slices.Contains(k.words, n.Value) {
		f.wrong(n, k, "one of "+strings.Join(k.words, " "))
		return
	}
	*to = T(n.Value)
}

func (f fields) texts(name string) []*yaml.Node {
	var out []*yaml.Node
	n, k, ok := f.get(name)
	if !ok || isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		f.wrong(n, k, "a list")
		return nil
	}
	for _, item := range n.Content {
		if item = f.r.resolve(item); f.r.exhausted() {
			return nil
		}
		if item.Kind != yaml.ScalarNode || item.ShortTag() != "!!str" {
			f.wrong(item, k, "text in the list")
			continue
		}
		out = append(out, item)
	}
	return out
}

// child is the mapping behind a key; without one it is empty.
func (f fields) child(name string) (fields, bool) {
	n, k, ok := f.get(name)
	if !ok {
		return fields{r: f.r, of: k.of, at: f.at}, false
	}
	return f.r.object(n, k.of), true
}

// children are the mappings of a list.
func (f fields) children(name string) []fields {
	n, k, ok := f.get(name)
	if !ok || isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		f.wrong(n, k, "a list")
		return nil
	}
	var out []fields
	for _, item := range n.Content {
		if f.r.exhausted() {
			return nil
		}
		out = append(out, f.r.object(item, k.of))
	}
	return out
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "keys and values"
	}
	return shown(n)
}

// shown is a value as a message may show it: short and on one line.
func shown(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return kindOf(n)
	}
	if isNull(n) {
		return "nothing"
	}
	if len(n.Value) > 60 {
		return strconv.Quote(n.Value[:60]) + "…"
	}
	return strconv.Quote(n.Value)
}

// brief writes a time without its empty tail: 15m instead of 15m0s.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
