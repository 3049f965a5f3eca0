package announce

import (
	"context"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

const mac = "02:00:00:00:00:07"

var four, six = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func TestFrames(t *testing.T) {
	var sent [][]byte
	a := New(func(_ string, frame []byte) error { sent = append(sent, frame); return nil }, slog.New(slog.DiscardHandler))
	a.burst(Place{Addr: four, Link: "eth0", MAC: mac})
	a.burst(Place{Addr: six, Link: "eth0", MAC: mac})
	a.burst(Place{Addr: six, Link: "lo", MAC: ""}) // has no neighbours
	want := []string{
		"ffffffffffff" + "020000000007" + "0806" + "0001080006040001" + "020000000007" + "c0000201" + "ffffffffffff" + "c0000201",
		"333300000001" + "020000000007" + "86dd" + "6000000000203aff" + "20010db8000000000000000000000001" + "ff020000000000000000000000000001" +
			"8800" + "f924" + "20000000" + "20010db8000000000000000000000001" + "0201020000000007",
	}
	if len(sent) != len(want) {
		t.Fatalf("%d frames, want %d", len(sent), len(want))
	}
	for i, w := range want {
		if hexOf(sent[i]) != w {
			t.Errorf("frame %d is\n%s, want\n%s", i, hexOf(sent[i]), w)
		}
	}
}

// A log of frames: how many within which second.
func TestBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		began := time.Now()
		sent := map[time.Duration]int{}
		a := New(func(string, []byte) error {
			mu.Lock()
			defer mu.Unlock()
			sent[time.Since(began)]++
			return nil
		}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		ended.Go(func() { _ = a.Run(ctx) })
		p := Place{Addr: four, Link: "eth0", MAC: mac, Often: lvs.Announcement{Repeat: 3, Delay: 5 * time.Second, Refresh: 60 * time.Second}}
		a.Set([]Place{p})
		time.Sleep(70 * time.Second)
		a.Set([]Place{p}) // no news
		time.Sleep(time.Second)
		a.Set(nil)
		time.Sleep(200 * time.Second)
		cancel()
		ended.Wait()
		want := map[time.Duration]int{0: 3, 5 * time.Second: 3, 65 * time.Second: 3}
		if len(sent) != len(want) {
			t.Errorf("%v, want %v", sent, want)
		}
		for at, n := range want {
			if sent[at] != n {
				t.Errorf("after %s %d frames, want %d", at, sent[at], n)
			}
		}
	})
}
