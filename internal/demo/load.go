package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// The load leaves the machine some air: weir's checks and the real servers
// run on the same few processors as the clients, and their answers shall tell
// of weir and not of the queue for a processor.
const (
	workers = 8
	pause   = 3 * time.Millisecond
)

// A load is a number of clients that request again and again.
type load struct {
	end  chan struct{}
	once sync.Once
	wg   sync.WaitGroup

	mu     sync.Mutex
	all    tally
	failed int
}

// load lets n clients make requests to the services in turn.
func (s *stage) load(ctx context.Context, n int, vs ...service) *load {
	l := &load{end: make(chan struct{})}
	for i := range n {
		l.wg.Go(func() {
			for turn := i; l.on(ctx); turn++ {
				l.add(ctx, s.once(ctx, vs[turn%len(vs)]))
			}
		})
	}
	s.progress.live(l.String)
	return l
}

// on tells, after a pause, whether to go on.
func (l *load) on(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-l.end:
		return false
	case <-time.After(pause):
		return true
	}
}

func (l *load) add(ctx context.Context, a answer) {
	if ctx.Err() != nil {
		return // it was us who hung up
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, a)
	if a.err != nil {
		l.failed++
	}
}

// sofar is what became of the requests that have ended.
func (l *load) sofar() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// stop waits for the requests under way and returns what became of all.
func (l *load) stop() tally {
	l.once.Do(func() { close(l.end) })
	l.wg.Wait()
	return l.sofar()
}

// String is the load at a glance.
func (l *load) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d requests, %d failed", len(l.all), l.failed)
}
