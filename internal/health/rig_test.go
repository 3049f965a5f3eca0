package health

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A rig is a monitor in fake time, with servers that answer as told.
type rig struct {
	*Monitor
	t     *testing.T
	began time.Time
	end   func()

	mu       sync.Mutex
	down     map[netip.AddrPort]string        // why it answers badly
	slow     map[netip.AddrPort]time.Duration // how long an answer takes
	asked    map[netip.AddrPort][]time.Duration
	kinds    []lvs.CheckKind
	verdicts []string // "5s 10.0.0.1:80 down no answer"
	within   func()   // done once, before the next verdict is heard
	inFlight int
	most     int
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, began: time.Now(), down: map[netip.AddrPort]string{},
		slow: map[netip.AddrPort]time.Duration{}, asked: map[netip.AddrPort][]time.Duration{}}
	r.Monitor = NewMonitor(slog.New(slog.DiscardHandler), r.hearVerdict)
	r.checker = func(t lvs.Target) (Checker, error) { return fake{r, t.Check.Kind}, nil }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	r.end = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return r
}

// whileTelling has do done once, while the monitor is busy telling a verdict.
func (r *rig) whileTelling(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.within = do
}

func (r *rig) hearVerdict(v lvs.Verdict) {
	r.mu.Lock()
	if do := r.within; do != nil {
		r.within = nil
		r.mu.Unlock()
		do()
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	text := fmt.Sprintf("%v %s up", v.At.Sub(r.began), v.Destination)
	if !v.Up {
		text = fmt.Sprintf("%v %s down %s", v.At.Sub(r.began), v.Destination, v.Why)
	}
	r.verdicts = append(r.verdicts, text)
}

// heard are the verdicts since the last look.
func (r *rig) heard() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.verdicts
	r.verdicts = nil
	return v
}

func (r *rig) want(what string, verdicts ...string) {
	r.t.Helper()
	if got := r.heard(); !slices.Equal(got, verdicts) {
		r.t.Errorf("%s: heard %q, want %q", what, got, verdicts)
	}
}

func (r *rig) set(addr netip.AddrPort, why string, slow time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down[addr], r.slow[addr] = why, slow
}

type fake struct {
	r    *rig
	kind lvs.CheckKind
}

func (f fake) String() string { return "fake" }

func (f fake) Check(ctx context.Context, to netip.AddrPort) error {
	f.r.mu.Lock()
	f.r.asked[to] = append(f.r.asked[to], time.Since(f.r.began))
	f.r.kinds = append(f.r.kinds, f.kind)
	f.r.inFlight++
	f.r.most = max(f.r.most, f.r.inFlight)
	slow := f.r.slow[to]
	f.r.mu.Unlock()
	sleep(ctx, slow)
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.r.inFlight--
	if why := f.r.down[to]; why != "" {
		return &Failure{lvs.ReasonOther, why}
	}
	return ctx.Err()
}

var (
	a80 = netip.MustParseAddrPort("10.0.0.1:80")
	b80 = netip.MustParseAddrPort("10.0.0.2:80")
)

func target(service string, dest netip.AddrPort) lvs.Target {
	return lvs.Target{
		Service:     lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort(service)},
		Destination: dest,
		Check:       lvs.Check{Kind: lvs.CheckHTTP, Interval: 10 * time.Second, Timeout: 3 * time.Second, Fall: 1, Rise: 1},
	}
}
