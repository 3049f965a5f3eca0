package health

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lvs"
)

// ping asks the host itself: ICMP echo.
type ping struct {
	attempts int
	timeout  time.Duration // of each attempt
}

func newPing(c lvs.Check) ping { return ping{max(c.Attempts, 1), c.Timeout} }

func (p ping) String() string { return "ping" }

// echoData is how much a question carries, as ldirectord's does. It is random,
// so that no answer to an older or a foreign question is taken for ours.
const echoData = 64

func (p ping) Check(ctx context.Context, target netip.AddrPort) (err error) {
	for seq := range p.attempts {
		err = within(ctx, p.timeout, func(ctx context.Context) error {
			return ask(ctx, target.Addr(), uint16(seq+1))
		})
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func ask(ctx context.Context, addr netip.Addr, seq uint16) error {
	addr = addr.Unmap()
	conn, ownID, err := dialEcho(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()

	random := make([]byte, 2+echoData)
	rand.Read(random)
	e := echo{lvs.FamilyOf(addr), binary.BigEndian.Uint16(random), seq, random[2:]}
	if _, err := conn.Write(e.request()); err != nil {
		return err
	}
	buf := make([]byte, 512)
	for {
		// ReadFrom and not Read, which would leave the IPv4 header on.
		n, _, err := conn.(net.PacketConn).ReadFrom(buf)
		if err != nil {
			return err
		}
		if e.answeredBy(buf[:n], ownID) {
			return nil
		}
	}
}

// dialEcho opens a raw socket that hears only addr, or where that is not
// allowed a ping socket, whose identifier is the kernel's choice (ownID).
func dialEcho(ctx context.Context, addr netip.Addr) (conn net.Conn, ownID bool, err error) {
	network := "ip4:icmp"
	if addr.Is6() {
		network = "ip6:ipv6-icmp"
	}
	var d net.Dialer
	conn, err = d.DialContext(ctx, network, addr.String())
	if !errors.Is(err, os.ErrPermission) {
		return conn, false, err
	}
	conn, err = dialPing(addr)
	if errors.Is(err, os.ErrPermission) {
		return nil, true, failf(lvs.ReasonOther, "not allowed to ping; give weir CAP_NET_RAW or widen net.ipv4.ping_group_range")
	}
	return conn, true, err
}

// dialPing opens a socket of the kind net.ipv4.ping_group_range allows.
func dialPing(addr netip.Addr) (net.Conn, error) {
	domain, protocol := unix.AF_INET6, unix.IPPROTO_ICMPV6
	var to unix.Sockaddr = &unix.SockaddrInet6{Addr: addr.As16()}
	if addr.Is4() {
		domain, protocol = unix.AF_INET, unix.IPPROTO_ICMP
		to = &unix.SockaddrInet4{Addr: addr.As4()}
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("ping socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "ping")
	defer f.Close()
	if err := unix.Connect(fd, to); err != nil {
		return nil, fmt.Errorf("ping socket: %w", err)
	}
	return net.FileConn(f)
}
