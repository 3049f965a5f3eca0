package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lab"
)

// A rival is one way to bring a client's connections to a server: weir, what a
// user might take instead, or nothing at all.
type rival struct {
	name string
	xdp  bool                                 // weir in XDP, or what it is compared with: no offloads
	set  func(*course, context.Context) error // puts it on the course's director
	at   func() string                        // the address clients ask
	stop func(*course, context.Context) error // nil: it ends with the lab
}

func toVirtual() string { return lab.VirtualAddr.String() }
func toReal() string    { return lab.RealAddr(0).String() }

func rivals() []rival {
	nothing := func(*course, context.Context) error { return nil }
	weir := func(name, forward, mode string) rival {
		return rival{name: name, xdp: mode == "xdp", at: toVirtual, set: func(c *course, ctx context.Context) error {
			return c.weir(ctx, forward, mode)
		}, stop: func(c *course, ctx context.Context) error { return c.daemon.close(ctx) }}
	}
	return []rival{
		{name: "no balancer, only routing", set: nothing, at: toReal},
		weir("weir, gate, tc", "gate", "tc"),
		weir("weir, masq, tc", "masq", "tc"),
		{name: "nftables, DNAT", set: (*course).nftables, at: toVirtual},
		{name: "HAProxy, mode tcp, one thread", set: (*course).haproxy, at: toVirtual},
		{name: "nginx, stream, one process", set: (*course).stream, at: toVirtual},
		{name: "no balancer, only routing, no offloads", xdp: true, set: nothing, at: toReal},
		weir("weir, gate, XDP, no offloads", "gate", "xdp"),
		weir("weir, masq, XDP, no offloads", "masq", "xdp"),
	}
}

// A course is a cluster of its own for one rival, so that none meets another's
// rules. One real server, so that every rival has the same to do.
type course struct {
	*lab.Cluster
	rival
	dir    string
	exe    string // weir
	daemon *daemon
}

const (
	webPort  = 80
	pipePort = 5201
)

func newCourse(ctx context.Context, r rival, exe string) (*course, error) {
	cluster, err := lab.NewCluster("bench", 1, lab.WireOptions{NoOffload: r.xdp})
	if err != nil {
		return nil, err
	}
	c := &course{Cluster: cluster, rival: r, exe: exe}
	if err := c.build(ctx); err != nil {
		return nil, errors.Join(err, c.leave(ctx))
	}
	return c, nil
}

func (c *course) build(ctx context.Context) (err error) {
	if c.dir, err = os.MkdirTemp("", "weir-bench-"); err != nil {
		return err
	}
	for _, h := range []*lab.Host{c.Client, c.Director, c.Real[0]} {
		// So many short connections need all the ports there are.
		err = errors.Join(err, h.Sysctl("net/ipv4/ip_local_port_range", "1024 65535"), h.Sysctl("net/ipv4/tcp_tw_reuse", "1"))
	}
	if err != nil {
		return err
	}
	if err := c.servers(); err != nil {
		return err
	}
	if err := c.set(c, ctx); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	return c.answers(ctx)
}

// leave takes the course away.
func (c *course) leave(ctx context.Context) error {
	var err error
	if c.stop != nil && c.daemon != nil {
		err = c.stop(c, ctx)
	}
	return errors.Join(err, c.Close(), os.RemoveAll(c.dir))
}

// file writes a configuration and is its name.
func (c *course) file(name, text string) (string, error) {
	path := filepath.Join(c.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

func (c *course) serve(h *lab.Host, name string, args ...string) error {
	cmd := h.Command(context.Background(), name, args...)
	log, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s (tools/debian-packages bench installs it): %w", name, err)
	}
	go func() { _ = cmd.Wait() }() // it ends with the lab
	return nil
}

const nginxHead = "daemon off; master_process off; user root; pid %s; error_log /dev/null;\nevents { worker_connections 8192; }\n"

// servers are what runs on the real server.
func (c *course) servers() error {
	conf, err := c.file("web.conf", fmt.Sprintf(nginxHead, filepath.Join(c.dir, "web.pid"))+
		"http { access_log off; keepalive_requests 1000000000; server { listen 80 backlog=8192; return 200 ok; } }\n")
	if err != nil {
		return err
	}
	return errors.Join(c.serve(c.Real[0], "nginx", "-c", conf), c.serve(c.Real[0], "iperf3", "-s", "-p", fmt.Sprint(pipePort)))
}

func (c *course) weir(ctx context.Context, forward, mode string) (err error) {
	if c.daemon, err = newDaemon(c.Director, c.exe); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "engine: {mode: %s}\ndefaults: {forward: %s, check: \"on\"}\nservices:\n", mode, forward)
	for _, port := range []int{webPort, pipePort} {
		fmt.Fprintf(&b, "  - {listen: tcp %s:%d, destinations: [\"%s:%d\"]}\n", lab.VirtualAddr, port, lab.RealAddr(0), port)
	}
	if err := c.daemon.start(b.String()); err != nil {
		return err
	}
	return c.daemon.await(ctx, "weir's table", time.Minute, c.daemon.ready(ctx, 2))
}

func (c *course) nftables(ctx context.Context) error {
	cmd := c.Director.Command(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("table ip bench {\n chain to {\n  type nat hook prerouting priority dstnat;\n  ip daddr %s tcp dport { %d, %d } dnat to %s\n }\n}\n",
		lab.VirtualAddr, webPort, pipePort, lab.RealAddr(0)))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

func (c *course) haproxy(context.Context) error {
	var b strings.Builder
	b.WriteString("global\n nbthread 1\n maxconn 4000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n")
	for _, port := range []int{webPort, pipePort} {
		fmt.Fprintf(&b, "listen p%d\n bind %s:%d\n server real %s:%d\n", port, lab.VirtualAddr, port, lab.RealAddr(0), port)
	}
	conf, err := c.file("haproxy.cfg", b.String())
	if err != nil {
		return err
	}
	return c.serve(c.Director, "haproxy", "-db", "-q", "-f", conf)
}

func (c *course) stream(context.Context) error {
	var b strings.Builder
	b.WriteString("load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n")
	fmt.Fprintf(&b, nginxHead+"stream {\n", filepath.Join(c.dir, "stream.pid"))
	for _, port := range []int{webPort, pipePort} {
		fmt.Fprintf(&b, " server { listen %s:%d backlog=8192; proxy_pass %s:%d; }\n", lab.VirtualAddr, port, lab.RealAddr(0), port)
	}
	b.WriteString("}\n")
	conf, err := c.file("stream.conf", b.String())
	if err != nil {
		return err
	}
	return c.serve(c.Director, "nginx", "-c", conf)
}

// answers waits until both servers can be reached through the rival.
func (c *course) answers(ctx context.Context) error {
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		err = nil
		for _, port := range []int{webPort, pipePort} {
			try, stop := context.WithTimeout(ctx, time.Second)
			conn, failed := c.Client.Dial(try, "tcp", fmt.Sprintf("%s:%d", c.at(), port))
			stop()
			if failed == nil {
				conn.Close()
			}
			err = errors.Join(err, failed)
		}
		if err == nil {
			return nil
		}
	}
	said, _ := os.ReadFile(filepath.Join(c.dir, "log"))
	return fmt.Errorf("nobody answers: %w; %s", err, said)
}
