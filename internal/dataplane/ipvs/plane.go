package ipvs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lvs"
)

var (
	_ dataplane.Dataplane = (*Plane)(nil)
	_ dataplane.Observer  = (*Plane)(nil)
	_ dataplane.Sharer    = (*Plane)(nil)
	_ dataplane.Explainer = (*Plane)(nil)
	_ dataplane.Syncer    = (*Plane)(nil)
)

// A Plane is the kernel's IPVS of one network namespace.
type Plane struct {
	log    *slog.Logger
	kernel talk
	space  *space
	record *record
	writes atomic.Uint64

	mu      sync.Mutex // guards what follows
	odd     string     // what of the table weir has no words for, as last told
	pending map[lvs.Sysctl]int
	tuning  *lvs.Tuning // as last set; nil: not yet
	seen    picture
}

// Options are where a Plane works and what it remembers by.
type Options struct {
	// Record is the file that remembers which services and settings are
	// weir's doing. It belongs to one network namespace.
	Record string
}

// Open goes to work on the IPVS of the network namespace the caller is in.
// The table stays as it is.
func Open(o Options, log *slog.Logger) (*Plane, error) {
	in, err := here()
	if err != nil {
		return nil, err
	}
	k, err := dial(in)
	if err != nil {
		return nil, errors.Join(err, in.close())
	}
	p, err := open(o, in, k, log)
	if err != nil {
		return nil, errors.Join(err, k.close(), in.close())
	}
	return p, nil
}

func open(o Options, in *space, k kernel, log *slog.Logger) (*Plane, error) {
	p := &Plane{log: log, kernel: talk{k}, space: in, pending: map[lvs.Sysctl]int{}}
	all, _, err := p.kernel.services(context.Background())
	if err == nil {
		p.record, err = openRecord(o.Record, in.id)
	}
	if err != nil {
		return nil, err
	}
	if len(all) > 0 {
		log.Info("table of the kernel's IPVS adopted", "services", len(all), "ours", len(p.record.services))
	}
	return p, nil
}

// Close lets go of the kernel. The table stays and packets flow.
func (p *Plane) Close() error {
	return errors.Join(p.kernel.close(), p.record.close(), p.space.close())
}

// Run implements what the daemon asks of a data plane: there is nothing to keep
// house of, the kernel does.
func (p *Plane) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Writes is how many commands that change something were given.
func (p *Plane) Writes() uint64 { return p.writes.Load() }

// Plane implements dataplane.Observer.
func (p *Plane) Plane() lvs.Plane {
	return lvs.Plane{Name: "ipvs", Modes: map[string]string{}, Since: p.record.since}
}

// attempts is how often a change is worked out anew because somebody else
// changed the same service meanwhile.
const attempts = 3

// Put implements dataplane.Dataplane. It looks first: the table may have been
// changed by others.
func (p *Plane) Put(ctx context.Context, s lvs.Service) (err error) {
	if err := p.record.put(s.Key); err != nil {
		return err
	}
	for range attempts {
		if err = p.put(ctx, s); !overtaken(err) {
			break
		}
	}
	if err != nil {
		return err
	}
	return p.afterPut(ctx, s)
}

// overtaken tells whether err may come of somebody else's hand in between.
func overtaken(err error) bool {
	return slices.ContainsFunc([]error{lvs.ErrServiceExists, lvs.ErrDestinationExists, lvs.ErrNoDestination, lvs.ErrNoService},
		func(e error) bool { return errors.Is(err, e) })
}

func (p *Plane) put(ctx context.Context, s lvs.Service) error {
	have, stands, err := p.standing(ctx, s.Key)
	if err != nil {
		return err
	}
	list, moved := edits(have, stands, s)
	if len(list) == 0 {
		return nil
	}
	if moved {
		back, err := p.keepConnections()
		if err != nil {
			return err
		}
		defer back()
	}
	defer p.turn()
	for i, e := range list {
		p.writes.Add(1)
		if err := p.kernel.tell(ctx, e.cmd, s, e.dest); err != nil {
			if i == 1 && !stands && e.cmd == cmdNewDest {
				// A service whose very first destination is refused would
				// stand there empty and answer clients with errors.
				return errors.Join(destError(e, err), p.takeBack(ctx, s))
			}
			return destError(e, err)
		}
	}
	return nil
}

// takeBack removes a service that was just made.
func (p *Plane) takeBack(ctx context.Context, s lvs.Service) error {
	p.writes.Add(1)
	return p.kernel.tell(ctx, cmdDelService, s, nil)
}

func destError(e edit, err error) error {
	if e.dest == nil {
		return err
	}
	return fmt.Errorf("destination %s: %w", e.dest.Addr, err)
}

// standing is a service as it is now.
func (p *Plane) standing(ctx context.Context, k lvs.ServiceKey) (lvs.Service, bool, error) {
	s, ok, err := p.kernel.service(ctx, k)
	if err != nil || !ok {
		return lvs.Service{}, false, err
	}
	ds, err := p.kernel.destinations(ctx, k)
	return whole(s, ds), true, err
}

func whole(s service, ds []destination) lvs.Service {
	out := s.Service
	for _, d := range ds {
		out.Destinations = append(out.Destinations, d.Destination)
	}
	return out
}

// Drop implements dataplane.Dataplane.
func (p *Plane) Drop(ctx context.Context, k lvs.ServiceKey) error {
	_, stands, err := p.kernel.service(ctx, k)
	if err != nil {
		return err
	}
	if stands {
		p.writes.Add(1)
		err = p.kernel.tell(ctx, cmdDelService, lvs.Service{Key: k}, nil)
		p.turn()
		if err != nil && errno(err) != syscall.ESRCH {
			return err
		}
	}
	return p.record.drop(k)
}

// Installed implements dataplane.Dataplane: what the kernel has, whoever put
// it there.
func (p *Plane) Installed(ctx context.Context) iter.Seq2[lvs.Service, error] {
	return func(yield func(lvs.Service, error) bool) {
		all, err := p.look(ctx)
		if err != nil {
			yield(lvs.Service{}, err)
			return
		}
		for _, f := range all {
			if !yield(whole(f.service, f.destinations), nil) {
				return
			}
		}
	}
}

// Ours implements dataplane.Sharer.
func (p *Plane) Ours() map[lvs.ServiceKey]bool { return p.record.ours() }

// Reach implements dataplane.Dataplane. The kernel finds its own ways.
func (p *Plane) Reach(context.Context, lvs.Network) error { return nil }

// Explain implements dataplane.Explainer.
func (p *Plane) Explain(context.Context, lvs.Probe) (lvs.Explanation, error) {
	return lvs.Explanation{}, fmt.Errorf("a packet cannot be tried on the kernel's IPVS, only with dataplane: ebpf: %w", dataplane.ErrUnsupported)
}

// A found is a service as it was found, with its destinations.
type found struct {
	service
	destinations []destination
}

// A picture is the whole table at one moment.
type picture struct {
	at  time.Time
	all []found
}

// turn looks away from a picture that is of before a change.
func (p *Plane) turn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = picture{}
}

// look reads the whole table, in key order.
func (p *Plane) look(ctx context.Context) ([]found, error) {
	all, odd, err := p.kernel.services(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's IPVS: %w", err)
	}
	out := make([]found, 0, len(all))
	for _, s := range all {
		ds, err := p.kernel.destinations(ctx, s.Key)
		if err != nil {
			return nil, fmt.Errorf("read the kernel's IPVS: %w", err)
		}
		out = append(out, found{s, ds})
	}
	slices.SortFunc(out, func(a, b found) int { return a.Key.Compare(b.Key) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = picture{time.Now(), out}
	p.tellOdd(odd)
	return out, nil
}

// tellOdd logs what the table has and weir has no words for, once.
func (p *Plane) tellOdd(odd error) {
	text := ""
	if odd != nil {
		text = odd.Error()
	}
	if text != p.odd && text != "" {
		p.log.Warn("the table has services weir cannot read; they are left alone", "error", text)
	}
	p.odd = text
}
