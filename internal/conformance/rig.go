package conformance

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lab"
)

// A rig is the director with its wires. What is at their other ends has no IP
// stack: what a scenario sends is injected there, what the director sends is
// caught there, and nobody else says a word.
//
// It is built once for each body and moves from place to place: what an
// earlier scenario left has other addresses.
type rig struct {
	*lab.Lab
	place    Place
	director *lab.Host
	outside  *lab.Host
	wires    []wire
	settle   time.Duration // until counters can be read
	odd      []string      // wires whose MTU was changed
	told     bool          // of the size of a way; the kernel remembers that
}

type wire struct {
	name  string // client, rs1 …; on the director "to-" before it
	fd    int    // packet socket at the outer end
	inner net.HardwareAddr
	outer net.HardwareAddr
}

const (
	quiet    = 25 * time.Millisecond // nothing comes after this
	another  = 4 * time.Millisecond  // no second packet comes after this
	etherLen = 14
)

func newRig() (*rig, error) {
	// A kernel under load may say that a list changed while it was read.
	r, err := tryRig()
	for again := 0; err != nil && again < 3; again++ {
		r, err = tryRig()
	}
	return r, err
}

func tryRig() (r *rig, err error) {
	l, err := lab.New("oracle")
	if err != nil {
		return nil, err
	}
	r = &rig{Lab: l}
	if err = r.build(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close removes the rig.
func (r *rig) Close() error {
	for _, w := range r.wires {
		unix.Close(w.fd)
	}
	return r.Lab.Close()
}

func (r *rig) build() (err error) {
	if r.director, err = r.Host("director"); err != nil {
		return err
	}
	if r.outside, err = r.Host("outside"); err != nil {
		return err
	}
	if err := r.outside.Sysctl("net/ipv6/conf/default/disable_ipv6", "1"); err != nil {
		return err
	}
	for key, value := range map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1",
		"net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0",
		// Every error is to be seen, however many there are.
		"net/ipv4/icmp_ratelimit": "0", "net/ipv6/icmp/ratelimit": "0",
		"net/ipv6/auto_flowlabels": "0",
	} {
		if err := r.director.Sysctl(key, value); err != nil {
			return err
		}
	}
	for i, name := range []string{"client", "rs1", "rs2", "rs3"} {
		if err := r.connect(i, name); err != nil {
			return err
		}
	}
	return r.neighbours()
}

func (r *rig) connect(i int, name string) error {
	w := wire{name: name, inner: net.HardwareAddr{2, 0, 0, 0, byte(i), 1}, outer: net.HardwareAddr{2, 0, 0, 0, byte(i), 2}}
	inner := lab.Port{Host: r.director, Name: "to-" + name, MAC: w.inner}
	for _, v6 := range []bool{false, true} {
		a := Place{V6: v6}.gateway(i)
		inner.Addrs = append(inner.Addrs, netip.PrefixFrom(a, map[bool]int{false: 24, true: 64}[v6]))
	}
	if err := r.Wire(inner, lab.Port{Host: r.outside, Name: name, MAC: w.outer}, lab.WireOptions{NoOffload: true}); err != nil {
		return err
	}
	err := r.outside.Do(func() (err error) {
		w.fd, err = packetSocket(name)
		return err
	})
	if err == nil {
		r.wires = append(r.wires, w)
	}
	return err
}

// neighbours tells the director everybody's MAC address for good, so that it
// never asks, and that the clients of every place are behind one router.
func (r *rig) neighbours() error {
	var batch bytes.Buffer
	for _, v6 := range []bool{false, true} {
		p := Place{V6: v6}
		for n := 1; n <= reals; n++ {
			a, _ := p.Addr(fmt.Sprintf("rs%d", n))
			fmt.Fprintf(&batch, "neigh replace %s lladdr %s dev to-rs%d nud permanent\n", a, r.wires[n].outer, n)
		}
		router, clients := p.router()
		fmt.Fprintf(&batch, "neigh replace %s lladdr %s dev to-client nud permanent\n", router, r.wires[0].outer)
		fmt.Fprintf(&batch, "route add %s via %s\n", clients, router)
		local, _ := p.Addr("local")
		fmt.Fprintf(&batch, "address add %s dev lo\n", local)
	}
	return r.ip(&batch)
}

// enter moves the rig to a place.
func (r *rig) enter(p Place) error {
	r.place = p
	return r.addresses(r.director.Address)
}

// leave makes it what it was before.
func (r *rig) leave() error {
	for _, name := range r.odd {
		if err := r.director.MTU("to-"+name, 1500); err != nil {
			return err
		}
	}
	r.odd = nil
	if r.told {
		r.told = false
		if err := r.forget(); err != nil {
			return err
		}
	}
	return r.addresses(r.director.Unaddress)
}

// forget makes the kernel lose what routers said about the sizes of ways: it
// forgets with the route, not when its cache is flushed.
func (r *rig) forget() error {
	var batch bytes.Buffer
	for n := 1; n <= reals; n++ {
		real, _ := Place{}.Addr(fmt.Sprintf("rs%d", n))
		for _, verb := range []string{"del", "add"} {
			fmt.Fprintf(&batch, "address %s %s/24 dev to-rs%d\n", verb, Place{}.gateway(n), n)
		}
		fmt.Fprintf(&batch, "neigh replace %s lladdr %s dev to-rs%d nud permanent\n", real, r.wires[n].outer, n)
	}
	return r.ip(&batch)
}

// addresses gives the director those of the place's services, or takes them away.
func (r *rig) addresses(do func(string, netip.Prefix) error) error {
	for _, name := range []string{"vip", "vip2"} {
		a, err := r.place.Addr(name)
		if err != nil {
			return err
		}
		if err := do("lo", netip.PrefixFrom(a, a.BitLen())); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) ip(batch *bytes.Buffer) error {
	text := batch.String()
	cmd := r.director.Command(context.Background(), "ip", "-batch", "-")
	cmd.Stdin = batch
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s\n%s", err, out, text)
	}
	return nil
}

// packetSocket catches whole frames at an interface of the calling thread's
// network, and sends them.
func packetSocket(name string) (int, error) {
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL<<8&0xff00
	i, err := net.InterfaceByName(name)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (r *rig) wire(name string) *wire {
	for i := range r.wires {
		if r.wires[i].name == name {
			return &r.wires[i]
		}
	}
	return nil
}

// send injects a packet and returns what the director sends because of it.
func (r *rig) send(pkt Packet) ([]Frame, error) {
	r.catch(0) // what came by itself, if anything
	r.told = r.told || pkt.MTU != 0
	w := r.wire(pkt.At)
	body := pkt.Bytes()
	frame := append(append(append([]byte{}, w.inner...), w.outer...), 0x08, 0x00)
	if body[0]>>4 == 6 {
		frame[12], frame[13] = 0x86, 0xdd
	}
	if _, err := unix.Write(w.fd, append(frame, body...)); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	return r.catch(quiet), nil
}

// catch collects frames until nothing came for a while.
func (r *rig) catch(patience time.Duration) (out []Frame) {
	fds := make([]unix.PollFd, len(r.wires))
	buf := make([]byte, 1<<16)
	for {
		for i, w := range r.wires {
			fds[i] = unix.PollFd{Fd: int32(w.fd), Events: unix.POLLIN}
		}
		n, err := unix.Poll(fds, int(patience/time.Millisecond))
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return out
		}
		for i, w := range r.wires {
			if fds[i].Revents&unix.POLLIN == 0 {
				continue
			}
			n, from, err := unix.Recvfrom(w.fd, buf, 0)
			if err != nil || n < etherLen || from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			if f, ok := w.frame(buf[:n]); ok {
				out = append(out, f)
				patience = min(patience, another)
			}
		}
	}
}

// frame is the IP packet in b, if it is one and none of the kernel's own
// neighbour and multicast talk. A frame with MAC addresses other than the
// wire's is shown as such.
func (w *wire) frame(b []byte) (Frame, bool) {
	f := Frame{To: w.name, Bytes: bytes.Clone(b[etherLen:])}
	kind := uint16(b[12])<<8 | uint16(b[13])
	if kind != 0x0800 && kind != 0x86dd {
		return f, false
	}
	if h, ok := headers(f.Bytes); ok {
		if h.protocol == protoICMPv6 && len(h.body) > 0 && (h.body[0] >= 130 && h.body[0] <= 137 || h.body[0] == 143) {
			return f, false
		}
	}
	if !bytes.Equal(b[:6], w.outer) || !bytes.Equal(b[6:12], w.inner) {
		f.To = fmt.Sprintf("%s (MAC %x from %x)", w.name, b[:6], b[6:12])
	}
	return f, true
}

// links are the director's interfaces, by name.
func (r *rig) links() []string {
	var all []string
	for _, w := range r.wires {
		all = append(all, "to-"+w.name)
	}
	return all
}

func (r *rig) ipvsadm(stdin string, args ...string) (string, error) {
	cmd := r.director.Command(context.Background(), "ipvsadm", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ipvsadm %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}
