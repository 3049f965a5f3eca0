package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/guest"
	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// A manner is one way to speak VRRP, in both programs' words. Each is played
// twice: once weir has the higher priority, once keepalived.
type manner struct {
	name, version      string
	weir, keep         string // more words
	six                bool
	weirFrom, keepFrom netip.Addr // of unicast; zero: multicast
}

var (
	ours, theirs   = netip.MustParseAddr("10.91.0.1"), netip.MustParseAddr("10.91.0.2")
	ours6, theirs6 = netip.MustParseAddr("fd91::1"), netip.MustParseAddr("fd91::2")
	watcher        = netip.MustParseAddr("10.91.0.9")
	watcher6       = netip.MustParseAddr("fd91::9")
)

var manners = []manner{
	{name: "v2", version: "2"},
	{name: "v2-password", version: "2", weir: ", password: secret12", keep: "authentication {\n auth_type PASS\n auth_pass secret12\n }"},
	{name: "v2-unicast", version: "2", weirFrom: ours, keepFrom: theirs},
	{name: "v3", version: "3"},
	{name: "v3-unicast", version: "3", weirFrom: ours, keepFrom: theirs},
	{name: "v3-six", version: "3", six: true},
	{name: "v3-six-unicast", version: "3", six: true, weirFrom: ours6, keepFrom: theirs6},
}

// A duo is a weir and a keepalived on one segment, and somebody who uses their
// addresses.
//
//	weir ──┐
//	keep ──┼── switch
//	watch ─┘
type duo struct {
	*testing.T
	weir, keep, watch *lab.Host
	dir               string
	daemons           map[string]*lab.Cmd
}

func newDuo(t *testing.T) *duo {
	labtest.NeedRoot(t)
	l := labtest.New(t)
	d := &duo{T: t, dir: t.TempDir(), daemons: map[string]*lab.Cmd{}}
	hub := labtest.Host(t, l, "switch")
	labtest.Must(t, hub.Bridge("lan"))
	for name, h := range map[string]struct {
		to    **lab.Host
		addrs []netip.Addr
	}{"weir": {&d.weir, []netip.Addr{ours, ours6}}, "keep": {&d.keep, []netip.Addr{theirs, theirs6}}, "watch": {&d.watch, []netip.Addr{watcher, watcher6}}} {
		*h.to = labtest.Host(t, l, name)
		port := lab.Port{Host: *h.to, Name: "eth0", Addrs: []netip.Prefix{netip.PrefixFrom(h.addrs[0], 16), netip.PrefixFrom(h.addrs[1], 64)}}
		labtest.Must(t, l.Wire(port, lab.Port{Host: hub, Name: name, Bridge: "lan"}, lab.WireOptions{}))
	}
	_, err := guest.BuildProgram(t.Context(), "../../cmd/weir", d.dir)
	labtest.Must(t, err)
	return d
}

// A shared is one virtual router of the test.
type shared struct {
	manner
	id    int
	vip   netip.Addr
	weirs bool // weir has the higher priority
}

func everyManner() (all []shared) {
	for i, m := range manners {
		for j, weirs := range []bool{true, false} {
			s := shared{m, 1 + 2*i + j, netip.AddrFrom4([4]byte{10, 91, 1, byte(1 + 2*i + j)}), weirs}
			if m.six {
				s.vip = netip.MustParseAddr(fmt.Sprintf("fd91::1:%x", s.id))
			}
			all = append(all, s)
		}
	}
	return all
}

// configure writes both programs' files.
func (d *duo) configure(all []shared) {
	var w, k strings.Builder
	w.WriteString("engine: {connections: 4096, half_open: 1024}\nservices: []\nrouters:\n")
	k.WriteString("global_defs {\n router_id keep\n}\n")
	for _, s := range all {
		high, low := 150, 90
		if !s.weirs {
			high, low = low, high
		}
		peers, unicast, interval := "", "", "interval: 200ms"
		if s.version == "2" {
			interval = "interval: 1s"
		}
		if s.weirFrom.IsValid() {
			peers = fmt.Sprintf(", source: %q, peers: [%q]", s.weirFrom, s.keepFrom)
			unicast = fmt.Sprintf("unicast_src_ip %s\n unicast_peer {\n %s\n }", s.keepFrom, s.weirFrom)
		}
		fmt.Fprintf(&w, "  - {name: r%d, interface: eth0, id: %d, version: %s, priority: %d, %s, addresses: [%q]%s%s}\n", s.id, s.id, s.version, high, interval, s.vip, s.weir, peers)
		fmt.Fprintf(&k, "vrrp_instance r%d {\n state BACKUP\n interface eth0\n virtual_router_id %d\n version %s\n priority %d\n advert_int %s\n %s\n %s\n virtual_ipaddress {\n %s\n }\n}\n",
			s.id, s.id, s.version, low, map[string]string{"2": "1", "3": "0.2"}[s.version], s.keep, unicast, s.vip)
	}
	labtest.Must(d.T, os.WriteFile(filepath.Join(d.dir, "weir.yaml"), []byte(w.String()), 0o600),
		os.WriteFile(filepath.Join(d.dir, "keepalived.conf"), []byte(k.String()), 0o600))
}

func (d *duo) start(name string, h *lab.Host, args ...string) {
	d.Helper()
	out, err := os.OpenFile(filepath.Join(d.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	labtest.Must(d.T, err)
	defer out.Close()
	c := h.Command(context.Background(), args[0], args[1:]...)
	c.Stdout, c.Stderr = out, out
	labtest.Must(d.T, c.Start())
	d.daemons[name] = c
}

func (d *duo) startWeir() {
	d.start("weir", d.weir, filepath.Join(d.dir, "weir"), "run", "-c", filepath.Join(d.dir, "weir.yaml"))
}

func (d *duo) startKeepalived() {
	at := func(name string) string { return filepath.Join(d.dir, name) }
	d.start("keepalived", d.keep, "keepalived", "-n", "-l", "-D", "-P", "-f", at("keepalived.conf"), "-p", at("k.pid"), "-r", at("v.pid"), "-c", at("c.pid"))
}

func (d *duo) end(name string, s syscall.Signal) {
	d.Helper()
	c := d.daemons[name]
	delete(d.daemons, name)
	labtest.Must(d.T, c.Process.Signal(s))
	_ = c.Wait() // killed ones say so
}

// holds tells which of the addresses stand on h.
func (d *duo) holds(h *lab.Host) map[netip.Addr]bool {
	d.Helper()
	out, err := h.Command(d.Context(), "ip", "-json", "addr", "show", "dev", "eth0").Output()
	labtest.Must(d.T, err)
	var links []struct {
		Addrs []struct {
			Local netip.Addr `json:"local"`
		} `json:"addr_info"`
	}
	labtest.Must(d.T, json.Unmarshal(out, &links))
	held := map[netip.Addr]bool{}
	for _, a := range links[0].Addrs {
		held[a.Local] = true
	}
	return held
}

// held waits until each address is where it should be and nowhere else, and
// the user of the addresses has learnt so.
func (d *duo) held(when string, all []shared, byWeir func(shared) bool) {
	d.Helper()
	var wrong []string
	for end := time.Now().Add(25 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		wrong = nil
		here, there, learnt := d.holds(d.weir), d.holds(d.keep), d.learnt()
		macs := map[bool]string{true: d.mac(d.weir), false: d.mac(d.keep)}
		for _, s := range all {
			want := byWeir(s)
			if here[s.vip] != want || there[s.vip] == want {
				wrong = append(wrong, fmt.Sprintf("%s (r%d): weir %v, keepalived %v, want weir %v", s.name, s.id, here[s.vip], there[s.vip], want))
			} else if mac := learnt[s.vip]; mac != "" && mac != macs[want] {
				wrong = append(wrong, fmt.Sprintf("%s (r%d): its user was not told that it is at %s now", s.name, s.id, macs[want]))
			}
		}
		if len(wrong) == 0 {
			return
		}
	}
	d.Errorf("%s:\n%s", when, strings.Join(wrong, "\n"))
}

func (d *duo) mac(h *lab.Host) string {
	mac, err := h.MAC("eth0")
	labtest.Must(d.T, err)
	return mac.String()
}

// learnt is what the user of the addresses knows about where they are.
func (d *duo) learnt() map[netip.Addr]string {
	d.Helper()
	out, err := d.watch.Command(d.Context(), "ip", "-json", "neigh").Output()
	labtest.Must(d.T, err)
	var all []struct {
		Dst    netip.Addr `json:"dst"`
		LLAddr string     `json:"lladdr"`
	}
	labtest.Must(d.T, json.Unmarshal(out, &all))
	known := map[netip.Addr]string{}
	for _, n := range all {
		known[n.Dst] = n.LLAddr
	}
	return known
}

// use asks every address for an answer, so that the user knows where it is.
func (d *duo) use(all []shared) {
	d.Helper()
	for _, s := range all {
		if out, err := d.watch.Command(d.Context(), "ping", "-c1", "-W3", s.vip.String()).CombinedOutput(); err != nil {
			d.Errorf("%s does not answer: %v\n%s", s.vip, err, out)
		}
	}
}

// TestKeepalived plays weir and Debian's keepalived as the two directors of a
// pair: election, failover and return in both directions, in every manner.
func TestKeepalived(t *testing.T) {
	d := newDuo(t)
	all := everyManner()
	d.configure(all)
	t.Cleanup(func() {
		for name := range d.daemons {
			d.end(name, syscall.SIGTERM)
		}
		for _, name := range []string{"weir", "keepalived"} {
			if text, _ := os.ReadFile(filepath.Join(d.dir, name+".log")); t.Failed() {
				lines := strings.Split(string(text), "\n")
				t.Logf("%s said:\n%s", name, strings.Join(lines[max(0, len(lines)-80):], "\n"))
			}
		}
		down := d.weir.Command(context.Background(), filepath.Join(d.dir, "weir"), "down")
		if out, err := down.CombinedOutput(); err != nil {
			t.Errorf("weir down: %v\n%s", err, out)
		}
	})
	higher := func(s shared) bool { return s.weirs }
	always := func(shared) bool { return true }
	never := func(shared) bool { return false }

	d.startWeir()
	d.startKeepalived()
	d.held("election", all, higher)
	d.use(all)
	d.end("weir", syscall.SIGTERM)
	d.held("weir was stopped", all, never)
	d.startWeir()
	d.held("weir is back and preempts", all, higher)
	d.end("keepalived", syscall.SIGTERM)
	d.held("keepalived was stopped", all, always)
	d.startKeepalived()
	d.held("keepalived is back and preempts", all, higher)
	d.end("weir", syscall.SIGKILL)
	time.Sleep(5 * time.Second) // its addresses stand, and keepalived has them, too
	if held := d.holds(d.keep); slices.ContainsFunc(all, func(s shared) bool { return !held[s.vip] }) {
		t.Errorf("keepalived does not hold all after weir was killed: %v", held)
	}
	d.startWeir()
	d.held("weir was killed and is back", all, higher)
	d.use(all)
	d.handsOver(all)
}

// handsOver gives an address away by command, and it stays away.
func (d *duo) handsOver(all []shared) {
	d.Helper()
	i := slices.IndexFunc(all, func(s shared) bool { return s.name == "v3" && s.weirs })
	given := all[i]
	out, err := d.weir.Command(d.Context(), filepath.Join(d.dir, "weir"), "handover", fmt.Sprintf("r%d", given.id)).CombinedOutput()
	if err != nil {
		d.Errorf("handover: %v\n%s", err, out)
	}
	d.held("one was handed over", all, func(s shared) bool { return s.weirs && s.id != given.id })
	time.Sleep(2 * time.Second)
	d.held("and stays there", all, func(s shared) bool { return s.weirs && s.id != given.id })
}
