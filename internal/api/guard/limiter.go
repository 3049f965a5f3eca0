package guard

import (
	"container/list"
	"sync"
	"time"
)

// mostClients a limiter remembers; the one heard of longest ago is forgotten
// first. A client that is forgotten begins anew, which takes it as many others
// as there is room for.
const mostClients = 4096

// A limiter gives each client so many requests a second, and some at once.
type limiter struct {
	mu      sync.Mutex
	rate    float64 // a second
	burst   float64
	clients map[string]*list.Element
	order   *list.List // of *client; heard of last, first
	lost    int        // refusals of clients that were forgotten before they were told
}

type client struct {
	name  string
	left  float64
	at    time.Time // when left was so much
	told  time.Time // of its refusals, the last time
	muted int       // refusals since
}

func newLimiter() *limiter { return &limiter{clients: map[string]*list.Element{}, order: list.New()} }

func (l *limiter) set(rate, burst float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.burst = rate, burst
}

// find is the client of that name, which it has been heard of now.
func (l *limiter) find(name string, now time.Time) *client {
	if e, ok := l.clients[name]; ok {
		l.order.MoveToFront(e)
		return e.Value.(*client)
	}
	if l.order.Len() >= mostClients {
		oldest := l.order.Remove(l.order.Back()).(*client)
		delete(l.clients, oldest.name)
		l.lost += oldest.muted
	}
	c := &client{name: name, left: l.burst, at: now}
	l.clients[name] = l.order.PushFront(c)
	return c
}

// take is zero if the client may ask now, and else how long it has to wait.
func (l *limiter) take(name string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	c := l.find(name, now)
	c.left = min(l.burst, c.left+now.Sub(c.at).Seconds()*l.rate)
	c.at = now
	if c.left >= 1 {
		c.left--
		return 0
	}
	return time.Duration((1 - c.left) / l.rate * float64(time.Second))
}

// refused counts a refusal, and gives the number to be told now: none if some
// were told within the last second.
func (l *limiter) refused(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	c := l.find(name, now)
	c.muted++
	if now.Sub(c.told) < time.Second {
		return 0
	}
	n := c.muted
	c.told, c.muted = now, 0
	return n
}

// untold are the refusals that were counted and not told, of clients that were
// last told of at least so long ago.
func (l *limiter) untold(quiet time.Duration) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	out := map[string]int{}
	if l.lost > 0 {
		out["others"], l.lost = l.lost, 0
	}
	for e := l.order.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*client); c.muted > 0 && now.Sub(c.told) >= quiet {
			out[c.name] = c.muted
			c.told, c.muted = now, 0
		}
	}
	return out
}
