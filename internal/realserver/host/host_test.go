package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/netif/local"
	"github.com/weir-lb/weir/internal/realserver"
)

var tunnelWish = realserver.Wish{VIPs: both, Methods: []realserver.Method{realserver.Gate, realserver.IPIP}}

// state is all that Up could change.
func (r *rig) state(i int) string {
	r.t.Helper()
	var f realserver.Facts
	labtest.Must(r.t, r.Real[i].Do(func() (err error) {
		f, _, err = facts(tunnelWish)
		return err
	}))
	var lines []string
	for k, v := range f.Settings {
		lines = append(lines, k+"="+v)
	}
	for _, a := range f.Addresses {
		lines = append(lines, fmt.Sprint(a))
	}
	slices.Sort(lines)
	return strings.Join(append(lines, fmt.Sprint(f.Unwrap)), "\n")
}

// line finds a requirement.
func line(t *testing.T, rep realserver.Report, name string) realserver.Requirement {
	t.Helper()
	for _, r := range rep.Requirements {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no line %q in %+v", name, rep.Requirements)
	return realserver.Requirement{}
}

func TestDownLeavesNoTrace(t *testing.T) {
	r := newRig(t, 1, lab.WireOptions{})
	labtest.Must(t, r.Real[0].Sysctl("net/ipv4/conf/eth0/rp_filter", "1"), r.Real[0].Unroute(netip.MustParsePrefix("0.0.0.0/0")))
	before := r.state(0)
	if rep := r.check(0, tunnelWish); !realserver.Bad(rep.Requirements) || r.state(0) != before {
		t.Errorf("check of a bare host: %+v", rep.Requirements)
	}
	if rep := r.up(0, tunnelWish); realserver.Bad(rep.Requirements) || len(rep.Done) != 6 || len(rep.Changes) != 6 {
		t.Errorf("up: %+v", rep)
	}
	after := r.state(0)
	if rep := r.up(0, tunnelWish); len(rep.Done)+len(rep.Undone) != 0 || len(rep.Changes) != 6 || r.state(0) != after {
		t.Errorf("up again did %v, undid %v", rep.Done, rep.Undone)
	}
	// The words say the whole.
	one := realserver.Wish{VIPs: both[:1], Methods: []realserver.Method{realserver.Gate}}
	if rep := r.up(0, one); len(rep.Done) != 0 || len(rep.Undone) != 2 || len(rep.Changes) != 4 {
		t.Errorf("up for less did %v, undid %v", rep.Done, rep.Undone)
	}
	if rep := r.down(0); len(rep.Undone) != 4 {
		t.Errorf("down undid %v", rep.Undone)
	}
	if d := cmp.Diff(before, r.state(0)); d != "" {
		t.Errorf("down left traces:\n%s", d)
	}
	if _, err := os.Stat(r.hosts[0].Record); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the record is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(r.hosts[0].Record)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is still there: %v", err)
	}
	if rep := r.down(0); len(rep.Undone) != 0 {
		t.Errorf("down of nothing undid %v", rep.Undone)
	}
}

// Killed before any of its changes, or after, Down finds what there is to undo.
func TestDownAfterACrash(t *testing.T) {
	r := newRig(t, 1, lab.WireOptions{})
	before := r.state(0)
	for done := range 6 {
		labtest.Must(t, r.Real[0].Do(func() error {
			f, _, err := facts(tunnelWish)
			if err != nil {
				return err
			}
			todo := realserver.Todo(realserver.Check(tunnelWish, f))
			if len(todo) != 5 {
				return fmt.Errorf("%d changes: %v", len(todo), todo)
			}
			unlock, err := r.hosts[0].lock()
			if err != nil {
				return err
			}
			defer unlock()
			if err := r.hosts[0].write(record{Wish: tunnelWish, Changes: todo}); err != nil {
				return err
			}
			for _, c := range todo[:done] {
				if err := do(c); err != nil {
					return err
				}
			}
			return nil
		}))
		r.down(0)
		if d := cmp.Diff(before, r.state(0)); d != "" {
			t.Errorf("killed after %d changes, down left traces:\n%s", done, d)
		}
	}
}

// What somebody changed after weir is theirs; what stood before it too.
func TestDownLeavesWhatIsNotWeirs(t *testing.T) {
	r := newRig(t, 1, lab.WireOptions{})
	labtest.Must(t, r.Real[0].Address("lo", netip.PrefixFrom(lab.VirtualAddr, 32)))
	rep := r.up(0, tunnelWish)
	if len(rep.Done) != 4 {
		t.Errorf("did %v", rep.Done)
	}
	labtest.Must(t, r.Real[0].Sysctl("net/ipv4/conf/all/arp_ignore", "2"))
	rep = r.down(0)
	if len(rep.Kept) != 1 || rep.Kept[0].Setting.Key != "net/ipv4/conf/all/arp_ignore" {
		t.Errorf("kept %v", rep.Kept)
	}
	after := r.state(0)
	for _, want := range []string{"net/ipv4/conf/all/arp_ignore=2", "net/ipv4/conf/all/arp_announce=0", "{lo 10.90.1.100/32 false}"} {
		if !strings.Contains(after, want) {
			t.Errorf("no %q in\n%s", want, after)
		}
	}
}

// A setting goes back to what it was before the first Up, however often it was
// put right since.
func TestUpRemembersTheFirstValue(t *testing.T) {
	r := newRig(t, 1, lab.WireOptions{})
	before := r.state(0)
	r.up(0, tunnelWish)
	labtest.Must(t, r.Real[0].Sysctl("net/ipv4/conf/all/arp_announce", "1"))
	if rep := r.up(0, tunnelWish); len(rep.Done) != 1 {
		t.Errorf("did %v", rep.Done)
	}
	r.down(0)
	if d := cmp.Diff(before, r.state(0)); d != "" {
		t.Errorf("down left traces:\n%s", d)
	}
}

// The segment is asked who has the addresses. A server that has them on lo and
// no settings answers ARP; over IPv6 nobody needs settings.
func TestWhoAnswers(t *testing.T) {
	r := newRig(t, 2, lab.WireOptions{})
	ask := func() (four, six realserver.Requirement) {
		rep := r.check(0, tunnelWish)
		return line(t, rep, "who answers for "+both[0].String()), line(t, rep, "who answers for "+both[1].String())
	}
	// The director has the IPv4 address on another interface and answers for
	// it here all the same, as Linux does.
	director, err := r.Director.MAC("back")
	labtest.Must(t, err)
	if four, six := ask(); four.State != realserver.OK || !strings.Contains(four.Found, director.String()) || !strings.HasPrefix(six.Found, "nobody") {
		t.Errorf("director alone: %+v, %+v", four, six)
	}
	for _, a := range both {
		labtest.Must(t, r.Real[1].Address("lo", netip.PrefixFrom(a, a.BitLen())))
	}
	other, err := r.Real[1].MAC("eth0")
	labtest.Must(t, err)
	four, six := ask()
	if four.State != realserver.Wrong || !strings.Contains(four.Found, other.String()) {
		t.Errorf("another server answers: %+v", four)
	}
	if !strings.HasPrefix(six.Found, "nobody") {
		t.Errorf("an address on lo was answered over IPv6: %+v", six)
	}
	r.up(1, tunnelWish)
	if four, _ := ask(); four.State != realserver.OK {
		t.Errorf("after up there: %+v", four)
	}
	// IPv6 is heard at all: on the interface itself it is answered.
	labtest.Must(t, r.Real[1].Address("eth0", netip.PrefixFrom(both[1], 128)))
	if _, six := ask(); !strings.Contains(six.Found, other.String()) {
		t.Errorf("an address on eth0 was not answered over IPv6: %+v", six)
	}
}

func TestListenersAreFound(t *testing.T) {
	r := newRig(t, 1, lab.WireOptions{})
	r.serve(0, 81)
	pc, err := r.Real[0].ListenPacket("udp", "10.90.2.11:53")
	labtest.Must(t, err)
	defer pc.Close()
	ln, err := r.Real[0].Listen("tcp", "10.90.2.11:443")
	labtest.Must(t, err)
	defer ln.Close()
	for _, a := range both {
		if got := line(t, r.check(0, tunnelWish), "listeners on "+a.String()); got.State != realserver.OK || got.Found != "tcp 81" {
			t.Errorf("%+v", got)
		}
	}
}

func TestCheckWithoutUp(t *testing.T) {
	r := newRig(t, 1, lab.WireOptions{})
	err := r.Real[0].Do(func() error {
		_, err := r.hosts[0].Check(t.Context(), nil)
		return err
	})
	if !errors.Is(err, ErrNoWish) {
		t.Errorf("got %v", err)
	}
	r.up(0, tunnelWish)
	rep := r.do(0, func(h Host) (realserver.Report, error) { return h.Check(t.Context(), nil) })
	if realserver.Bad(rep.Requirements) || rep.Wish.String() != tunnelWish.String() {
		t.Errorf("%+v", rep)
	}
}

func TestABrokenRecordIsRefused(t *testing.T) {
	r := newRig(t, 1, lab.WireOptions{})
	for _, text := range []string{"{", `{"weir_realserver": 99}`, "\x00"} {
		labtest.Must(t, os.MkdirAll(strings.TrimSuffix(r.hosts[0].Record, "/realserver.json"), 0o755), os.WriteFile(r.hosts[0].Record, []byte(text), 0o600))
		before := r.state(0)
		for name, call := range map[string]func(Host) error{
			"up":   func(h Host) error { _, err := h.Up(context.Background(), tunnelWish); return err },
			"down": func(h Host) error { _, err := h.Down(context.Background()); return err },
		} {
			err := r.Real[0].Do(func() error { return call(r.hosts[0]) })
			if err == nil || !strings.Contains(err.Error(), "realserver.json") {
				t.Errorf("%s with record %q: %v", name, text, err)
			}
		}
		if r.state(0) != before {
			t.Error("something was changed")
		}
	}
}

// A kernel that has tunnel devices unwraps by itself; weir then keeps out of
// it, but an rp_filter in their way is its business. Loading the modules has
// made a device in every network.
func TestTheKernelUnwraps(t *testing.T) {
	r := newRig(t, 1, lab.WireOptions{})
	real := r.Real[0]
	if err := real.Up("tunl0"); err != nil {
		t.Skip("this kernel has no module ipip; the guest's has")
	}
	labtest.Must(t, real.Up("ip6tnl0"), real.Sysctl("net/ipv4/conf/tunl0/rp_filter", "1"))
	wish := realserver.Wish{VIPs: both[:1], Methods: []realserver.Method{realserver.IPIP}}
	got := line(t, r.check(0, wish), "unwrapping")
	if got.State != realserver.Wrong || !strings.Contains(got.Found, "tunl0 takes only a part") {
		t.Errorf("IPv4 in IPv6 is taken by nobody: %+v", got)
	}
	// ip6tnl0 has the place of all senders to all addresses.
	args := strings.Fields("link add t46 type ip6tnl mode ipip6 remote :: local " + lab.RealAddr6(0).String())
	if out, err := real.Command(t.Context(), "ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	labtest.Must(t, real.Up("t46"))
	rep := r.check(0, wish)
	if got := line(t, rep, "unwrapping"); got.State != realserver.OK || !strings.Contains(got.Found, "kernel") {
		t.Errorf("all devices are up: %+v", got)
	}
	if got := line(t, rep, "rp_filter of tunl0"); got.State != realserver.Wrong {
		t.Errorf("%+v", got)
	}
	rep = r.up(0, wish)
	if realserver.Bad(rep.Requirements) {
		t.Errorf("after up: %+v", rep.Requirements)
	}
	labtest.Must(t, real.Do(func() error {
		f, _, err := facts(wish)
		if f.Unwrap != nil {
			t.Error("weir's program was attached all the same")
		}
		return err
	}))
	r.throughIPIP(t)
	r.down(0)
}

func TestLocalToolsOnOddInput(t *testing.T) {
	labtest.NeedRoot(t)
	if err := local.Set("net/ipv4/conf/none/arp_ignore", "1"); err == nil {
		t.Error("a setting of no interface was written")
	}
	if err := local.RemoveAddress(realserver.Standing{Link: "none", Prefix: netip.MustParsePrefix("192.0.2.1/32")}); err != nil {
		t.Errorf("an interface that is gone has nothing to remove: %v", err)
	}
}
