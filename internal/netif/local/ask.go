package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/realserver"
)

const (
	askTime  = 700 * time.Millisecond // a machine that answers does so at once
	askTimes = 3
)

// Ask asks the segments behind these interfaces who has the addresses, as a
// host does before it takes one (RFC 5227, RFC 4862): nobody learns anything
// from the question. This host does not hear itself.
func Ask(ctx context.Context, links []realserver.Link, vips []netip.Addr) ([]realserver.Answer, error) {
	answers := []realserver.Answer{}
	var asking []*question
	defer func() {
		for _, q := range asking {
			unix.Close(q.fd)
		}
	}()
	for _, l := range links {
		for _, v6 := range []bool{false, true} {
			q, err := newQuestion(l, v6, vips)
			if err != nil {
				return nil, fmt.Errorf("ask who has the virtual addresses on %s: %w", l.Name, err)
			}
			if q != nil {
				asking = append(asking, q)
			}
		}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for sent := 0; time.Since(begin) < askTime; {
		if sent < askTimes && time.Since(begin) >= time.Duration(sent)*askTime/(askTimes+1) {
			for _, q := range asking {
				q.send()
			}
			sent++
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		for _, q := range asking {
			answers = append(answers, q.receive()...)
		}
	}
	return answers, nil
}

// A question is a packet socket on one interface for one family.
type question struct {
	fd   int
	link realserver.Link
	v6   bool
	mac  net.HardwareAddr
	vips []netip.Addr
	to   unix.SockaddrLinklayer
}

func newQuestion(l realserver.Link, v6 bool, vips []netip.Addr) (*question, error) {
	q := &question{link: l, v6: v6}
	for _, a := range vips {
		if a.Is6() == v6 {
			q.vips = append(q.vips, a)
		}
	}
	if len(q.vips) == 0 {
		return nil, nil
	}
	i, err := net.InterfaceByIndex(l.Index)
	if err != nil {
		return nil, err
	}
	q.mac = i.HardwareAddr
	kind := uint16(unix.ETH_P_ARP)
	if v6 {
		kind = unix.ETH_P_IPV6
	}
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], kind)
	q.to = unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(b[:]), Ifindex: l.Index}
	if q.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return nil, err
	}
	if err := unix.Bind(q.fd, &q.to); err != nil {
		unix.Close(q.fd)
		return nil, err
	}
	if v6 {
		// Answers to a question without a sender go to all nodes.
		_ = unix.SetsockoptPacketMreq(q.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(l.Index), Type: unix.PACKET_MR_ALLMULTI})
	}
	return q, nil
}

func (q *question) send() {
	for _, a := range q.vips {
		frame := arpProbe(q.mac, a)
		if q.v6 {
			frame = solicitation(q.mac, a)
		}
		// A question that was not sent is one that nobody answers; there are more.
		_ = unix.Sendto(q.fd, frame, 0, &q.to)
	}
}

// receive takes what has come.
func (q *question) receive() (list []realserver.Answer) {
	buf := make([]byte, 256)
	for {
		n, _, err := unix.Recvfrom(q.fd, buf, unix.MSG_TRUNC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return list
		}
		frame := buf[:min(n, len(buf))]
		read := arpReply
		if q.v6 {
			read = advertisement
		}
		who, mac, ok := read(frame)
		if !ok || bytes.Equal(mac, q.mac) {
			continue
		}
		for _, a := range q.vips {
			if a == who {
				list = append(list, realserver.Answer{VIP: a, Link: q.link.Name, MAC: mac.String()})
			}
		}
	}
}

// arpProbe is a request without a sender's address (RFC 5227, 1.1).
func arpProbe(mac net.HardwareAddr, who netip.Addr) []byte {
	b := append(bytes.Repeat([]byte{0xff}, 6), mac...)
	b = append(b, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1)
	b = append(b, mac...)
	b = append(b, make([]byte, 4+6)...)
	return append(b, who.AsSlice()...)
}

func arpReply(b []byte) (who netip.Addr, mac net.HardwareAddr, ok bool) {
	if len(b) < 42 || !bytes.Equal(b[12:22], []byte{0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2}) {
		return who, nil, false
	}
	return netip.AddrFrom4([4]byte(b[28:32])), net.HardwareAddr(bytes.Clone(b[22:28])), true
}

// The types of neighbour discovery (RFC 4861).
const (
	neighborSolicitation  = 135
	neighborAdvertisement = 136
)

// solicitation asks as duplicate address detection does: from nobody.
func solicitation(mac net.HardwareAddr, who netip.Addr) []byte {
	a := who.As16()
	group := [16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: a[13], 14: a[14], 15: a[15]}
	message := append([]byte{neighborSolicitation, 0, 0, 0, 0, 0, 0, 0}, a[:]...)
	sum := uint32(unix.IPPROTO_ICMPV6) + uint32(len(message))
	for _, part := range [][]byte{group[:], message} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(message[2:], ^uint16(sum+sum>>16))
	b := append([]byte{0x33, 0x33, 0xff, a[13], a[14], a[15]}, mac...)
	b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(message)), unix.IPPROTO_ICMPV6, 255)
	b = append(b, make([]byte, 16)...)
	b = append(b, group[:]...)
	return append(b, message...)
}

func advertisement(b []byte) (who netip.Addr, mac net.HardwareAddr, ok bool) {
	const ip, icmp, target = 14, 14 + 40, 14 + 40 + 8
	if len(b) < target+16 || b[ip]>>4 != 6 || b[ip+6] != unix.IPPROTO_ICMPV6 || b[ip+7] != 255 || b[icmp] != neighborAdvertisement {
		return who, nil, false
	}
	return netip.AddrFrom16([16]byte(b[target:])), net.HardwareAddr(bytes.Clone(b[6:12])), true
}
