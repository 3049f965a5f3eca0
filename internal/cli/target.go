package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/weir-lb/weir/internal/api/client"
)

// A target is the weir a command asks: the one of this network namespace, or
// one elsewhere.
type target struct {
	socket string
	remote client.Remote
}

// An option of a target has a name on the command line and one in the
// environment.
type option struct {
	name, env, help string
	to              *string
}

func (t *target) options() []option {
	r := &t.remote
	return []option{
		{"socket", "", "unix socket of the running weir", &t.socket},
		{"server", "WEIR_SERVER", "ask the weir at this `URL` instead, https://host:port", &r.Server},
		{"token-file", "WEIR_TOKEN_FILE", "`file` that holds the token for it, and nothing else", &r.TokenFile},
		{"ca", "WEIR_CA", "`file` with who is believed about its certificate; none: the system's", &r.CA},
		{"cert", "WEIR_CERT", "`file` with a client certificate for it", &r.Cert},
		{"key", "WEIR_KEY", "`file` with the key of that certificate", &r.Key},
	}
}

func (t *target) flags(f *pflag.FlagSet, socket string) {
	t.socket = socket
	for _, o := range t.options() {
		f.StringVar(o.to, o.name, *o.to, o.help)
	}
}

var errBoth = errors.New("--socket and --server: say one of them")

// settle takes from the environment what was not said. Whoever names a socket
// means it, whatever the environment says.
func (t *target) settle(getenv func(string) string, said func(option string) bool) error {
	if said("socket") {
		if said("server") {
			return errBoth
		}
		t.remote = client.Remote{}
		return nil
	}
	for _, o := range t.options() {
		if o.env != "" && !said(o.name) {
			*o.to = getenv(o.env)
		}
	}
	if !said("token-file") {
		t.remote.Token = getenv("WEIR_TOKEN")
	}
	return nil
}

// take takes a target's options from the words of another language, which has
// none of these names.
func (t *target) take(args []string) (rest []string, said func(string) bool) {
	named := map[string]bool{}
	options := t.options()
words:
	for i := 0; i < len(args); i++ {
		for _, o := range options {
			if value, ok := strings.CutPrefix(args[i], "--"+o.name+"="); ok {
				*o.to, named[o.name] = value, true
				continue words
			}
			if args[i] == "--"+o.name && i+1 < len(args) {
				*o.to, named[o.name] = args[i+1], true
				i++
				continue words
			}
		}
		rest = append(rest, args[i])
	}
	return slices.Clip(rest), func(name string) bool { return named[name] }
}

// client asks the target. What is wrong with it is told when it is asked.
func (t *target) client() *client.Client {
	if t.remote.Server != "" {
		return client.NewRemote(t.remote)
	}
	return client.New(t.socket)
}
