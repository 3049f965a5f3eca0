package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/dataplane/dataplanetest"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// inGuest is set where the tests run on the kernel that has IPVS.
const inGuest = "WEIR_GUEST"

// kernelOr runs test where the kernel has IPVS, as in the guest. Anywhere else
// it holds Open to its sentence.
func kernelOr(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	_, err := os.Stat("/proc/net/ip_vs")
	if err == nil && os.Geteuid() == 0 {
		test(t)
		return
	}
	if os.Getenv(inGuest) != "" {
		t.Fatalf("the guest has no IPVS: %v", err)
	}
	if err == nil {
		labtest.NeedRoot(t)
	}
	if _, err := Open(Options{Record: t.TempDir() + "/ipvs"}, discard); !errors.Is(err, ErrNoIPVS) ||
		!strings.Contains(err.Error(), "modprobe ip_vs, or use dataplane: ebpf") {
		t.Errorf("a host without IPVS: %v", err)
	}
}

// newKernel is a plane in a network namespace of its own. The thread that made
// it stays there; the plane has to find the way by itself.
func newKernel(t *testing.T) *Plane {
	t.Helper()
	return openIn(t, newSpace(t), filepath.Join(t.TempDir(), "ipvs"))
}

func newSpace(t *testing.T) *space {
	t.Helper()
	made := make(chan *space, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the test's namespace
		defer close(made)
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		s, err := here()
		if err == nil {
			err = up("lo") // without any address the kernel takes all for broadcast ones
		}
		if err != nil {
			t.Error(err)
			return
		}
		made <- s
	}()
	s := <-made
	if s == nil {
		t.FailNow()
	}
	t.Cleanup(func() { _ = s.close() }) // the test is over
	return s
}

func openIn(t *testing.T, s *space, record string) (p *Plane) {
	t.Helper()
	err := s.in(func() (err error) {
		p, err = Open(Options{Record: record}, discard)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() }) // the test may have
	return p
}

// TestConformance is the seam's promises, on the kernel.
func TestConformance(t *testing.T) {
	kernelOr(t, func(t *testing.T) {
		dataplanetest.Run(t, func(t *testing.T) dataplane.Dataplane { return newKernel(t) })
	})
}

// TestEverything: what weir can wish for comes back from the kernel as it was
// wished.
func TestEverything(t *testing.T) {
	kernelOr(t, func(t *testing.T) {
		p := newKernel(t)
		for _, s := range wishes() {
			put(t, p, s)
			before := p.Writes()
			put(t, p, s)
			if p.Writes() != before {
				t.Errorf("%s: written twice", s)
			}
			got, ok, err := p.standing(t.Context(), s.Key)
			if err != nil || !ok || !got.Equal(s) {
				t.Errorf("%s\ncame back as %s, %v %v", lines(s), lines(got), ok, err)
			}
			drop(t, p, s.Key)
		}
	})
}

func wishes() (all []lvs.Service) {
	six := lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("[2001:db8::1]:80")}
	to6 := netip.MustParseAddrPort("[fd00::1]:80")
	for _, k := range lvs.Schedulers {
		if k == lvs.TWOS {
			continue // not in this kernel
		}
		s := webs(1, 0, 70000)
		s.Scheduler, s.SchedFlags = k, 7
		all = append(all, s)
	}
	whole, net24 := lvs.MaskOf(lvs.IPv4, 32), lvs.MaskOf(lvs.IPv4, 24)
	mark := lvs.ServiceKey{Mark: 4294967295, Family: lvs.IPv4}
	mark6 := lvs.ServiceKey{Mark: 1, Family: lvs.IPv6}
	sip := lvs.ServiceKey{Protocol: lvs.UDP, Addr: netip.MustParseAddrPort("192.0.2.1:5060")}
	sctp := lvs.ServiceKey{Protocol: lvs.SCTP, Addr: netip.MustParseAddrPort("192.0.2.1:9")}
	any := lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:0")}
	tunnel := func(at netip.AddrPort, e lvs.Encap) lvs.Destination {
		return lvs.Destination{Addr: at, Forward: lvs.Tunnel, Weight: 1, Encap: e}
	}
	return append(all,
		lvs.Service{Key: any, Scheduler: lvs.RR, Persistence: lvs.Persistence{Timeout: 300, Mask: net24}},
		lvs.Service{Key: sip, Scheduler: lvs.RR, OnePacket: true, Persistence: lvs.Persistence{Timeout: 9, Mask: whole, Engine: "sip"}},
		lvs.Service{Key: six, Scheduler: lvs.RR, Persistence: lvs.Persistence{Timeout: 1, Mask: lvs.MaskOf(lvs.IPv6, 64)}},
		lvs.Service{Key: mark, Scheduler: lvs.SH, Destinations: []lvs.Destination{{Addr: netip.MustParseAddrPort("10.0.0.1:0"), Forward: lvs.DirectRoute, Weight: 1}}},
		lvs.Service{Key: mark6, Scheduler: lvs.None, Destinations: []lvs.Destination{{Addr: to6, Weight: 1, Upper: 10, Lower: 5}}},
		lvs.Service{Key: sctp, Scheduler: lvs.NQ, Destinations: []lvs.Destination{
			tunnel(names[0], lvs.Encap{}), tunnel(names[1], lvs.Encap{Type: lvs.GUE, Port: 6080, Checksum: lvs.RemoteChecksum}),
			tunnel(names[2], lvs.Encap{Type: lvs.GRE, Checksum: lvs.Checksum}), tunnel(to6, lvs.Encap{Type: lvs.GUE, Port: 1})}},
	)
}

// TestKernelSettings: settings and timeouts are written, remembered, and put
// back by a weir that comes later.
func TestKernelSettings(t *testing.T) {
	kernelOr(t, func(t *testing.T) {
		s, record := newSpace(t), filepath.Join(t.TempDir(), "ipvs")
		p := openIn(t, s, record)
		write := func(name, value string) {
			t.Helper()
			if err := s.write(name, value); err != nil {
				t.Fatal(err)
			}
		}
		want := func(pairs ...string) {
			t.Helper()
			for i := 0; i < len(pairs); i += 2 {
				if got, err := s.read(pairs[i]); err != nil || got != pairs[i+1] {
					t.Errorf("%s is %q, want %q: %v", pairs[i], got, pairs[i+1], err)
				}
			}
		}
		write("sloppy_tcp", "1")
		tuning := lvs.DefaultTuning()
		tuning.Timeouts.UDP = time.Minute
		tuning.Sysctls[lvs.ExpireNodestConn], tuning.Sysctls[lvs.LblcExpiration] = 1, 77
		for range 2 {
			if err := p.Tune(t.Context(), tuning); err != nil {
				t.Fatal(err)
			}
		}
		want("sloppy_tcp", "0", "expire_nodest_conn", "1")
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		again := openIn(t, s, record)
		put(t, again, webs(1, 2, 3))
		moved := webs(3, 2, 1)
		moved.Destinations[0], moved.Destinations[2] = moved.Destinations[2], moved.Destinations[0]
		put(t, again, moved)
		want("expire_nodest_conn", "1") // only suspended
		want("lblc_expiration", "77")
		again.pending[lvs.LblcExpiration] = 88 // as if its module had not been there
		lblc := lvs.Service{Key: mail, Scheduler: lvs.LBLC}
		put(t, again, lblc)
		want("lblc_expiration", "88")
		if err := again.Remove(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		want("sloppy_tcp", "1", "expire_nodest_conn", "0", "lblc_expiration", "86400")
		if got, err := again.kernel.timeouts(t.Context()); err != nil || got != lvs.DefaultTuning().Timeouts {
			t.Errorf("timeouts %v, %v", got, err)
		}
	})
}

// TestKernelRefuses: what the kernel refuses becomes weir's words.
func TestKernelRefuses(t *testing.T) {
	kernelOr(t, func(t *testing.T) {
		p := newKernel(t)
		twos := webs(1)
		twos.Scheduler = lvs.TWOS
		if err := p.Put(t.Context(), twos); !errors.Is(err, lvs.ErrNoScheduler) || !strings.Contains(fmt.Sprint(err), "modprobe ip_vs_twos") {
			t.Errorf("a scheduler without module: %v", err)
		}
		bad := webs(1)
		bad.Destinations[0].Addr = netip.MustParseAddrPort("224.0.0.1:80")
		if err := p.Put(t.Context(), bad); !errors.Is(err, lvs.ErrInvalid) {
			t.Errorf("a multicast destination: %v", err)
		}
		for s, err := range p.Installed(t.Context()) {
			t.Errorf("what was refused stands: %v, %v", s, err)
		}
		if _, size, err := p.kernel.info(t.Context()); err != nil || size < 256 {
			t.Errorf("info: %d, %v", size, err)
		}
	})
}

// TestKernelSocketIsRenewed: an answer that came too late is not taken for that
// of the next command.
func TestKernelSocketIsRenewed(t *testing.T) {
	kernelOr(t, func(t *testing.T) {
		p := newKernel(t)
		put(t, p, webs(1))
		s := p.kernel.kernel.(*socket)
		b, err := encodeNamed(web)
		if err != nil {
			t.Fatal(err)
		}
		// A question whose answer nobody waited for.
		if _, err := s.conn.Send(genetlink.Message{Header: genetlink.Header{Command: cmdGetService, Version: version}, Data: b},
			s.family, netlink.Request); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.kernel.service(t.Context(), web); err == nil {
			t.Error("another question's answer was taken")
		}
		for range 3 {
			if _, ok, err := p.kernel.service(t.Context(), web); !ok || err != nil {
				t.Errorf("afterwards: %v, %v", ok, err)
			}
		}
	})
}

// TestKernelWantsCapability: without CAP_NET_ADMIN there is a sentence that
// names it.
func TestKernelWantsCapability(t *testing.T) {
	kernelOr(t, func(t *testing.T) {
		done := make(chan error, 1)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends without its capability
			done <- func() error {
				head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
				var data [2]unix.CapUserData
				if err := unix.Capget(&head, &data[0]); err != nil {
					return err
				}
				data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
				if err := unix.Capset(&head, &data[0]); err != nil {
					return err
				}
				_, err := Open(Options{Record: filepath.Join(t.TempDir(), "ipvs")}, discard)
				return err
			}()
		}()
		if err := <-done; !errors.Is(err, unix.EPERM) || !strings.Contains(fmt.Sprint(err), "CAP_NET_ADMIN") {
			t.Errorf("without the capability: %v", err)
		}
	})
}

// TestLargeTable: how long it takes to make and to look at is told, not judged.
func TestLargeTable(t *testing.T) {
	kernelOr(t, func(t *testing.T) {
		p := newKernel(t)
		const services = 300
		begin := time.Now()
		for i := range services {
			s := webs(1, 2, 3)
			s.Key.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i%200)}), uint16(1000+i))
			put(t, p, s)
		}
		made := time.Now()
		all, err := p.look(t.Context())
		if err != nil || len(all) != services {
			t.Errorf("%d services, %v", len(all), err)
		}
		t.Logf("%d services made in %v, looked at in %v", services, made.Sub(begin), time.Since(made))
	})
}

// up sets an interface up, in the namespace of the thread.
func up(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}
