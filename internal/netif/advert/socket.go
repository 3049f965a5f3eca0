// Package advert carries packets of VRRP over this machine's interfaces, and
// frames that tell neighbours where an address is now. It sees the interfaces
// as they come and go.
//
// It reads nothing in the packets it carries and decides nothing.
package advert

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// VRRP's place in IP (RFC 9568, 5.1): protocol, hop limit, precedence.
const (
	protocol = 112
	ttl      = 255
	class    = 0xc0
)

var (
	group4 = [4]byte{224, 0, 0, 18}
	group6 = [16]byte{0: 0xff, 1: 2, 15: 0x12}
)

// A Packet is one packet of the protocol, without its IP header.
type Packet struct {
	Link     string
	From, To netip.Addr
	TTL      uint8
	Payload  []byte
}

// A Wire is this machine's way to its segments.
type Wire struct {
	log   *slog.Logger
	told  func(Packet)
	mu    sync.Mutex
	links map[string]*socket
	raw   int // frames go out here
}

// Open makes a wire that tells of packets heard on the interfaces it is shown.
// Told must not wait.
func Open(log *slog.Logger, told func(Packet)) (*Wire, error) {
	raw, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket for frames: %w", err)
	}
	return &Wire{log: log, told: told, links: map[string]*socket{}, raw: raw}, nil
}

// A socket hears and sends on one interface, one raw socket for each family.
type socket struct {
	index int
	fds   [2]int // IPv4, IPv6; -1: that family is off here
	ended sync.WaitGroup
	wake  [2]int // a pipe whose end wakes the readers
}

// Listen hears on exactly these interfaces from now on: name to index.
func (w *Wire) Listen(want map[string]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, s := range w.links {
		if want[name] != s.index {
			s.close()
			delete(w.links, name)
		}
	}
	for name, index := range want {
		if w.links[name] != nil {
			continue
		}
		s, err := w.open(name, index)
		if err != nil {
			w.log.Error("adverts are not heard", "interface", name, "error", err)
			continue
		}
		w.links[name] = s
	}
}

// Close ends all hearing and sending.
func (w *Wire) Close() error {
	w.Listen(nil)
	return unix.Close(w.raw)
}

func (w *Wire) open(name string, index int) (s *socket, err error) {
	s = &socket{index: index, fds: [2]int{-1, -1}}
	if err := unix.Pipe2(s.wake[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	var errs [2]error
	s.fds[0], errs[0] = socket4(name, index)
	s.fds[1], errs[1] = socket6(name, index)
	if s.fds[0] < 0 && s.fds[1] < 0 {
		s.close()
		return nil, errors.Join(errs[0], errs[1])
	}
	for i, fd := range s.fds {
		if fd >= 0 {
			s.ended.Go(func() { w.read(name, s, fd, i == 1) })
		}
	}
	return s, nil
}

func (s *socket) close() {
	unix.Close(s.wake[1])
	s.ended.Wait()
	for _, fd := range append(s.fds[:], s.wake[0]) {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// raw opens a socket of VRRP that hears one interface only. A copy of what it
// sends itself does not come back.
func raw(family int, name string) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return -1, err
	}
	if err := unix.BindToDevice(fd, name); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func socket4(name string, index int) (int, error) {
	fd, err := raw(unix.AF_INET, name)
	if err != nil {
		return -1, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, ttl),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, class),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT), // no DF, as others send it
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 6), // before what fills the link
		unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)}),
		unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: group4, Ifindex: int32(index)}),
	)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// sumAt is where the kernel puts IPv6's checksum, over the addresses, too.
const sumAt = 6

func socket6(name string, index int) (int, error) {
	fd, err := raw(unix.AF_INET6, name)
	if err != nil {
		return -1, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_CHECKSUM, sumAt),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, ttl),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, class),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 6),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, index),
		unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: group6, Interface: uint32(index)}),
	)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

var errNotOpen = errors.New("the interface, or that address family on it, is not open")

// Send sends one packet of the protocol.
func (w *Wire) Send(p Packet) error {
	w.mu.Lock()
	s := w.links[p.Link]
	w.mu.Unlock()
	if s == nil || s.fds[0] < 0 && p.To.Is4() || s.fds[1] < 0 && p.To.Is6() {
		return errNotOpen
	}
	if p.To.Is4() {
		// The source is said beside the packet, and the kernel writes the header.
		info := unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: int32(s.index), Spec_dst: p.From.As4()})
		_, err := unix.SendmsgN(s.fds[0], p.Payload, info, &unix.SockaddrInet4{Addr: p.To.As4()}, 0)
		return err
	}
	info := unix.PktInfo6(&unix.Inet6Pktinfo{Ifindex: uint32(s.index), Addr: p.From.As16()})
	_, err := unix.SendmsgN(s.fds[1], p.Payload, info, &unix.SockaddrInet6{Addr: p.To.As16(), ZoneId: uint32(s.index)}, 0)
	return err
}

// read tells of packets until the socket is closed.
func (w *Wire) read(link string, s *socket, fd int, v6 bool) {
	buf, oob := make([]byte, 2048), make([]byte, 256)
	for {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(s.wake[0]), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready, -1); err != nil && !errors.Is(err, unix.EINTR) {
			w.log.Error("adverts are no longer heard", "interface", link, "error", err)
			return
		}
		if ready[1].Revents != 0 {
			return
		}
		n, m, _, from, err := unix.Recvmsg(fd, buf, oob, unix.MSG_DONTWAIT)
		if err != nil {
			continue // gone before it was read, or the interface went down
		}
		if p, ok := packet(buf[:n], oob[:m], from, v6); ok {
			p.Link = link
			w.told(p)
		}
	}
}

// packet takes the header off. IPv4 shows it, IPv6 tells beside it.
func packet(b, oob []byte, from unix.Sockaddr, v6 bool) (p Packet, ok bool) {
	if !v6 {
		if len(b) < 20 || len(b) < int(b[0]&15)*4 {
			return p, false
		}
		p.TTL = b[8]
		p.From, p.To = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		p.Payload = append([]byte(nil), b[int(b[0]&15)*4:]...)
		return p, true
	}
	sa, is6 := from.(*unix.SockaddrInet6)
	messages, err := unix.ParseSocketControlMessage(oob)
	if !is6 || err != nil {
		return p, false
	}
	p.From = netip.AddrFrom16(sa.Addr)
	for _, m := range messages {
		switch {
		case m.Header.Level != unix.IPPROTO_IPV6:
		case m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= 16:
			p.To = netip.AddrFrom16([16]byte(m.Data))
		case m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4:
			p.TTL = uint8(binary.NativeEndian.Uint32(m.Data))
		}
	}
	p.Payload = append([]byte(nil), b...)
	return p, p.To.IsValid()
}

// Frame sends a whole Ethernet frame.
func (w *Wire) Frame(link string, frame []byte) error {
	i, err := net.InterfaceByName(link)
	if err != nil {
		return err
	}
	to := &unix.SockaddrLinklayer{Ifindex: i.Index, Protocol: uint16(frame[13])<<8 | uint16(frame[12])}
	return unix.Sendto(w.raw, frame, 0, to)
}
