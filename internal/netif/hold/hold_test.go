package hold_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/netif/hold"
)

func held(text string) lvs.HeldAddress {
	return lvs.HeldAddress{Prefix: netip.MustParsePrefix(text), Interface: "eth0"}
}

// A stand is a host with an interface and what holds addresses there.
type stand struct {
	*testing.T
	host *lab.Host
	file string
}

func newStand(t *testing.T) *stand {
	labtest.NeedRoot(t)
	l := labtest.New(t)
	s := &stand{t, labtest.Host(t, l, "director"), filepath.Join(t.TempDir(), "run", "addresses")}
	other := labtest.Host(t, l, "other")
	labtest.Must(t, l.Wire(lab.Port{Host: s.host, Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")}}, lab.Port{Host: other, Name: "eth0"}, lab.WireOptions{}))
	return s
}

func (s *stand) open() *hold.Holder {
	s.Helper()
	var h *hold.Holder
	labtest.Must(s.T, s.host.Do(func() (err error) { h, err = hold.Open(s.file); return err }))
	s.Cleanup(h.Close)
	return h
}

func (s *stand) has(want ...string) {
	s.Helper()
	out, err := s.host.Command(s.Context(), "ip", "-br", "addr", "show", "dev", "eth0").Output()
	labtest.Must(s.T, err)
	got := slices.DeleteFunc(strings.Fields(string(out))[2:], func(a string) bool { return strings.HasPrefix(a, "fe80") })
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.Errorf("%v, want %v", got, want)
	}
}

func TestAddressesComeAndGo(t *testing.T) {
	s := newStand(t)
	h := s.open()
	one, two := held("192.0.2.1/24"), held("2001:db8::1/64")
	labtest.Must(t, h.Set([]lvs.HeldAddress{one, two}), h.Set([]lvs.HeldAddress{one, two}))
	s.has("192.0.2.1/24", "192.0.2.7/24", "2001:db8::1/64")
	labtest.Must(t, h.Set([]lvs.HeldAddress{two}))
	s.has("192.0.2.7/24", "2001:db8::1/64")
	labtest.Must(t, h.Set(nil))
	s.has("192.0.2.7/24")
	if _, err := os.Stat(s.file); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}

// What a killed weir has left is known to the next one.
func TestKilled(t *testing.T) {
	s := newStand(t)
	labtest.Must(t, s.open().Set([]lvs.HeldAddress{held("192.0.2.1/24")}))
	h := s.open()
	if got := h.Held(); !slices.Equal(got, []lvs.HeldAddress{held("192.0.2.1/24")}) {
		t.Errorf("it knows of %v", got)
	}
	labtest.Must(t, h.Set(nil))
	s.has("192.0.2.7/24")
}

// An address somebody else has put there is used and never removed.
func TestOthersAddresses(t *testing.T) {
	s := newStand(t)
	h := s.open()
	labtest.Must(t, h.Set([]lvs.HeldAddress{held("192.0.2.7/32")}))
	if got := h.Held(); len(got) != 0 {
		t.Errorf("it calls %v its own", got)
	}
	labtest.Must(t, h.Set(nil))
	s.has("192.0.2.7/24")
}

// One that cannot be added keeps no other away.
func TestMissingInterface(t *testing.T) {
	s := newStand(t)
	h := s.open()
	bad := lvs.HeldAddress{Prefix: netip.MustParsePrefix("192.0.2.3/24"), Interface: "nowhere"}
	if err := h.Set([]lvs.HeldAddress{bad, held("192.0.2.1/24")}); err == nil || !strings.Contains(err.Error(), "192.0.2.3/24 dev nowhere") {
		t.Errorf("%v", err)
	}
	s.has("192.0.2.1/24", "192.0.2.7/24")
}

func TestBrokenRecord(t *testing.T) {
	s := newStand(t)
	labtest.Must(t, os.MkdirAll(filepath.Dir(s.file), 0o755), os.WriteFile(s.file, []byte("{"), 0o600))
	err := s.host.Do(func() error { _, err := hold.Open(s.file); return err })
	if err == nil || !strings.Contains(err.Error(), "remove "+s.file) {
		t.Errorf("%v", err)
	}
}
