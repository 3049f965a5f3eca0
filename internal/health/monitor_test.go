package health

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

func TestFirstAnswerIsAlwaysToldThenOnlyChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		believedUp := target("192.0.2.1:80", a80)
		believedUp.Up = true
		r.Set([]lvs.Target{believedUp, target("192.0.2.1:80", b80)})
		r.set(b80, "broken", 0)
		time.Sleep(time.Second)
		r.want("first answers", "0s 10.0.0.1:80 up", "500ms 10.0.0.2:80 down broken")
		time.Sleep(time.Minute)
		r.want("nothing changed")
		r.set(a80, "dead", 0)
		r.set(b80, "", 0)
		time.Sleep(10 * time.Second)
		if got := r.heard(); len(got) != 2 {
			t.Errorf("heard %q, want one change each", got)
		}
	})
}

func TestFallAndRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		x := target("192.0.2.1:80", a80)
		x.Check.Fall, x.Check.Rise = 3, 2
		r.Set([]lvs.Target{x})
		r.want("one good answer of two", "0s 10.0.0.1:80 down good answer 1 of 2")
		time.Sleep(15 * time.Second)
		r.want("the second", "10s 10.0.0.1:80 up")
		r.set(a80, "dead", 0)
		time.Sleep(20 * time.Second)
		r.want("two bad answers of three")
		time.Sleep(10 * time.Second)
		r.want("the third", "40s 10.0.0.1:80 down dead")
	})
}

// A server that dies is out within interval and timeout, however the moment
// of its death falls.
func TestDeadWithinIntervalAndTimeout(t *testing.T) {
	const interval, timeout = 5 * time.Second, 3 * time.Second
	for after := 20 * time.Second; after < 25*time.Second; after += 490 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			defer r.end()
			var targets []lvs.Target
			for i := range 7 {
				x := target("192.0.2.1:80", netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}), 80))
				x.Check.Interval, x.Check.Timeout = interval, timeout
				targets = append(targets, x)
				r.set(x.Destination, "", time.Second)
			}
			r.Set(targets)
			time.Sleep(after)
			if got := r.heard(); len(got) != len(targets) {
				t.Fatalf("heard %q", got)
			}
			for _, x := range targets {
				r.set(x.Destination, "no answer", timeout)
			}
			time.Sleep(interval + timeout)
			if got := r.heard(); len(got) != len(targets) {
				t.Errorf("dead %v after the start: within %v only %q", after, interval+timeout, got)
			}
		})
	}
}

func TestIntervalRunsFromStartToStart(t *testing.T) {
	tests := []struct {
		takes, want time.Duration
	}{
		{0, 10 * time.Second},
		{4 * time.Second, 10 * time.Second},
		{12 * time.Second, 12 * time.Second}, // never two at once
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			defer r.end()
			r.set(a80, "", tt.takes)
			r.Set([]lvs.Target{target("192.0.2.1:80", a80)})
			time.Sleep(time.Minute)
			synctest.Wait()
			r.mu.Lock()
			defer r.mu.Unlock()
			for i, at := range r.asked[a80] {
				if want := tt.want * time.Duration(i); at != want {
					t.Errorf("an answer that takes %v: question %d at %v, want %v", tt.takes, i, at, want)
				}
			}
			if r.most != 1 {
				t.Errorf("%d questions to one server at once", r.most)
			}
		})
	}
}

func TestStartsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		r := newRig(t)
		defer r.end()
		var targets []lvs.Target
		for i := range n {
			targets = append(targets, target("192.0.2.1:80", netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(i % 250)}), 80)))
		}
		r.Set(targets)
		time.Sleep(40 * time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		perTenth := map[time.Duration]int{}
		for addr, at := range r.asked {
			if at[0] > time.Second {
				t.Errorf("%s first asked after %v", addr, at[0])
			}
			for i := range at[1:] {
				if gap := at[i+1] - at[i]; gap > 10*time.Second {
					t.Errorf("%s not asked for %v", addr, gap)
				}
			}
			perTenth[at[2].Truncate(100*time.Millisecond)]++
		}
		for tenth, asked := range perTenth {
			if asked > 2*n/100 {
				t.Errorf("%d of %d questions fall into the tenth of a second at %v", asked, n, tenth)
			}
		}
	})
}

func TestQuestionsInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		var targets []lvs.Target
		for i := range 2 * mostInFlight {
			x := target("192.0.2.1:80", netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(i % 250)}), 80))
			targets = append(targets, x)
			r.set(x.Destination, "", 8*time.Second)
		}
		r.Set(targets)
		time.Sleep(30 * time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.most != mostInFlight {
			t.Errorf("%d questions in flight, want %d", r.most, mostInFlight)
		}
		if len(r.asked) != len(targets) {
			t.Errorf("%d servers were asked, want all %d", len(r.asked), len(targets))
		}
	})
}

func TestSameQuestionIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		one, two, other := target("192.0.2.1:80", a80), target("192.0.2.2:80", a80), target("192.0.2.3:80", a80)
		two.Check.Fall = 2 // a matter of judging, not of asking
		other.Check.Receive = "else"
		r.Set([]lvs.Target{one, two})
		time.Sleep(5 * time.Second)
		r.want("both are judged", "0s 10.0.0.1:80 up", "0s 10.0.0.1:80 up")
		r.set(a80, "dead", 0)
		time.Sleep(10 * time.Second)
		r.want("one falls at once", "10s 10.0.0.1:80 down dead")
		time.Sleep(10 * time.Second)
		r.want("the other at the second answer", "20s 10.0.0.1:80 down dead")
		if n := len(r.asked[a80]); n != 3 {
			t.Errorf("asked %d times, want 3", n)
		}
		r.Set([]lvs.Target{one, two, other})
		r.want("another question is another answer", "25s 10.0.0.1:80 down dead")
	})
}

func TestNewcomerHearsTheLastAnswerAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.Set([]lvs.Target{target("192.0.2.1:80", a80)})
		time.Sleep(3 * time.Second)
		r.want("the first", "0s 10.0.0.1:80 up")
		r.Set([]lvs.Target{target("192.0.2.1:80", a80), target("192.0.2.2:80", a80)})
		r.want("the newcomer", "0s 10.0.0.1:80 up")
	})
}

func TestSetAgainDisturbsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		x := target("192.0.2.1:80", a80)
		x.Check.Fall = 2
		r.Set([]lvs.Target{x})
		time.Sleep(5 * time.Second)
		r.want("first", "0s 10.0.0.1:80 up")
		r.set(a80, "dead", 0)
		for range 100 {
			r.Set([]lvs.Target{x})
			time.Sleep(150 * time.Millisecond)
		}
		r.want("the streak and the schedule are kept", "20s 10.0.0.1:80 down dead")
	})
}

func TestChangedCheckKeepsTheOpinion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		x := target("192.0.2.1:80", a80)
		r.Set([]lvs.Target{x})
		time.Sleep(time.Second)
		r.want("first", "0s 10.0.0.1:80 up")
		x.Check.Request, x.Up = "/other", false
		r.Set([]lvs.Target{x})
		time.Sleep(time.Second)
		r.want("a good answer to the new question changes nothing")
		r.set(a80, "wrong page", 0)
		x.Check.Request = "/third"
		r.Set([]lvs.Target{x})
		r.want("it is asked at once", "2s 10.0.0.1:80 down wrong page")
	})
}

func TestOldAnswersDoNotCountTowardsANewQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		x := target("192.0.2.1:80", a80)
		x.Check.Fall = 2
		r.Set([]lvs.Target{x})
		time.Sleep(5 * time.Second)
		r.want("first", "0s 10.0.0.1:80 up")
		r.set(a80, "wrong page", 0)
		time.Sleep(6 * time.Second) // one bad answer
		x.Check.Request = "/other"
		r.Set([]lvs.Target{x})
		r.want("the first bad answer to the new question")
		time.Sleep(10 * time.Second)
		r.want("the second", "21s 10.0.0.1:80 down wrong page")
	})
}

func TestVanishedTargetIsNotJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set(a80, "", 2*time.Second)
		r.Set([]lvs.Target{target("192.0.2.1:80", a80)})
		time.Sleep(time.Second) // the question is on its way
		r.Set(nil)
		time.Sleep(time.Minute)
		r.want("after it is gone")
		if n := len(r.asked[a80]); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// A verdict of one target may lead to a Set that lets the next one go; the
// answer they share must not reach it then.
func TestSetFromWithinAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		hear := r.judge
		r.judge = func(v lvs.Verdict) { hear(v); r.Set(nil) }
		r.Set([]lvs.Target{target("192.0.2.1:80", a80), target("192.0.2.2:80", a80)})
		time.Sleep(time.Minute)
		r.want("only the first", "0s 10.0.0.1:80 up")
	})
}

func TestOnAndOffAreNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		on, off := target("192.0.2.1:80", a80), target("192.0.2.1:80", b80)
		on.Check.Kind, off.Check.Kind = lvs.CheckOn, lvs.CheckOff
		r.Set([]lvs.Target{on, off})
		time.Sleep(time.Minute)
		r.want("nothing")
		if len(r.asked) != 0 {
			t.Errorf("asked %v", r.asked)
		}
	})
}

func TestCheapQuestionsBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		x := target("192.0.2.1:80", a80)
		x.Check.Every, x.Check.ConnectTimeout = 2, time.Second
		r.Set([]lvs.Target{x})
		time.Sleep(35 * time.Second)
		synctest.Wait()
		want := []lvs.CheckKind{lvs.CheckHTTP, lvs.CheckConnect, lvs.CheckConnect, lvs.CheckHTTP}
		if !slices.Equal(r.kinds, want) {
			t.Errorf("asked %v, want %v", r.kinds, want)
		}
	})
}

func TestUnaskableCheckIsABadAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.checker = New
		x := target("192.0.2.1:80", a80)
		x.Check.Receive = "("
		r.Set([]lvs.Target{x})
		got := r.heard()
		if len(got) != 1 || !slices.Contains(got, "0s 10.0.0.1:80 down the check cannot be asked: what to receive: error parsing regexp: missing closing ): `(`") {
			t.Errorf("heard %q", got)
		}
		if good, bad := r.Answers(); good != 0 || bad != 1 {
			t.Errorf("%d good, %d bad answers", good, bad)
		}
	})
}

// Two reloads in quick succession, the first without a server and the second
// with it, are one wish to the monitor. The director has forgotten the server
// meanwhile and waits for its first answer.
func TestGoneAndBackBeforeTheMonitorLooksIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		both := []lvs.Target{target("192.0.2.1:80", a80), target("192.0.2.1:80", b80)}
		r.Set(both)
		time.Sleep(time.Second)
		r.want("first answers", "0s 10.0.0.1:80 up", "500ms 10.0.0.2:80 up")
		r.set(b80, "dead", 0)
		r.whileTelling(func() {
			r.Set(both[1:])
			r.Set(both)
			r.Set(both)
		})
		time.Sleep(20 * time.Second)
		r.want("what is new and what has changed", "5s 10.0.0.2:80 down dead", "0s 10.0.0.1:80 up")
		time.Sleep(time.Minute)
		r.want("nothing changed")
	})
}
