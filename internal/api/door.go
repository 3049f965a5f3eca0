package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/config"
)

// mostRemoteHeader bounds the headers of a request that comes over TCP.
const mostRemoteHeader = 16 << 10

// A Door serves the API over TCP where the configuration says so. Its methods
// may be called from anywhere.
type Door struct {
	guard   *guard.Guard
	handler http.Handler
	log     *slog.Logger
	room    *guard.Room

	mu      sync.Mutex
	server  *http.Server // nil: closed, or not opened yet
	end     context.CancelFunc
	open    map[netip.AddrPort]net.Listener
	serving sync.WaitGroup
	ended   bool
	wrong   config.Problems // of the latest Set
}

// NewDoor is a door that stays closed until Set opens it.
func NewDoor(g *guard.Guard, h http.Handler, log *slog.Logger) *Door {
	return &Door{guard: g, handler: g.Remote(h), log: log, room: guard.NewRoom(0), open: map[netip.AddrPort]net.Listener{}}
}

// Set does as c says from now, and reads the files it names again. Where it was
// open before it stays open, with all connections. What cannot be done is told
// as a warning, since traffic does not depend on it.
func (d *Door) Set(c config.API) config.Problems {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return nil
	}
	problems := d.guard.Set(c)
	defer func() { d.wrong = problems }()
	d.room.Resize(c.Connections)
	if !c.Served() || !d.guard.Ready() {
		d.close()
		return problems
	}
	if d.server == nil {
		d.begin()
	}
	for _, at := range c.Listen {
		if d.open[at] != nil {
			continue
		}
		if err := d.listen(at); err != nil {
			problems.Warnf(c.At("listen"), "api: listen: %v; a reload tries again", err)
		}
	}
	for at, l := range d.open {
		if !slices.Contains(c.Listen, at) {
			_ = l.Close() // its connections go on
			delete(d.open, at)
		}
	}
	return problems
}

// Served is where the API is served, and what was wrong when it was last set.
func (d *Door) Served() (addresses, wrong []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.wrong {
		wrong = append(wrong, p.String())
	}
	return d.addresses(), wrong
}

func (d *Door) addresses() []string {
	out := []string{}
	for at := range d.open {
		out = append(out, "https://"+at.String())
	}
	slices.Sort(out)
	return out
}

// begin makes a server without a place to listen at.
func (d *Door) begin() {
	ending, end := context.WithCancel(context.Background())
	only1 := new(http.Protocols)
	only1.SetHTTP1(true) // the bounds are made for one request a connection
	d.end = end
	d.server = &http.Server{Handler: d.handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: mostRemoteHeader, Protocols: only1, BaseContext: func(net.Listener) context.Context { return ending },
		ErrorLog: log.New(&seldom{log: d.log}, "", 0)}
}

func (d *Door) listen(at netip.AddrPort) error {
	network := "tcp4" // tcp6 beside it does not take IPv4, too
	if at.Addr().Is6() {
		network = "tcp6"
	}
	l, err := net.Listen(network, at.String())
	if err != nil {
		return err
	}
	d.open[at] = l
	s := d.server
	d.serving.Go(func() {
		err := s.Serve(tls.NewListener(d.room.Listener(l), d.guard.TLS()))
		if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			d.log.Error("the API is no longer served", "at", at, "error", err)
		}
	})
	d.log.Info("the API is served", "at", "https://"+at.String())
	return nil
}

// close ends everything over TCP: at once for whoever comes, soon for answers
// under way.
func (d *Door) close() {
	if d.server == nil {
		return
	}
	for _, l := range d.open {
		_ = l.Close()
	}
	server, end := d.server, d.end
	d.serving.Go(func() { finish(server, end) })
	d.server, d.open = nil, map[netip.AddrPort]net.Listener{}
}

// finish lets answers under way go on for a while, and ends what is left.
func finish(s *http.Server, end context.CancelFunc) {
	grace, cancel := context.WithTimeout(context.Background(), guard.Grace)
	defer cancel()
	_ = s.Shutdown(grace)
	end()
	_ = s.Close() // an answer nobody takes is given up
}

// Run serves until ctx ends, then lets answers under way finish for a second.
func (d *Door) Run(ctx context.Context) error {
	err := d.guard.Run(ctx) // until ctx ends
	d.mu.Lock()
	server, end := d.server, d.end
	d.ended = true
	d.mu.Unlock() // answers under way may ask where the API is served
	if server != nil {
		end() // whoever waits for events is answered now
		finish(server, end)
	}
	d.serving.Wait()
	return err
}

// A seldom writes what strangers cause to the log, one line a second, with the
// number of those it left out.
type seldom struct {
	log  *slog.Logger
	mu   sync.Mutex
	last time.Time
	left int
}

func (s *seldom) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.last) < time.Second {
		s.left++
		return len(line), nil
	}
	args := []any{"why", fmt.Sprintf("%.300s", line[:max(len(line)-1, 0)])}
	if s.left > 0 {
		args = append(args, "and_more", s.left)
	}
	s.last, s.left = now, 0
	s.log.Info("a connection to the API failed", args...)
	return len(line), nil
}
