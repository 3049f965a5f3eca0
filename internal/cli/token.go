package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/api/token"
	"github.com/weir-lb/weir/internal/dialect/all"
	"github.com/weir-lb/weir/internal/lvs"
)

// DefaultTokens is where tokens are kept if neither the command line nor the
// configuration says.
const DefaultTokens = "/etc/weir/tokens"

// A tokenFile is where the tokens are that a command works on.
type tokenFile struct{ path, config string }

func (c *command) token() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and remove the tokens that open the API over TCP",
		Long: `Make, list and remove the tokens that open the API over TCP. They are kept, as
salted hashes, in the file the configuration names under api: tokens. The
running weir reads it at a reload. Works on files only, on this host.`,
		Example: "  weir token add grafana --role read\n  weir token list\n  weir token remove grafana && weir reload",
		Args:    cobra.NoArgs,
	}
	var f tokenFile
	p := cmd.PersistentFlags()
	p.StringVar(&f.path, "file", "", "the token `FILE`; none: the one the configuration names, or "+DefaultTokens)
	p.StringVarP(&f.config, "config", "c", DefaultFile, "configuration `FILE` that names the token file")
	cmd.AddCommand(c.tokenAdd(&f), c.tokenList(&f), c.tokenRemove(&f))
	return cmd
}

// settle finds the file. That the configuration does not name it is told,
// because then no weir reads it.
func (c *command) settle(f *tokenFile) {
	if f.path != "" {
		return
	}
	text, err := ReadFile(f.config)
	if err == nil {
		// Whatever else is wrong with it, it may name the file.
		cfg, _ := all.Read(f.config, text, "", c.Names)
		f.path = cfg.API.Tokens
	}
	if f.path == "" {
		f.path = DefaultTokens
		fmt.Fprintf(c.Stderr, "weir: %s names no token file; have it say, under api, tokens: %s\n", f.config, f.path)
	}
}

func (c *command) tokenAdd(f *tokenFile) *cobra.Command {
	var word string
	var role lvs.Role
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a token and print it, this once",
		Long: `Make a token and print it. It cannot be printed again: only a hash of it is
kept. The roles are read, which looks, operate, which gives orders to real
servers, and admin, which changes everything.`,
		Example: "  weir token add grafana --role read > grafana.token\n  weir reload",
		Args:    cobra.ExactArgs(1),
		PreRunE: c.understood(func(args []string) (err error) {
			if err := token.ValidName(args[0]); err != nil {
				return err
			}
			if word == "" {
				return fmt.Errorf("say what it may do with --role: read, operate or admin")
			}
			role, err = lvs.ParseRole(word)
			return err
		}),
		RunE: func(_ *cobra.Command, args []string) error {
			c.settle(f)
			secret, e, err := token.New(args[0], role, time.Now())
			if err == nil {
				err = token.Add(f.path, e)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(c.Stderr, "weir: %s has a hash of the token; the running weir knows it after: weir reload\n", f.path)
			if c.json {
				return c.printJSON(struct {
					Name  string `json:"name"`
					Role  string `json:"role"`
					Token string `json:"token"`
				}{e.Name, e.Role.String(), secret})
			}
			_, err = fmt.Fprintln(c.Stdout, secret)
			return err
		},
	}
	cmd.Flags().StringVar(&word, "role", "", "what it may do: read, operate or admin")
	return cmd
}

func (c *command) tokenList(f *tokenFile) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the tokens by name, role and age",
		Example: "  weir token list",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c.settle(f)
			all, err := token.Read(f.path)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(tokensJSON(all))
			}
			t := &table{}
			t.row("NAME", "ROLE", "SINCE")
			for _, e := range all {
				t.row(e.Name, e.Role.String(), moment(e.Since))
			}
			return t.print(c.Stdout)
		},
	}
}

type tokenJSON struct {
	Name  string    `json:"name"`
	Role  string    `json:"role"`
	Since time.Time `json:"since"`
}

func tokensJSON(all []token.Entry) []tokenJSON {
	out := []tokenJSON{}
	for _, e := range all {
		out = append(out, tokenJSON{e.Name, e.Role.String(), e.Since})
	}
	return out
}

func (c *command) tokenRemove(f *tokenFile) *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Remove a token",
		Long:    "Remove a token. The running weir lets it in until it is told to reload.",
		Example: "  weir token remove grafana && weir reload",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c.settle(f)
			if err := token.Remove(f.path, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.Stdout, "%s is removed; the running weir lets it in until: weir reload\n", args[0])
			return err
		},
	}
}
