package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/netif"
	"github.com/weir-lb/weir/internal/realserver"
)

// A rig is a cluster (lab.Cluster has the drawing) whose real servers know
// nothing of virtual addresses yet.
type rig struct {
	*lab.Cluster
	t     *testing.T
	plane *ebpf.Plane
	hosts []Host
}

var both = []netip.Addr{lab.VirtualAddr, lab.VirtualAddr6}

func newRig(t *testing.T, reals int, wires lab.WireOptions) *rig {
	t.Helper()
	r := &rig{Cluster: labtest.NewCluster(t, reals, wires), t: t}
	for i, real := range r.Real {
		for _, a := range both {
			labtest.Must(t, real.Unaddress("lo", netip.PrefixFrom(a, a.BitLen())))
		}
		for _, key := range []string{"all/arp_ignore", "all/arp_announce"} {
			labtest.Must(t, real.Sysctl("net/ipv4/conf/"+key, "0"))
		}
		r.hosts = append(r.hosts, Host{Record: filepath.Join(t.TempDir(), fmt.Sprint(i), "realserver.json"), Ask: true})
	}
	return r
}

// do calls one of a real server's commands in its network.
func (r *rig) do(i int, call func(Host) (realserver.Report, error)) realserver.Report {
	r.t.Helper()
	var rep realserver.Report
	labtest.Must(r.t, r.Real[i].Do(func() (err error) {
		rep, err = call(r.hosts[i])
		return err
	}))
	return rep
}

func (r *rig) up(i int, w realserver.Wish) realserver.Report {
	r.t.Helper()
	return r.do(i, func(h Host) (realserver.Report, error) { return h.Up(r.t.Context(), w) })
}

func (r *rig) check(i int, w realserver.Wish) realserver.Report {
	r.t.Helper()
	return r.do(i, func(h Host) (realserver.Report, error) { return h.Check(r.t.Context(), &w) })
}

func (r *rig) down(i int) realserver.Report {
	r.t.Helper()
	return r.do(i, func(h Host) (realserver.Report, error) { return h.Down(r.t.Context()) })
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// direct starts an engine on the director, with the paths a watcher finds.
func (r *rig) direct(mode ebpf.Mode, services ...lvs.Service) {
	r.t.Helper()
	labtest.Must(r.t, r.Director.Do(func() (err error) {
		r.plane, err = ebpf.Open(ebpf.Options{Mode: mode, Connections: 1024, HalfOpen: 1024, Services: 64, Destinations: 64}, testLog(r.t))
		return err
	}))
	r.t.Cleanup(func() { r.plane.Close() })
	ctx, stop := context.WithCancel(context.Background())
	w := netif.NewWatcher(testLog(r.t), netif.Options{Interfaces: []string{"front", "back"}})
	var addrs []netip.Addr
	for i := range r.Real {
		addrs = append(addrs, lab.RealAddr(i), lab.RealAddr6(i))
	}
	w.Want(addrs)
	ready, ended := make(chan error, 1), make(chan error)
	go func() {
		ended <- r.Director.Do(func() error {
			return w.Run(ctx, func(n lvs.Network) {
				for _, p := range n.Paths {
					if p.MAC == [6]byte{} {
						return // not yet resolved; there will be news
					}
				}
				for i := range n.Links {
					n.Links[i].XDPSend = true // veth says so only while its peer is prepared
				}
				select {
				case ready <- r.plane.Reach(ctx, n):
				default:
				}
			})
		})
	}()
	r.t.Cleanup(func() { stop(); labtest.Must(r.t, <-ended) })
	select {
	case err := <-ready:
		labtest.Must(r.t, err)
	case <-time.After(2 * time.Minute): // Reach waits for the verifier, which takes its time on an emulated machine
		r.t.Fatal("the director finds no way to its real servers")
	}
	for _, s := range services {
		labtest.Must(r.t, r.plane.Put(r.t.Context(), s))
	}
}

// body is n random bytes, the same for one n.
func body(n int64) io.Reader {
	seed := [32]byte{1, 2, 3}
	return io.LimitReader(rand.NewChaCha8(seed), n)
}

func digest(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

// serve answers a POST with the digest of what came, a GET with its number of
// bytes.
func (r *rig) serve(i int, port uint16) {
	r.t.Helper()
	ln, err := r.Real[i].Listen("tcp", fmt.Sprintf(":%d", port))
	labtest.Must(r.t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPost {
			sum, err := digest(q.Body)
			fmt.Fprint(w, sum, err)
			return
		}
		var n int64
		fmt.Sscan(q.URL.Query().Get("bytes"), &n)
		io.Copy(w, body(n))
	})}
	go srv.Serve(ln)
	r.t.Cleanup(func() { srv.Close() })
}

// exchange sends n bytes to the service and fetches as many: the way there
// leads through the tunnel, the way back past it.
func (r *rig) exchange(t *testing.T, to netip.AddrPort, n int64) {
	t.Helper()
	c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return r.Client.Dial(ctx, network, addr)
		},
	}}
	want, err := digest(body(n))
	labtest.Must(t, err)
	res, err := c.Post("http://"+to.String(), "application/octet-stream", body(n))
	if err != nil {
		r.tell(t)
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	labtest.Must(t, err)
	if string(got) != want+"<nil>" {
		t.Errorf("%d bytes sent, arrived with digest %s, want %s", n, got, want)
	}
	res, err = c.Get(fmt.Sprintf("http://%s/?bytes=%d", to, n))
	labtest.Must(t, err)
	defer res.Body.Close()
	if back, err := digest(res.Body); err != nil || back != want {
		t.Errorf("%d bytes fetched have digest %s (%v), want %s", n, back, err, want)
	}
}

// tell shows what became of the packets.
func (r *rig) tell(t *testing.T) {
	totals, err := r.plane.Totals(context.Background())
	t.Log(err)
	for _, v := range totals.Verdicts {
		if v.Packets > 0 {
			t.Logf("%8d %s", v.Packets, v.Name)
		}
	}
	for i := range r.Real {
		rep := r.do(i, func(h Host) (realserver.Report, error) { return h.Show(context.Background()) })
		for _, f := range rep.Fates {
			if f.Packets > 0 {
				t.Logf("real%d: %8d %s", i+1, f.Packets, f.Name)
			}
		}
	}
}
