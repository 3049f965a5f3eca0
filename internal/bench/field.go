package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/netif/hook"
)

// A field is a client that is a generator, a director, and a sink, wired in a
// row; each contestant has one of its own. Real servers are behind a router on
// the sink's wire, so that a thousand of them are one neighbour.
type field struct {
	*lab.Lab
	client, director, server *lab.Host
	front                    net.HardwareAddr // the director's, facing the client
	coll                     *ebpf.Collection // generator and sink
	hung                     []link.Link
}

// The addresses of a field.
var (
	fieldClient = netip.MustParsePrefix("10.70.0.2/24")
	fieldFront  = netip.MustParsePrefix("10.70.0.1/24")
	fieldBack   = netip.MustParsePrefix("10.71.0.1/24")
	fieldRouter = netip.MustParseAddr("10.71.0.2")
	fieldReals  = netip.MustParsePrefix("10.1.0.0/16") // what server gives
	sinkMAC     = net.HardwareAddr{2, 0, 0, 0, 7, 2}
)

func newField() (*field, error) {
	l, err := lab.New("bench")
	if err != nil {
		return nil, err
	}
	f := &field{Lab: l}
	if err := errors.Join(f.hosts(), f.wires(), f.programs()); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *field) hosts() (err error) {
	for name, h := range map[string]**lab.Host{"client": &f.client, "director": &f.director, "server": &f.server} {
		if *h, err = f.Host(name); err != nil {
			return err
		}
		if err := (*h).Sysctl("net/ipv6/conf/all/disable_ipv6", "1"); err != nil {
			return err
		}
	}
	return nil
}

func (f *field) wires() error {
	// Finished packets, and NAPI at both ends, without which a veth takes no
	// frames from XDP.
	o := lab.WireOptions{NoOffload: true}
	err := errors.Join(
		f.Wire(lab.Port{Host: f.client, Name: "c0", Addrs: []netip.Prefix{fieldClient}}, lab.Port{Host: f.director, Name: "front", Addrs: []netip.Prefix{fieldFront}}, o),
		f.Wire(lab.Port{Host: f.director, Name: "back", Addrs: []netip.Prefix{fieldBack}}, lab.Port{Host: f.server, Name: "s0", MAC: sinkMAC}, o))
	if err != nil {
		return err
	}
	d := f.director
	err = errors.Join(d.Sysctl("net/ipv4/ip_forward", "1"), d.Sysctl("net/ipv4/conf/all/rp_filter", "0"), d.Sysctl("net/ipv4/conf/front/rp_filter", "0"),
		d.Address("front", netip.PrefixFrom(vip4, 32)), d.Neighbour("back", fieldRouter, sinkMAC), d.Neighbour("front", fieldClient.Addr(), net.HardwareAddr{2, 0, 0, 0, 7, 1}),
		d.Route(fieldReals, fieldRouter), d.Route(netip.PrefixFrom(client4, 16), fieldClient.Addr()))
	if err != nil {
		return err
	}
	f.front, err = d.MAC("front")
	return err
}

// programs load the generator and hang up the sink.
func (f *field) programs() (err error) {
	spec, err := loadDispatcher()
	if err != nil {
		return err
	}
	for name := range spec.Programs {
		if name != "generate" && name != "sink" {
			delete(spec.Programs, name)
		}
	}
	if f.coll, err = ebpf.NewCollection(spec); err != nil {
		return fmt.Errorf("load generator and sink: %w", err)
	}
	return errors.Join(f.server.Do(func() error { return f.hang("s0", f.coll.Programs["sink"]) }), f.towards(f.client, "c0", f.coll))
}

// hang puts an XDP program on an interface of the calling thread's network.
func (f *field) hang(name string, p *ebpf.Program) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: i.Index, Flags: link.XDPDriverMode})
	if err != nil {
		return fmt.Errorf("attach XDP to %s: %w", name, err)
	}
	f.hung = append(f.hung, l)
	return nil
}

// towards says on which wire frames are sent.
func (f *field) towards(h *lab.Host, name string, c *ebpf.Collection) error {
	return h.Do(func() error {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		return c.Maps["wire"].Put(uint32(0), uint32(i.Index))
	})
}

// bare makes the director forward through one door, and do nothing else.
func (f *field) bare(xdp bool) error {
	spec, err := loadDispatcher()
	if err != nil {
		return err
	}
	name := map[bool]string{true: "forward", false: "forward_tc"}[xdp]
	spec.Programs = map[string]*ebpf.ProgramSpec{name: spec.Programs[name]}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return fmt.Errorf("load the bare forwarder: %w", err)
	}
	defer coll.Close() // what hangs on the interface holds the program
	var far [2]uint64
	macs := unsafe.Slice((*byte)(unsafe.Pointer(&far)), unsafe.Sizeof(far))
	copy(macs, sinkMAC)
	if err := coll.Variables["far"].Set(far); err != nil {
		return err
	}
	if xdp {
		return errors.Join(f.towards(f.director, "back", coll), f.director.Do(func() error { return f.hang("front", coll.Programs[name]) }))
	}
	return f.director.Do(func() error {
		front, err1 := net.InterfaceByName("front")
		back, err2 := net.InterfaceByName("back")
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if err := coll.Variables["far_link"].Set(uint32(back.Index)); err != nil {
			return err
		}
		return hook.SetFilter(front.Index, hook.Ingress, hook.Engine, coll.Programs[name].FD(), name)
	})
}

func (f *field) close() error {
	for _, l := range f.hung {
		l.Close()
	}
	if f.coll != nil {
		f.coll.Close()
	}
	return f.Close()
}

const liveFrames = 1 << 1 // BPF_F_TEST_XDP_LIVE_FRAMES

// room is ROOM of bench.bpf.c.
const room = 64

// send has the generator send r's packets, and is how long that took and how
// many the sink had then. With one processor that is all there will be.
func (f *field) send(ctx context.Context, r run) (took time.Duration, arrived uint64, err error) {
	d := dispatcherDispatch{Length: frameLength, Flows: r.flows, Course: r.frame.course(r.reply), Next: r.first}
	if r.random {
		d.Random = random
	}
	packet := r.frame.bytes()
	copy(packet, f.front)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&d.Template)), unsafe.Sizeof(d.Template)), packet)
	if err := f.coll.Variables["bench"].Set(&d); err != nil {
		return 0, 0, err
	}
	before, err := f.received()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	err = f.client.Do(func() error {
		_, err := f.coll.Programs["generate"].Run(&ebpf.RunOptions{Data: append(make([]byte, room), packet...), Repeat: r.times, Flags: liveFrames})
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("generate packets: %w", err)
	}
	took = time.Since(began)
	after, err := f.received()
	return took, after - before, errors.Join(err, ctx.Err())
}

func (f *field) received() (n uint64, err error) {
	return n, f.coll.Variables["received"].Get(&n)
}

// receiveFirst lets the kernel's threads that receive packets go before
// everybody else: on one processor the generator would fill queues that nobody
// empties. It is for a machine of one's own, such as a guest.
func receiveFirst() error {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(text), "ksoftirqd/") {
			continue // it may have ended meanwhile
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			return err
		}
		a := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: 1 /* SCHED_FIFO */, Priority: 1}
		if err := unix.SchedSetAttr(pid, &a, 0); err != nil {
			return fmt.Errorf("let %s go first: %w", bytes.TrimSpace(text), err)
		}
	}
	return nil
}
