// Package guard stands before the API: it finds out who asks, by the peer of
// the unix socket, a token or a certificate; it bounds how much anybody may
// ask; and it sees to it that changes and refusals are written down.
//
// It does not know what the API can do. What each operation needs is said by
// the room that serves it, which asks Of who is calling.
package guard

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-lb/weir/internal/api/audit"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// Failed logins of one address: so many at once, and then one in so long.
const (
	failuresAtOnce = 60
	failureEvery   = 2 * time.Second
)

// A Guard lets requests through, or does not. Its methods may be called from
// anywhere.
type Guard struct {
	records   *audit.Log
	keys      atomic.Pointer[keys]
	addresses *limiter // requests by address
	callers   *limiter // requests by who asks
	failures  *limiter // failed logins by address
	origin    http.CrossOriginProtection
	mu        sync.Mutex
	under     map[*Call]context.CancelFunc // requests under way, of TCP
}

// New is a guard that lets in nobody but peers of the unix socket, until Set.
func New(records *audit.Log) *Guard {
	g := &Guard{records: records, under: map[*Call]context.CancelFunc{}, addresses: newLimiter(), callers: newLimiter(), failures: newLimiter()}
	g.failures.set(1/failureEvery.Seconds(), failuresAtOnce)
	g.keys.Store(&keys{})
	return g
}

// Set reads the files that c names and obeys them from now. Certificate and
// key stay as they were if the new ones cannot be used; tokens and client_ca
// that cannot be read let nobody in. Requests under way that would no longer
// be let in are cut off.
func (g *Guard) Set(c config.API) config.Problems {
	k, problems := load(c, g.keys.Load())
	if c.Served() {
		g.addresses.set(float64(c.Rate), 2*float64(c.Rate))
		g.callers.set(float64(c.Rate), 2*float64(c.Rate))
	}
	g.keys.Store(k)
	time.AfterFunc(Grace, g.cutStrangers)
	return problems
}

// Grace is how long a request under way may go on when its caller is no longer
// let in: it may be the one that brought this about, and wants its answer.
const Grace = time.Second

func (g *Guard) cutStrangers() {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.keys.Load()
	for call, cut := range g.under {
		if !k.knows(call) {
			cut()
		}
	}
}

// Ready tells whether there is a certificate to be served with.
func (g *Guard) Ready() bool { return g.keys.Load().tls != nil }

// Remote guards what comes over TCP.
func (g *Guard) Remote(next http.Handler) http.Handler {
	return http.HandlerFunc(func(plain http.ResponseWriter, r *http.Request) {
		w := &writer{ResponseWriter: plain, control: http.NewResponseController(plain)}
		c := &Call{Login: LoginNone, From: r.RemoteAddr}
		defer g.finish(c, w, r)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		at := clientOf(r.RemoteAddr)
		if wait := g.addresses.take(at); wait > 0 {
			tooMany(w, c, wait, "more requests from your address than allowed")
			return
		}
		k := g.keys.Load()
		if why := k.login(r, c); why != "" {
			g.fail(w, c, k, at, why)
			return
		}
		if wait := g.callers.take(c.Login + " " + c.Who); wait > 0 {
			tooMany(w, c, wait, "more requests from "+c.Who+" than allowed")
			return
		}
		if g.origin.Check(r) != nil {
			// A browser shows a client's certificate to whatever page asks.
			refuse(w, c, http.StatusForbidden, Forbidden, "a page of another origin asks for this")
			return
		}
		ctx, cut := context.WithCancel(With(r.Context(), c))
		defer cut()
		defer g.enter(c, cut)()
		r = r.WithContext(ctx)
		r.Body = w.bounded(r)
		next.ServeHTTP(w, r)
	})
}

// fail refuses somebody who is not let in. Good credentials are let in however
// many failures there were from their address: nobody guesses 256 bits, but
// anybody on the same host could lock others out.
func (g *Guard) fail(w *writer, c *Call, k *keys, at, why string) {
	if wait := g.failures.take(at); wait > 0 {
		tooMany(w, c, wait, "too many failed logins from your address; "+why)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="weir"`)
	refuse(w, c, http.StatusUnauthorized, "unauthenticated", why+"; "+k.ways())
}

// enter makes a call one that can be cut off, and gives what ends that.
func (g *Guard) enter(c *Call, cut context.CancelFunc) (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.keys.Load().knows(c) {
		cut() // keys have changed since
	}
	g.under[c] = cut
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.under, c)
	}
}

// Socket guards what comes over the unix socket, whose file's permissions are
// its login.
func (g *Guard) Socket(next http.Handler) http.Handler {
	return http.HandlerFunc(func(plain http.ResponseWriter, r *http.Request) {
		w := &writer{ResponseWriter: plain, control: http.NewResponseController(plain)}
		c := &Call{Login: LoginSocket, Role: lvs.RoleAdmin}
		c.Who, c.From = peer(r.Context())
		defer g.finish(c, w, r)
		r = r.WithContext(With(r.Context(), c))
		r.Body = w.bounded(r)
		next.ServeHTTP(w, r)
	})
}

// finish writes down what is to be.
func (g *Guard) finish(c *Call, w *writer, r *http.Request) {
	if w.status == http.StatusTooManyRequests && c.Login != LoginSocket {
		// One line a second for each address, with their number.
		times := g.addresses.refused(clientOf(c.From))
		if times == 0 {
			return
		}
		c.times = times
	}
	g.records.Write(c.records(w.status, r)...)
}

// Run tells of refusals that were only counted, until ctx ends.
func (g *Guard) Run(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			g.tell(0)
			return nil
		case <-tick.C:
			g.tell(time.Second)
		}
	}
}

func (g *Guard) tell(quiet time.Duration) {
	for at, n := range g.addresses.untold(quiet) {
		g.records.Write(audit.Record{Time: time.Now(), Login: LoginNone, From: at, Outcome: "refused",
			Status: http.StatusTooManyRequests, Why: "more requests than allowed", Times: n})
	}
}

// clientOf is what one client's requests are counted by: its address, or its
// network if it has one of IPv6, where a host has as many addresses as it wants.
func clientOf(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		host, _, _ := net.SplitHostPort(remote)
		return host
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is6() {
		return netip.PrefixFrom(a, 64).Masked().String()
	}
	return a.String()
}
