package bench

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	dataplane "github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lvs"
)

// Expiry measures what it costs to have outlived connections forgotten, and
// how late the last one is.
func Expiry(ctx context.Context, sizes []int, log *slog.Logger) (s Series, err error) {
	s = Series{Name: "expiry", Title: "Forgetting connections", Unit: "% of one CPU, and ms", Axis: "connections",
		Method: "A table made for and filled with so many UDP flows of IPv4, all of which end about the same time. The share is the processor time of the sweep while all are alive, " +
			"then, from that time on, while they are being forgotten; the delay is from the end of the last flow's time until none is counted any more. A sweep looks at each place of the table once a second, so that its share grows with the table beyond what it takes to begin with; the delay, which is at most that second, does not."}
	err = pinned(func(*lab.Host) error {
		for _, n := range sizes {
			if err := expiry(ctx, n, log, &s); err != nil {
				return fmt.Errorf("%d connections: %w", n, err)
			}
		}
		return nil
	})
	return s, err
}

func expiry(ctx context.Context, n int, log *slog.Logger, s *Series) error {
	st, err := newStage(dataplane.Options{Connections: n, Wide: 1024}, log)
	if err != nil {
		return err
	}
	defer st.close()
	const watched = 4 * time.Second
	lifetime := 12*time.Second + time.Duration(n)*2*time.Microsecond // time to fill the table, and to watch it full
	tuning := lvs.DefaultTuning()
	tuning.Timeouts.UDP = lifetime
	if err := st.plane.Tune(ctx, tuning); err != nil {
		return err
	}
	began := time.Now()
	if err := st.filled(ctx, established("expiry", service(lvs.UDP, lvs.WLC, lvs.DirectRoute, 3, false)), uint32(n)); err != nil {
		return err
	}
	filled := time.Now()
	if d := filled.Sub(began); d > lifetime-2*watched {
		return fmt.Errorf("the machine needs %s to fill the table; flows end before it is full", d)
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- st.plane.Run(ctx) }()
	defer func() { stop(); <-done }()
	idle := share(watched)
	time.Sleep(time.Until(began.Add(lifetime)))
	from, at := used(), time.Now()
	left, err := st.emptied(ctx, time.Minute)
	if err != nil {
		return err
	}
	busy := 100 * float64(used()-from) / float64(left.Sub(at))
	add := func(row string, x float64) {
		s.Values = append(s.Values, Value{Row: row, Column: grouped(int64(n)), Size: float64(n), Figure: Figure{x, x, x}})
	}
	add("all alive, % of a CPU", idle)
	add("all ending, % of a CPU", busy)
	add("delay of the last, ms", millis(max(left.Sub(filled.Add(lifetime)), 0)))
	return nil
}

// share is how much of one processor this process uses for a while, in percent.
func share(of time.Duration) float64 {
	from, began := used(), time.Now()
	time.Sleep(of)
	return 100 * float64(used()-from) / float64(time.Since(began))
}

// used is the processor time this process has used, without the calling
// thread's, which is locked and only looks on.
func used() time.Duration { return usedBy(unix.RUSAGE_SELF) - usedBy(unix.RUSAGE_THREAD) }

func usedBy(who int) time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(who, &u) // fails for a bad address only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// emptied is when no flow is counted any more.
func (s *stage) emptied(ctx context.Context, patience time.Duration) (time.Time, error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		c, err := s.counts(ctx)
		if err != nil {
			return time.Time{}, err
		}
		if c.active+c.inactive == 0 {
			return time.Now(), nil
		}
	}
	return time.Time{}, fmt.Errorf("flows are left %s after their time", patience)
}
