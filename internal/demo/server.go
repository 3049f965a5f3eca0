package demo

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A Server is one real server, a process of its own so that it can be killed.
type Server struct {
	Name string
	Slow time.Duration // how long the slow port takes to answer
}

// Serve answers with the server's name wherever the demo's services expect
// it, until ctx ends. The sorry server answers for the guarded service only.
func (s Server) Serve(ctx context.Context) error {
	var closers []io.Closer
	defer func() {
		for _, c := range closers {
			c.Close()
		}
	}()
	bound := map[string]bool{}
	for _, v := range services {
		network, addr := v.listens()
		if s.Name == sorry {
			if !v.fallback {
				continue
			}
			addr = v.virtual().String()
		}
		if bound[network+addr] {
			continue
		}
		bound[network+addr] = true
		c, err := s.listen(ctx, v, network, addr)
		if err != nil {
			return err
		}
		closers = append(closers, c)
	}
	<-ctx.Done()
	return nil
}

func (s Server) listen(ctx context.Context, v service, network, addr string) (io.Closer, error) {
	var lc net.ListenConfig
	if v.protocol == lvs.UDP {
		pc, err := lc.ListenPacket(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		go s.datagrams(pc)
		return pc, nil
	}
	ln, err := lc.Listen(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	delay := time.Duration(0)
	if v.real == slowPort {
		delay = s.Slow
	}
	web := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(delay)
		_, _ = io.WriteString(w, s.Name) // a client that is gone needs no answer
	})}
	go web.Serve(ln)
	return web, nil
}

// datagrams answers each with the name and what was asked.
func (s Server) datagrams(pc net.PacketConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := pc.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err == nil:
			_, _ = pc.WriteTo(append([]byte(s.Name+" "), buf[:n]...), from)
		}
	}
}
