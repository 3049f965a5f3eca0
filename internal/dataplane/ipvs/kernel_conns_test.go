package ipvs

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// TestConnectionsLive: a connection is listed, and lives through changes
// around its destination, and through its being moved in the list.
func TestConnectionsLive(t *testing.T) {
	kernelOr(t, func(t *testing.T) {
		p := newKernel(t)
		var client, server net.Conn
		local := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("127.0.0.1:8000")}, Scheduler: lvs.WLC}
		spare := lvs.Destination{Addr: netip.MustParseAddrPort("127.0.0.3:8001"), Forward: lvs.Masquerade}
		var live lvs.Destination
		err := p.space.in(func() error {
			l, err := net.Listen("tcp4", "127.0.0.2:0")
			if err != nil {
				return err
			}
			defer l.Close()
			live = lvs.Destination{Addr: netip.MustParseAddrPort(l.Addr().String()), Forward: lvs.Masquerade, Weight: 1}
			local.Destinations = []lvs.Destination{live}
			if err := p.Put(context.Background(), local); err != nil {
				return err
			}
			if client, err = net.DialTimeout("tcp4", local.Key.Addr.String(), 5*time.Second); err != nil {
				return err
			}
			server, err = l.Accept()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		defer server.Close()
		talks := func(when string) {
			t.Helper()
			for _, c := range []net.Conn{client, server} {
				if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			answer := make([]byte, 4)
			if _, err := client.Write([]byte("ping")); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			if _, err := server.Read(answer); err != nil || string(answer) != "ping" {
				t.Fatalf("%s: heard %q, %v", when, answer, err)
			}
		}
		tuning := lvs.DefaultTuning()
		tuning.Sysctls[lvs.ExpireNodestConn] = 1 // a destination that is taken out loses its connections
		if err := p.Tune(t.Context(), tuning); err != nil {
			t.Fatal(err)
		}
		talks("at first")
		var seen []lvs.Connection
		for c, err := range p.Connections(t.Context(), lvs.ConnectionFilter{State: "established"}) {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, c)
		}
		if len(seen) != 1 || seen[0].Destination != live.Addr || seen[0].Virtual != local.Key.Addr || seen[0].Forward != lvs.Masquerade {
			t.Errorf("connections %v", seen)
		}
		with := local
		with.Destinations = []lvs.Destination{spare, live}
		put(t, p, with)
		talks("beside another destination")
		p.kernel = talk{hesitant{p.kernel.kernel}}
		with.Scheduler, with.Destinations = lvs.RR, []lvs.Destination{live, spare} // live has to move
		put(t, p, with)
		talks("in another place")
		quiet := live
		quiet.Weight = 0
		with.Destinations = []lvs.Destination{quiet}
		put(t, p, with)
		talks("quiesced")
		counted(t, p, local.Key, live.Addr)
	})
}

// A hesitant kernel takes its time after a destination was taken out: the gap in
// which it would forget the connections.
type hesitant struct{ kernel }

func (h hesitant) ask(ctx context.Context, cmd uint8, dump bool, attrs []byte) ([][]byte, error) {
	out, err := h.kernel.ask(ctx, cmd, dump, attrs)
	if cmd == cmdDelDest {
		time.Sleep(300 * time.Millisecond)
	}
	return out, err
}

// counted waits until the kernel shows what it counted.
func counted(t *testing.T, p *Plane, k lvs.ServiceKey, at netip.AddrPort) {
	t.Helper()
	var c lvs.DestinationCounters
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		totals, err := p.Totals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c = totals.Services[k].Of(0, at)
		if c.Connections == 1 && c.InPackets > 0 && c.Active == 1 && totals.All.Connections == 1 && totals.Connections.Used == 1 {
			if one, err := p.Count(t.Context(), k); err != nil || one.Connections != 1 || one.Of(0, at) != c {
				t.Errorf("alone it counts %+v, %v; among all %+v", one, err, c)
			}
			if use, err := p.Use(t.Context()); err != nil || use.Used != 1 {
				t.Errorf("the table holds %+v, %v", use, err)
			}
			if err := p.Zero(t.Context(), &k); err != nil {
				t.Fatal(err)
			}
			if totals, err = p.Totals(t.Context()); err != nil || totals.Services[k].InPackets != 0 {
				t.Errorf("zeroed, it counts %v, %v", totals.Services[k].Counters, err)
			}
			return
		}
	}
	t.Errorf("counted %+v", c)
}
