package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/dataplane/dataplanetest"
	"github.com/weir-lb/weir/internal/lvs"
)

var discard = slog.New(slog.DiscardHandler)

var (
	web   = lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80")}
	mail  = lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:25")}
	names = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:80"),
		netip.MustParseAddrPort("10.0.0.3:80"), netip.MustParseAddrPort("10.0.0.4:80"), netip.MustParseAddrPort("10.0.0.5:80")}
)

func webs(weights ...int) lvs.Service {
	s := lvs.Service{Key: web, Scheduler: lvs.WLC}
	for i, w := range weights {
		s.Destinations = append(s.Destinations, lvs.Destination{Addr: names[i], Weight: w})
	}
	return s
}

// TestConformanceOnAFake holds the editing to the seam's promises without a
// kernel; TestConformance does with one.
func TestConformanceOnAFake(t *testing.T) {
	dataplanetest.Run(t, func(t *testing.T) dataplane.Dataplane {
		p, _ := newFake(t)
		return sumless{p}
	})
}

// A sumless plane has no sums over all services: those are a file of a kernel
// with IPVS.
type sumless struct{ *body }

type body = Plane // has a method of that name

func (s sumless) Totals(ctx context.Context) (lvs.Totals, error) {
	t, err := s.body.Totals(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return t, err
}

func (s sumless) Reading(ctx context.Context) (lvs.Reading, error) { return s.Totals(ctx) }

// TestEdits: whatever stands and whatever is wished, the edits lead there, and
// of destinations that can stay none is taken out.
func TestEdits(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	pick := func() lvs.Service {
		s := lvs.Service{Key: web, Scheduler: lvs.Schedulers[dice.IntN(3)]}
		for _, i := range dice.Perm(len(names))[:dice.IntN(len(names)+1)] {
			s.Destinations = append(s.Destinations, lvs.Destination{Addr: names[i], Weight: dice.IntN(3)})
		}
		return s
	}
	for range 5000 {
		p, f := &Plane{kernel: talk{}}, &fake{lacks: "absent"}
		p.kernel.kernel, p.log = f, discard
		have, want := pick(), pick()
		f.table = []lvs.Service{have.Clone()}
		list, moved := edits(have, true, want)
		for _, e := range list {
			if err := p.kernel.tell(t.Context(), e.cmd, want, e.dest); err != nil {
				t.Fatalf("%s\nto %s\n%v: %v", lines(have), lines(want), f.said, err)
			}
		}
		if !f.table[0].Equal(want) {
			t.Fatalf("%s\nto %s\ngave %s", lines(have), lines(want), lines(f.table[0]))
		}
		if inPlanOrder(have, want) && moved {
			t.Fatalf("%s\nto %s\nmoves a destination", lines(have), lines(want))
		}
	}
}

// inPlanOrder tells whether want is in the order plan.Diff asks for: what is
// new first, what stays in its order.
func inPlanOrder(have, want lvs.Service) bool {
	last, stays := -1, false
	for _, d := range want.Destinations {
		i := slices.IndexFunc(have.Destinations, func(h lvs.Destination) bool { return h.Addr == d.Addr })
		if i < 0 && stays || i >= 0 && i < last {
			return false
		}
		if i >= 0 {
			last, stays = i, true
		}
	}
	return true
}

func lines(s lvs.Service) string { return strings.Join(s.Lines(), " | ") }

// TestTheServiceIsNeverLeftAlone: at no moment of a change is there nobody who
// takes packets, if there was somebody and will be.
func TestTheServiceIsNeverLeftAlone(t *testing.T) {
	p, f := newFake(t)
	put(t, p, webs(1, 0, 0))
	f.meddle = func(uint8) {
		if i := f.find(web); i >= 0 && !slices.ContainsFunc(f.table[i].Destinations, func(d lvs.Destination) bool { return d.Weight > 0 }) {
			t.Errorf("nobody serves: %s", lines(f.table[i]))
		}
	}
	put(t, p, webs(0, 1, 0))
	next := webs(0, 0, 0, 0, 5)
	next.Destinations = next.Destinations[4:]
	put(t, p, next)
}

func put(t *testing.T, p *Plane, s lvs.Service) {
	t.Helper()
	if err := p.Put(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func drop(t *testing.T, p *Plane, k lvs.ServiceKey) {
	t.Helper()
	if err := p.Drop(t.Context(), k); err != nil {
		t.Fatal(err)
	}
}

// TestSomebodyElsesHand: the table changes between looking and changing.
func TestSomebodyElsesHand(t *testing.T) {
	p, f := newFake(t)
	put(t, p, webs(1))
	once := true
	f.meddle = func(cmd uint8) {
		if cmd == cmdNewDest && once {
			once = false
			f.table[0].Destinations = append(f.table[0].Destinations, lvs.Destination{Addr: names[1], Weight: 7})
		}
	}
	want := webs(1, 1)
	slices.Reverse(want.Destinations)
	put(t, p, want)
	if !f.table[0].Equal(want) {
		t.Errorf("%s", lines(f.table[0]))
	}
}

// TestOurs: what weir put in is known over its death, and only that is taken
// away.
func TestOurs(t *testing.T) {
	p, f := newFake(t)
	foreign := lvs.Service{Key: mail, Scheduler: lvs.RR}
	f.table = append(f.table, foreign)
	put(t, p, webs(1, 2))
	six := lvs.Service{Key: lvs.ServiceKey{Mark: 7, Family: lvs.IPv6}, Scheduler: lvs.RR}
	put(t, p, six)
	drop(t, p, six.Key)
	again := reopen(t, p.record.path, f)
	if ours := again.Ours(); len(ours) != 1 || !ours[web] {
		t.Errorf("ours are %v", ours)
	}
	if !again.record.since.Equal(p.record.since) {
		t.Errorf("the table stands since %v, and after a restart since %v", p.record.since, again.record.since)
	}
	if err := again.Remove(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if len(f.table) != 1 || f.table[0].Key != mail {
		t.Errorf("left is %v", f.table)
	}
	if _, err := os.Stat(p.record.path); err == nil {
		t.Error("the record stays")
	}
}

// TestWhatStandsAlreadyBecomesOurs: Put of what is there writes nothing and
// yet makes it weir's.
func TestWhatStandsAlreadyBecomesOurs(t *testing.T) {
	p, f := newFake(t)
	f.table = append(f.table, webs(1))
	put(t, p, webs(1))
	if p.Writes() != 0 || !p.Ours()[web] {
		t.Errorf("%d writes, ours %v", p.Writes(), p.Ours())
	}
}

func TestKept(t *testing.T) {
	p, f := newFake(t)
	put(t, p, webs(1))
	put(t, p, lvs.Service{Key: mail, Scheduler: lvs.RR})
	if err := p.Remove(t.Context(), []lvs.ServiceKey{web}); err != nil {
		t.Fatal(err)
	}
	if len(f.table) != 1 || f.table[0].Key != web || !reopen(t, p.record.path, f).Ours()[web] {
		t.Errorf("left is %v", f.table)
	}
}

// TestRecordOfAnotherNamespace is void, and so is one that is no record.
func TestRecordOfAnotherNamespace(t *testing.T) {
	p, f := newFake(t)
	put(t, p, webs(1))
	path := p.record.path
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{strings.Replace(string(text), p.space.id, "another/1", 1), "nonsense\n", "", "ipvs 1\n",
		strings.Replace(string(text), "ipvs 1 ", "ipvs 2 ", 1)} {
		if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		if ours := reopen(t, path, f).Ours(); len(ours) != 0 {
			t.Errorf("%q: ours are %v", other, ours)
		}
	}
	// What was written halfway is left out, the rest counts.
	if err := os.WriteFile(path, append(text, "put -t 192.0.2"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if ours := reopen(t, path, f).Ours(); len(ours) != 1 {
		t.Errorf("ours are %v", ours)
	}
}

func TestRefusals(t *testing.T) {
	p, f := newFake(t)
	f.lacks = lvs.MH
	mh := webs(1)
	mh.Scheduler = lvs.MH
	err := p.Put(t.Context(), mh)
	if !errors.Is(err, lvs.ErrNoScheduler) || !strings.Contains(fmt.Sprint(err), "modprobe ip_vs_mh") {
		t.Errorf("a scheduler without module: %v", err)
	}
	bad := webs(1)
	bad.Destinations[0].Lower = 5
	if err := p.Put(t.Context(), bad); !errors.Is(err, lvs.ErrRange) || !strings.Contains(fmt.Sprint(err), "10.0.0.1:80") {
		t.Errorf("thresholds: %v", err)
	}
	if len(f.table) != 0 {
		t.Errorf("what was refused stands: %s", lines(f.table[0]))
	}
	if err := p.Tune(t.Context(), lvs.Tuning{Rules: []lvs.Rule{{Mark: 1}}}); !errors.Is(err, lvs.ErrUnsupported) {
		t.Errorf("marks: %v", err)
	}
	if _, err := p.Explain(t.Context(), lvs.Probe{}); !errors.Is(err, lvs.ErrUnsupported) {
		t.Errorf("explain: %v", err)
	}
	for e, want := range map[syscall.Errno]string{syscall.EPERM: "CAP_NET_ADMIN", syscall.ENOMEM: "no memory", syscall.EBUSY: "busy"} {
		if err := explain(e, cmdNewService, lvs.Service{}); !strings.Contains(fmt.Sprint(err), want) || !errors.Is(err, e) {
			t.Errorf("%v: %v", e, err)
		}
	}
}

// TestAbsentSettings: those of lblc wait for its module, others are refused
// unless they are as the kernel has them anyway.
func TestAbsentSettings(t *testing.T) {
	p, _ := newFake(t)
	for _, s := range []lvs.Sysctl{lvs.LblcExpiration, lvs.SloppyTCP} {
		if err := p.absent(s, s.Info().Default); err != nil || len(p.pending) > 0 {
			t.Errorf("%s as by default: %v, %v", s.Info().Name, err, p.pending)
		}
	}
	if err := p.absent(lvs.LblcExpiration, 7); err != nil || p.pending[lvs.LblcExpiration] != 7 {
		t.Errorf("%v, %v", err, p.pending)
	}
	if err := p.absent(lvs.SloppyTCP, 1); !errors.Is(err, lvs.ErrUnsupported) {
		t.Error(err)
	}
}

func TestTimeouts(t *testing.T) {
	p, f := newFake(t)
	before := f.timeouts
	want := lvs.DefaultTuning()
	want.Timeouts.TCP /= 2
	for range 2 {
		if err := p.Tune(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	if f.timeouts != want.Timeouts || p.Writes() != 1 {
		t.Errorf("timeouts %v after %d writes", f.timeouts, p.Writes())
	}
	if err := reopen(t, p.record.path, f).Remove(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if f.timeouts != before {
		t.Errorf("put back to %v, were %v", f.timeouts, before)
	}
}
