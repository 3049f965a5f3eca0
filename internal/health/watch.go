package health

import (
	"context"
	"net/netip"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// mostInFlight bounds the checks that run at one moment. A check costs a few
// sockets and perhaps a process; when a whole network goes away, all of them
// wait for their time to run out at once, and the director must not run out
// of descriptors just then. The price: with more servers than this timing out
// together, the later ones are asked late.
const mostInFlight = 256

// shortest is the least time between the starts of two questions, whatever
// the check says: a wish without an interval must not become a busy loop.
const shortest = 50 * time.Millisecond

// An answer is what came back to a question. Nil is good.
type answer struct {
	from *watch
	err  error
	at   time.Time
}

// A watch asks one question again and again.
type watch struct {
	question question
	checker  Checker
	cheap    Checker // of a rota; nil: every question is the dear one
	stop     context.CancelFunc
	last     *answer // the monitor's: what a newcomer to this question hears first
}

// schedule is when a watch asks: first at the offset first from its beginning,
// then at phase, then every interval.
type schedule struct{ first, phase, interval time.Duration }

// spread gives the i-th of n new watches its schedule. The first questions
// are asked soon, since somebody waits for them; from the second on they are
// spread over the whole interval. So the second may follow the first closely,
// but never later than an interval after it.
func spread(i, n int, interval time.Duration) schedule {
	interval = max(interval, shortest)
	soon := min(interval, time.Second)
	s := schedule{
		first:    soon * time.Duration(i) / time.Duration(n),
		phase:    interval * time.Duration(i) / time.Duration(n),
		interval: interval,
	}
	if s.phase == s.first {
		s.phase += interval
	}
	return s
}

// run asks until ctx ends. The interval runs from start to start, so that a
// dead server is found within interval and timeout; a question never overlaps
// the one before it.
func (w *watch) run(ctx context.Context, s schedule, flight chan struct{}, answers chan<- answer) {
	began := time.Now()
	turn := rota{every: w.question.check.Every}
	next := began.Add(s.first)
	for n := 0; ; n++ {
		if !sleep(ctx, time.Until(next)) {
			return
		}
		select {
		case flight <- struct{}{}:
		case <-ctx.Done():
			return
		}
		checker := w.checker
		if w.cheap != nil && turn.cheap() {
			checker = w.cheap
		}
		err := checker.Check(ctx, w.question.addr)
		<-flight
		if ctx.Err() != nil {
			return
		}
		turn = turn.after(err == nil)
		select {
		case answers <- answer{w, err, time.Now()}:
		case <-ctx.Done():
			return
		}
		if n == 0 {
			next = began.Add(s.phase)
		} else {
			next = next.Add(s.interval)
		}
		if now := time.Now(); next.Before(now) {
			next = now
		}
	}
}

// sleep tells whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A refusing checker stands in for a check that cannot be asked at all.
type refusing struct{ failure *Failure }

func (r refusing) Check(context.Context, netip.AddrPort) error { return r.failure }
func (r refusing) String() string                              { return "no check: " + r.failure.Text }

func refuse(err error) Checker {
	return refusing{failf(lvs.ReasonCommand, "the check cannot be asked: %s", err)}
}
