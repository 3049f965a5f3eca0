package guard

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestALimiterGivesSoManyASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		l.set(2, 4)
		good := func(n int) (out int) {
			for range n {
				if l.take("a") == 0 {
					out++
				}
			}
			return out
		}
		if n := good(10); n != 4 {
			t.Errorf("%d at once", n)
		}
		if wait := l.take("a"); wait != 500*time.Millisecond {
			t.Errorf("wait %v", wait)
		}
		if l.take("b") != 0 {
			t.Error("another one has to wait")
		}
		time.Sleep(time.Second)
		if n := good(10); n != 2 {
			t.Errorf("%d a second later", n)
		}
		time.Sleep(time.Hour)
		if n := good(10); n != 4 {
			t.Errorf("%d an hour later", n)
		}
	})
}

func TestALimiterForgetsAndCountsRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		l.set(1, 1)
		for i := range 3 * mostClients {
			l.take(fmt.Sprint(i))
		}
		if len(l.clients) != mostClients || l.order.Len() != mostClients {
			t.Errorf("%d clients are remembered", len(l.clients))
		}
		if n := l.refused("x"); n != 1 {
			t.Errorf("the first refusal: %d", n)
		}
		for range 5 {
			if n := l.refused("x"); n != 0 {
				t.Errorf("told at once: %d", n)
			}
		}
		if n := len(l.untold(time.Second)); n != 0 {
			t.Errorf("%d told too early", n)
		}
		time.Sleep(time.Second)
		if got := l.untold(time.Second); got["x"] != 5 || len(got) != 1 {
			t.Errorf("%v", got)
		}
		if got := l.untold(0); len(got) != 0 {
			t.Errorf("told twice: %v", got)
		}
		l.refused("y")
		l.refused("y")
		for i := range mostClients {
			l.take(fmt.Sprint(i))
		}
		if got := l.untold(0); got["others"] != 1 {
			t.Errorf("of one that was forgotten: %v", got)
		}
	})
}

func TestClientsAreCountedByAddressAndNetwork(t *testing.T) {
	for _, tt := range [][2]string{{"192.0.2.1:5", "192.0.2.1"}, {"[::ffff:192.0.2.1]:5", "192.0.2.1"}, {"[2001:db8:1:2:3::9]:5", "2001:db8:1:2::/64"},
		{"[fe80::1%eth0]:5", "fe80::/64"}} {
		if got := clientOf(tt[0]); got != tt[1] {
			t.Errorf("%s: %s", tt[0], got)
		}
	}
}
