package ebpf

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/weir-lb/weir/internal/lvs"
)

// hops gives destination addresses their next hops. Each address has its own,
// so that a destination's entry never changes when its path does.
type hops struct {
	ids     *numbers
	byAddr  map[netip.Addr]uint32
	written map[uint32]engineNexthop
}

func newHops(size uint32) hops {
	return hops{newNumbers(size), make(map[netip.Addr]uint32), make(map[uint32]engineNexthop)}
}

// nexthopFor is the number of the next hop to an address. Until Reach tells a
// path its entry is empty, and the engine asks the kernel for every packet.
func (p *Plane) nexthopFor(a netip.Addr) (uint32, error) {
	if id := p.hops.byAddr[a]; id != 0 {
		return id, nil
	}
	id, err := p.hops.ids.take()
	if err != nil {
		return 0, fmt.Errorf("no room for another next hop: %w", err)
	}
	p.hops.byAddr[a] = id
	return id, p.writeHop(a)
}

func (p *Plane) writeHop(a netip.Addr) error {
	id := p.hops.byAddr[a]
	path := p.paths[a]
	want := nexthop(path, p.links[path.Link].XDPSend)
	if have, ok := p.hops.written[id]; ok && have == want {
		return nil
	}
	if err := p.write("nexthops", id, want); err != nil {
		return err
	}
	p.hops.written[id] = want
	return nil
}

// Reach implements dataplane.Dataplane.
func (p *Plane) Reach(_ context.Context, n lvs.Network) error {
	if err := p.engine.opened(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	errs := []error{p.setLinks(p.trusted(n.Links)), p.retune()}
	p.paths = maps.Clone(n.Paths)
	for a := range p.hops.byAddr {
		errs = append(errs, p.writeHop(a))
	}
	for key, d := range p.table.dests.all() {
		errs = append(errs, p.place(key, d))
	}
	return errors.Join(errs...)
}

// trusted are the links as they are taken: whoever forces XDP where the kernel
// cannot say what a veth does is believed to have seen to its other end.
func (p *Plane) trusted(links []lvs.Link) []lvs.Link {
	links = slices.Clone(links)
	for i, l := range links {
		if p.opts.Mode != XDP || !l.XDPUntold || l.XDPSend || l.Kind != "veth" {
			continue
		}
		links[i].XDPSend = true
		if _, old := p.links[l.Index]; !old {
			p.log.Warn("packets are sent from XDP to a veth; its other end must have GRO (ethtool -K DEV gro on) or an XDP program, or they are lost; Linux 6.3 could tell", "interface", l.Name)
		}
	}
	return links
}

// place says of a destination whether it is the director itself.
func (p *Plane) place(key destKey, d *dest) error {
	path, known := p.paths[key.addr.Addr()]
	if !known {
		return nil
	}
	want := d.written
	want.Flags &^= destLocal
	if path.Local || key.addr.Addr().IsLoopback() {
		want.Flags |= destLocal
	}
	if want == d.written {
		return nil
	}
	d.written = want
	return p.write("dests", d.id, want)
}

func (p *Plane) setLinks(links []lvs.Link) error {
	xdp := useXDP(p.opts.Mode, links)
	mode := "tc"
	if xdp {
		mode = "xdp"
	}
	var errs []error
	now := make(map[int]lvs.Link)
	for _, l := range links {
		have, known := p.links[l.Index]
		if known && have == l && p.modes[l.Name] == mode {
			now[l.Index] = l
			continue
		}
		if err := p.setLink(l, xdp, known && have.Name == l.Name && p.modes[l.Name] == mode); err != nil {
			errs = append(errs, err)
			continue
		}
		now[l.Index] = l
		p.modes[l.Name] = mode
	}
	for index, l := range p.links {
		if _, stays := now[index]; !stays {
			errs = append(errs, p.dropLink(l))
			if !slices.ContainsFunc(links, func(o lvs.Link) bool { return o.Name == l.Name }) {
				delete(p.modes, l.Name)
			}
		}
	}
	p.links = now
	return errors.Join(errs...)
}

func (p *Plane) setLink(l lvs.Link, xdp, attached bool) error {
	port := enginePort{Mac: l.MAC, Flags: portAttached}
	if l.XDPSend {
		port.Flags |= portXDPSend
	}
	if l.Kind == "veth" {
		port.Flags |= portVeth
	}
	if err := p.writePort(l, port); err != nil {
		return err
	}
	if attached {
		return nil // only its MAC or MTU changed
	}
	if err := p.attach(l, xdp); err != nil {
		return err
	}
	p.log.Info("interface attached", "interface", l.Name, "mode", map[bool]string{true: "xdp", false: "tc"}[xdp])
	return nil
}

// writePort tells XDP about an interface. One whose number is too high for the
// array has its packets handled by tc.
func (p *Plane) writePort(l lvs.Link, port enginePort) error {
	if uint32(l.Index) >= p.engine.maps["ports"].MaxEntries() {
		return nil
	}
	return p.write("ports", uint32(l.Index), port)
}

// dropLink leaves an interface that is gone or was narrowed away.
func (p *Plane) dropLink(l lvs.Link) error {
	p.log.Info("interface left", "interface", l.Name)
	return errors.Join(detach(l.Index), p.writePort(l, enginePort{}))
}
