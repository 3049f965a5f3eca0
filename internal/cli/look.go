package cli

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/lvs"
)

func (c *command) status() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Say how the running weir is",
		Example: "  weir status\n  weir status --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.weir().Status(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(s)
			}
			return c.statusTable(s)
		},
	}
}

func (c *command) statusTable(s client.Status) error {
	t := &table{}
	t.row("weir", fmt.Sprintf("%s, process %d, since %s", s.Version, s.PID, moment(s.Started)))
	applied := "none applied yet"
	if s.Configured {
		applied = fmt.Sprintf("%s, applied %s", s.Config, moment(s.Applied))
	}
	t.row("configuration", applied)
	if s.Refused != "" {
		first, more, _ := strings.Cut(s.Refused, "\n")
		if more != "" {
			first += fmt.Sprintf(" (and %d more: weir check -c %s)", 1+strings.Count(more, "\n"), s.Config)
		}
		t.row("last reload", "refused: "+first)
	}
	plane := s.Plane
	for _, name := range slices.Sorted(maps.Keys(s.Interfaces)) {
		plane += fmt.Sprintf(" %s=%s", name, s.Interfaces[name])
	}
	t.row("data plane", plane+", table since "+moment(s.TableSince))
	t.row("services", fmt.Sprintf("%d, fallback standing in for %d", s.Services, s.Fallbacks))
	t.row("real servers", fmt.Sprintf("%d up, %d down", s.Up, s.Down))
	t.row("connections", use(s))
	if len(s.Served) > 0 {
		t.row("API", strings.Join(s.Served, ", "))
	}
	for _, w := range s.ServedWrong {
		t.row("API", w)
	}
	for i, d := range s.Drift {
		if i == maxDrift {
			t.row("drift", fmt.Sprintf("and %d more: weir status --json", len(s.Drift)-i))
			break
		}
		t.row("drift", lvs.DriftKind(d.Kind).Help()+": "+strings.Join(d.Lines, "; "))
	}
	if s.Problem != "" {
		t.row("problem", s.Problem)
	}
	return t.print(c.Stdout)
}

// maxDrift is how many changes of others the status lists.
const maxDrift = 10

// use says how full the table of connections is, where it has an end.
func use(s client.Status) string {
	if s.Use.Size == 0 {
		return strconv.Itoa(s.Use.Used)
	}
	return fmt.Sprintf("%d of %d, %d half-open", s.Use.Used, s.Use.Size, s.Use.Half)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

func (c *command) services() *cobra.Command {
	return &cobra.Command{
		Use:     "services",
		Short:   "List virtual services and their real servers with health and counters",
		Example: "  weir services\n  weir services --json | jq '.[].destinations[] | select(.health == \"down\")'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !c.json {
				return c.serviceTable(c.weir().EachService(cmd.Context()))
			}
			ss, err := c.weir().Services(cmd.Context())
			if err != nil {
				return err
			}
			return c.printJSON(ss)
		},
	}
}

func (c *command) serviceTable(all iter.Seq2[*client.Service, error]) error {
	t := &table{colour: c.colour(), right: map[int]bool{2: true, 3: true, 4: true, 5: true, 6: true, 7: true}}
	t.row("SERVICE -> REAL SERVER", "METHOD", "WEIGHT", "ACTIVE", "INACTIVE", "CONNS", "IN", "OUT", "HEALTH", "WHY")
	for s, err := range all {
		if err != nil {
			return err
		}
		var active, inactive uint64
		for _, d := range s.Destinations {
			active, inactive = active+uint64(d.Active), inactive+uint64(d.Inactive)
		}
		t.row(serviceName(s.Service), s.Scheduler, "", amount(active), amount(inactive), amount(s.Counters.Connections),
			amount(s.Counters.InBytes), amount(s.Counters.OutBytes), "", "")
		for _, d := range s.Destinations {
			weight, method := strconv.Itoa(d.Weight), d.Forward
			if !d.Installed {
				weight, method = "-", "out"
			}
			t.row("  -> "+d.Destination, method, weight, amount(uint64(d.Active)), amount(uint64(d.Inactive)),
				amount(d.Counters.Connections), amount(d.Counters.InBytes), amount(d.Counters.OutBytes), d.Health, why(d))
		}
	}
	return t.print(c.Stdout)
}

// why is why a real server stands as it does: an order first.
func why(d client.Destination) string {
	if d.Order == nil {
		return d.Why
	}
	text := fmt.Sprintf("ordered weight %d", d.Order.Weight)
	if d.Order.Weight == 0 {
		text = "quiesced by order"
	}
	if d.Why != "" {
		text += "; " + d.Why
	}
	return text
}

// serviceName is a service as its listing begins: "TCP 192.0.2.1:80".
func serviceName(s string) string {
	k, err := lvs.ParseServiceKey(s)
	if err != nil || k.Mark != 0 {
		return s
	}
	return k.Protocol.String() + " " + k.Addr.String()
}

func (c *command) connections() *cobra.Command {
	var q client.ConnectionQuery
	cmd := &cobra.Command{
		Use:   "connections",
		Short: "List connections",
		Example: `  weir connections --limit 20
  weir connections --client 203.0.113.0/24 --state established
  weir connections --service 192.0.2.1:80 --destination 10.0.0.1 --json`,
		Args:    cobra.NoArgs,
		PreRunE: c.understood(func([]string) error { return checkQuery(&q) }),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cs, err := c.weir().Connections(cmd.Context(), q)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(cs)
			}
			return c.connectionTable(cs)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Client, "client", "", "only those of this client `address` or prefix")
	f.StringVar(&q.Service, "service", "", "only those to this virtual `address`, with or without port")
	f.StringVar(&q.Destination, "destination", "", "only those to this real server `address`, with or without port")
	f.StringVar(&q.State, "state", "", "only those in this `state`, as shown, in any case")
	f.StringVar(&q.Protocol, "protocol", "", "only tcp or udp")
	f.IntVar(&q.Limit, "limit", 1000, "at most this many, up to 100000")
	return cmd
}

// checkQuery refuses what weir would refuse, and makes it what weir expects.
func checkQuery(q *client.ConnectionQuery) error {
	q.Protocol = strings.ToLower(q.Protocol)
	if q.Limit < 1 || q.Limit > client.MaxLimit {
		return fmt.Errorf("limit: %d; from 1 to %d are possible", q.Limit, client.MaxLimit)
	}
	_, err := q.Filter()
	return err
}

func (c *command) connectionTable(cs client.Connections) error {
	t := &table{right: map[int]bool{6: true}}
	t.row("PROTO", "CLIENT", "VIRTUAL", "DESTINATION", "METHOD", "STATE", "EXPIRES")
	for _, x := range cs.Connections {
		t.row(strings.ToUpper(x.Protocol), x.Client, x.Virtual, x.Destination, x.Forward, x.State,
			fmt.Sprintf("%d:%02d", x.Expires/60, x.Expires%60))
	}
	if err := t.print(c.Stdout); err != nil {
		return err
	}
	if cs.More {
		fmt.Fprintln(c.Stderr, "weir: there are more; raise --limit or narrow with a filter")
	}
	return nil
}

func (c *command) totals() *cobra.Command {
	return &cobra.Command{
		Use:     "totals",
		Short:   "Print what became of packets: every verdict with its count",
		Example: "  weir totals\n  weir totals --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			totals, err := c.weir().Totals(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(totals)
			}
			if len(totals.Verdicts) == 0 {
				fmt.Fprintln(c.Stderr, "weir: the kernel's IPVS does not count what becomes of packets; weir services and weir proc ip_vs_stats tell what it counts")
			}
			t := &table{right: map[int]bool{1: true}}
			t.row("VERDICT", "PACKETS", "FATE", "MEANING")
			for _, v := range totals.Verdicts {
				t.row(v.Name, strconv.FormatUint(v.Packets, 10), v.Fate, v.Help)
			}
			return t.print(c.Stdout)
		},
	}
}

func (c *command) metrics() *cobra.Command {
	return &cobra.Command{
		Use:   "metrics",
		Short: "Print the metrics in the text form of Prometheus",
		Long: `Print the metrics in the text form of Prometheus. They are also answered over
HTTP at /metrics on the socket.`,
		Example: "  weir metrics\n  weir metrics > /var/lib/prometheus/node-exporter/weir.prom",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.weir().Metrics(cmd.Context(), c.Stdout)
		},
	}
}

func (c *command) events() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:     "events",
		Short:   "List what has happened: servers going and coming, reloads, problems",
		Example: "  weir events\n  weir events --follow",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var since time.Time
			wait := time.Duration(0)
			for {
				es, err := c.weir().Events(cmd.Context(), since, wait)
				if err != nil {
					if cmd.Context().Err() != nil {
						return nil // told to stop following
					}
					return err
				}
				if err := c.printEvents(es, follow); err != nil || !follow {
					return err
				}
				if len(es) > 0 {
					since = es[len(es)-1].At
				}
				wait = time.Minute
			}
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens from now")
	return cmd
}

// printEvents prints one line for each; as JSON a list, or one object for
// each when there is no end to the list.
func (c *command) printEvents(es []lvs.Event, follow bool) error {
	if c.json && !follow {
		return c.printJSON(es)
	}
	for _, e := range es {
		if c.json {
			if err := c.printJSON(e); err != nil {
				return err
			}
			continue
		}
		words := []string{moment(e.At), e.Kind, e.Service, e.Destination, e.Text}
		words = slices.DeleteFunc(words, func(s string) bool { return s == "" })
		if _, err := fmt.Fprintln(c.Stdout, strings.Join(words, "  ")); err != nil {
			return err
		}
	}
	return nil
}
