package health

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// connect asks for a TCP connection and hangs up.
type connect struct{ timeout time.Duration }

func (c connect) String() string { return "connect" }

func (c connect) Check(ctx context.Context, target netip.AddrPort) error {
	return within(ctx, c.timeout, func(ctx context.Context) error {
		conn, err := dial(ctx, target)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// dial connects without keep-alive probes: no connection of a check lives
// long enough to need one.
func dial(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	return d.DialContext(ctx, "tcp", target.String())
}
