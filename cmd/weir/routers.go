package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-lb/weir/internal/announce"
	"github.com/weir-lb/weir/internal/director"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/netif/advert"
	"github.com/weir-lb/weir/internal/netif/hold"
	"github.com/weir-lb/weir/internal/plan"
	"github.com/weir-lb/weir/internal/vrrp"
)

// A sharing is this director's part in the virtual routers. The addresses
// follow the roles at once; the director hears of a role and need not have done
// anything for it, since every director has the whole table.
type sharing struct {
	file   string // where it is written which addresses were added
	log    *slog.Logger
	d      *director.Director
	sets   chan []lvs.Router
	runner atomic.Pointer[vrrp.Runner]
	failed atomic.Pointer[[]lvs.RouterRole] // what is shown while there is no runner

	mu    sync.Mutex
	roles map[string]lvs.RouterRole
	links map[string]advert.Link
	wake  chan struct{}
}

func newSharing(socket string, d *director.Director, log *slog.Logger) partner {
	s := &sharing{file: addressesPath(socket), log: log, d: d, sets: make(chan []lvs.Router, 1), roles: map[string]lvs.RouterRole{}, wake: make(chan struct{}, 1)}
	s.failed.Store(&[]lvs.RouterRole{})
	return s
}

// addressesPath is where the weir behind a socket writes down which addresses
// it has added.
func addressesPath(socket string) string { return filepath.Join(filepath.Dir(socket), "addresses") }

// release takes away the addresses that a weir which no longer runs has left.
func release(file string) error {
	h, err := hold.Open(file)
	if err != nil {
		return err
	}
	defer h.Close()
	return h.Set(nil)
}

// set is what routers there are from now on. It does not wait.
func (s *sharing) set(routers []lvs.Router) {
	select {
	case <-s.sets: // nobody has seen it
	default:
	}
	s.sets <- routers
}

// list are all routers as they are.
func (s *sharing) list() []lvs.RouterRole {
	if r := s.runner.Load(); r != nil {
		return r.Roles()
	}
	return *s.failed.Load()
}

// handOver makes a router give its addresses to a peer.
func (s *sharing) handOver(ctx context.Context, name string) error {
	r := s.runner.Load()
	if r == nil {
		return errors.New("no virtual router runs here")
	}
	return r.Yield(ctx, name)
}

// run takes part once the first table stands, and as soon as there are routers.
// An address that came before its table would refuse those who use it.
func (s *sharing) run(ctx context.Context) error {
	for !s.d.Snapshot().Configured {
		next := s.d.NextEvent()
		if s.d.Snapshot().Configured {
			break
		}
		select {
		case <-next:
		case <-ctx.Done():
			return nil
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case routers := <-s.sets:
			if len(routers) == 0 && !s.left() {
				continue
			}
			err := s.share(ctx, routers)
			if err == nil {
				return nil // ctx has ended
			}
			s.log.Error("virtual routers do not run", "error", err, "next", "mend it and reload")
			s.fail(routers, err)
		}
	}
}

// left tells whether an earlier weir may have left addresses.
func (s *sharing) left() bool {
	h, err := hold.Open(s.file)
	if err != nil {
		return true // sharing says what is wrong
	}
	defer h.Close()
	return len(h.Held()) > 0
}

func (s *sharing) fail(routers []lvs.Router, err error) {
	var roles []lvs.RouterRole
	for _, r := range routers {
		roles = append(roles, lvs.RouterRole{Router: r, State: lvs.RouterFault, Why: err.Error(), Priority: r.Priority})
	}
	s.failed.Store(&roles)
}

// air is the wire as the runner of routers sees it.
type air struct{ *advert.Wire }

func (a air) Send(p vrrp.Packet) error { return a.Wire.Send(advert.Packet(p)) }

// share opens what routers need and runs them until ctx ends. Then they give
// up, the addresses go, and nothing is left.
func (s *sharing) share(ctx context.Context, routers []lvs.Router) error {
	holder, err := hold.Open(s.file)
	if err != nil {
		return err
	}
	defer holder.Close()
	var runner *vrrp.Runner
	wire, err := advert.Open(s.log, func(p advert.Packet) { runner.Receive(vrrp.Packet(p)) })
	if err != nil {
		return err
	}
	defer wire.Close()
	runner = vrrp.NewRunner(vrrp.Options{Air: air{wire}, Told: s.told, Log: s.log})
	announcer := announce.New(wire.Frame, s.log)
	seats := &seats{wire: wire, runner: runner}
	seats.set(routers)
	s.runner.Store(runner)
	defer s.runner.Store(nil)
	ended := make(chan struct{}) // the routers have
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(ended)
		return runner.Run(ctx)
	})
	g.Go(func() error { return announcer.Run(ctx) })
	g.Go(func() error {
		return advert.Watch(ctx, s.log, func(links map[string]advert.Link) {
			seats.see(links)
			s.see(links)
		})
	})
	g.Go(func() error { s.follow(ended, holder, announcer); return nil })
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case routers := <-s.sets:
				seats.set(routers)
			}
		}
	})
	return g.Wait()
}

// Seats are where routers take part: interfaces come and go, and so do
// routers.
type seats struct {
	wire   *advert.Wire
	runner *vrrp.Runner

	mu      sync.Mutex
	routers []lvs.Router
	links   map[string]advert.Link
}

func (s *seats) set(routers []lvs.Router) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routers = routers
	s.listen()
	s.runner.Set(routers)
}

func (s *seats) see(links map[string]advert.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = links
	s.listen()
	seen := make(map[string]vrrp.Link, len(links))
	for name, l := range links {
		seen[name] = s.link(l)
	}
	s.runner.Links(seen)
}

func (s *seats) listen() {
	want := map[string]int{}
	for _, r := range s.routers {
		if l, ok := s.links[r.Interface]; ok && l.Up {
			want[r.Interface] = l.Index
		}
	}
	s.wire.Listen(want)
}

// link is an interface as routers see it: what they hold themselves is no
// address that adverts could come from.
func (s *seats) link(l advert.Link) vrrp.Link {
	out := vrrp.Link{Up: l.Up, Source: map[lvs.Family]netip.Addr{}}
	for _, p := range l.Addrs {
		a := p.Addr()
		out.Addrs = append(out.Addrs, a)
		family := lvs.FamilyOf(a)
		if out.Source[family].IsValid() || family == lvs.IPv6 && !a.IsLinkLocalUnicast() || s.shared(a) {
			continue
		}
		out.Source[family] = a
	}
	return out
}

func (s *seats) shared(a netip.Addr) bool {
	for _, r := range s.routers {
		for _, h := range r.Held() {
			if h.Prefix.Addr() == a && r.Priority != vrrp.Owner {
				return true
			}
		}
	}
	return false
}

// told takes a role: the addresses follow it, and the director hears of it.
func (s *sharing) told(r lvs.RouterRole) {
	s.mu.Lock()
	s.roles[r.Router.Name] = r
	s.mu.Unlock()
	s.ring()
	s.d.Role(r)
}

func (s *sharing) see(links map[string]advert.Link) {
	s.mu.Lock()
	s.links = links
	s.mu.Unlock()
	s.ring()
}

func (s *sharing) ring() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// again is when what the kernel refused is tried again.
const again = time.Second

// follow lets the addresses follow the roles until the routers have ended and
// given up.
func (s *sharing) follow(ended <-chan struct{}, holder *hold.Holder, announcer *announce.Announcer) {
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for last := false; !last; {
		select {
		case <-s.wake:
		case <-retry.C:
		case <-ended:
			last = true
		}
		roles, links := s.now()
		if links == nil {
			continue // it is not known yet where addresses could be
		}
		held := plan.Held(roles, holder.Held())
		if last {
			held = nil // also what nobody had decided about yet
		}
		if err := holder.Set(held); err != nil {
			s.log.Error("addresses are not as they should be", "error", err)
			retry.Reset(again)
		}
		announcer.Set(places(roles, links))
	}
}

func (s *sharing) now() (roles []lvs.RouterRole, links map[string]advert.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.roles)) {
		roles = append(roles, s.roles[name])
	}
	return roles, s.links
}

// places are the addresses of active routers as neighbours are told of them.
func places(roles []lvs.RouterRole, links map[string]advert.Link) (out []announce.Place) {
	for _, r := range roles {
		if r.State != lvs.RouterActive {
			continue
		}
		for _, a := range r.Router.Held() {
			out = append(out, announce.Place{Addr: a.Prefix.Addr(), Link: a.Interface, MAC: links[a.Interface].MAC.String(), Often: r.Router.Announce})
		}
	}
	return out
}
