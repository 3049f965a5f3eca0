package ipvsadm

import "strings"

// A words reads a command line as popt does, the library behind ipvsadm.
type words struct {
	args   []string
	word   string   // the word being read, for messages
	bundle string   // letters of it that are still to come
	rest   []string // words that are no options
	ended  bool     // "--" was read
}

// next is the next option with its value. Without an option the line is over
// or wrong.
func (w *words) next() (o *option, value string, given bool, fault *Failure) {
	for w.bundle == "" {
		if len(w.args) == 0 {
			return nil, "", false, nil
		}
		w.word, w.args = w.args[0], w.args[1:]
		switch {
		case w.ended, w.word == "-", !strings.HasPrefix(w.word, "-"):
			w.rest = append(w.rest, w.word)
		case w.word == "--":
			w.ended = true
		case strings.HasPrefix(w.word, "--"):
			return w.long()
		default:
			w.bundle = w.word[1:]
		}
	}
	return w.short()
}

func (w *words) wrong(text string) *Failure { return &Failure{w.word + ": " + text, Refused} }

func (w *words) long() (*option, string, bool, *Failure) {
	name, value, given := strings.Cut(w.word[2:], "=")
	for i := range options {
		if o := &options[i]; o.long == name {
			if given && o.value == no {
				return nil, "", false, w.wrong("option does not take an argument")
			}
			if given {
				return o, value, true, nil
			}
			return w.value(o)
		}
	}
	return nil, "", false, w.wrong("unknown option")
}

func (w *words) short() (*option, string, bool, *Failure) {
	letter := w.bundle[0]
	w.bundle = w.bundle[1:]
	for i := range options {
		o := &options[i]
		if o.short != letter {
			continue
		}
		if o.value != no && w.bundle != "" {
			value := strings.TrimPrefix(w.bundle, "=")
			w.bundle = ""
			return o, value, true, nil
		}
		return w.value(o)
	}
	w.bundle = ""
	return nil, "", false, w.wrong("unknown option")
}

// value takes the word after the option, if it needs or may have one.
func (w *words) value(o *option) (*option, string, bool, *Failure) {
	switch {
	case o.value == no:
		return o, "", false, nil
	case len(w.args) > 0 && (o.value == yes || !strings.HasPrefix(w.args[0], "-")):
		value := w.args[0]
		w.args = w.args[1:]
		return o, value, true, nil
	case o.value == maybe:
		return o, "", false, nil
	}
	return nil, "", false, w.wrong("missing argument")
}
