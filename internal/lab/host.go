package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A Host is one machine of a lab: a network namespace.
type Host struct {
	name string
	path string
	fd   int
	link *netlink.Handle // speaks inside the namespace

	mu      sync.Mutex
	started []*Cmd
}

func newHost(name, namespace string) (h *Host, err error) {
	path, err := newNamespace(namespace)
	if err != nil {
		return nil, err
	}
	h = &Host{name: name, path: path, fd: -1}
	defer func() {
		if err != nil {
			h.remove()
		}
	}()
	if h.fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if h.link, err = netlink.NewHandleAt(netns.NsHandle(h.fd), unix.NETLINK_ROUTE); err != nil {
		return nil, err
	}
	// Before any link exists, so that every later one inherits it.
	for _, key := range []string{"all/accept_dad", "default/accept_dad", "all/dad_transmits", "default/dad_transmits"} {
		if err := h.Sysctl("net/ipv6/conf/"+key, "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return h, h.Up("lo")
}

// Name is the host's name within its lab.
func (h *Host) Name() string { return h.name }

// Namespace is the host's name for ip-netns(8).
func (h *Host) Namespace() string { return filepath.Base(h.path) }

// Path is the file that names the host's namespace.
func (h *Host) Path() string { return h.path }

// Do runs fn inside the host's network. Sockets opened by fn itself belong to
// the host for ever; goroutines started by fn run outside.
func (h *Host) Do(fn func() error) error { return inside(h.fd, fn) }

// Sysctl writes a setting of the host's network: "net/ipv4/ip_forward".
func (h *Host) Sysctl(key, value string) error {
	return h.Do(func() error {
		return os.WriteFile("/proc/sys/"+key, []byte(value), 0)
	})
}

// Dial connects from the host; it fits http.Transport.DialContext.
func (h *Host) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	err = h.Do(func() (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// Listen accepts connections on the host.
func (h *Host) Listen(network, addr string) (ln net.Listener, err error) {
	err = h.Do(func() (err error) {
		ln, err = net.Listen(network, addr)
		return err
	})
	return ln, err
}

// ListenPacket receives datagrams on the host.
func (h *Host) ListenPacket(network, addr string) (pc net.PacketConn, err error) {
	err = h.Do(func() (err error) {
		pc, err = net.ListenPacket(network, addr)
		return err
	})
	return pc, err
}

// A Cmd is a program that runs on a host. Only the network differs: files,
// mounts and /sys are the machine's own, so a bpffs stays visible.
type Cmd struct {
	*exec.Cmd
	host *Host
}

// Command prepares a program that will run on the host. It ends with ctx, and
// at the latest with the lab.
func (h *Host) Command(ctx context.Context, name string, args ...string) *Cmd {
	return &Cmd{exec.CommandContext(ctx, name, args...), h}
}

// Start is exec.Cmd.Start on the host.
func (c *Cmd) Start() error {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	if err := c.host.Do(c.Cmd.Start); err != nil {
		return err
	}
	c.host.started = append(c.host.started, c)
	return nil
}

// Run is exec.Cmd.Run on the host.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output is exec.Cmd.Output on the host.
func (c *Cmd) Output() (out []byte, err error) {
	err = c.host.Do(func() (err error) {
		out, err = c.Cmd.Output()
		return err
	})
	return out, err
}

// CombinedOutput is exec.Cmd.CombinedOutput on the host.
func (c *Cmd) CombinedOutput() (out []byte, err error) {
	err = c.host.Do(func() (err error) {
		out, err = c.Cmd.CombinedOutput()
		return err
	})
	return out, err
}

// remove takes the host away, however much of it exists.
func (h *Host) remove() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.started {
		// A program that was waited for is not killed: Kill knows.
		_ = c.Process.Kill()
	}
	h.started = nil
	if h.link != nil {
		h.unplug()
		h.link.Close()
		h.link = nil
	}
	if h.fd >= 0 {
		unix.Close(h.fd)
		h.fd = -1
	}
	if err := dropNamespace(h.path); err != nil {
		return fmt.Errorf("remove host %s: %w", h.name, err)
	}
	return nil
}

// unplug removes the links at once. The namespace itself lives on while a
// program holds it, and would keep the other ends of its wires busy.
func (h *Host) unplug() {
	links, err := h.link.LinkList()
	if err != nil {
		return
	}
	for _, l := range links {
		if l.Attrs().Name != "lo" {
			_ = h.link.LinkDel(l)
		}
	}
}
