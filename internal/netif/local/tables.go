package local

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/weir-lb/weir/internal/realserver"
)

// proc is where the kernel shows the calling thread's network; /proc/net is
// that of the process' first thread.
const proc = "/proc/thread-self/net/"

// sockets are the tables of those that may listen, and the state that says so.
var sockets = []struct {
	file  string
	udp   bool
	state string
}{
	{"tcp", false, "0A"}, {"tcp6", false, "0A"}, {"udp", true, "07"}, {"udp6", true, "07"},
}

// Listeners are the sockets that wait for connections, or for datagrams from
// anybody.
func Listeners() ([]realserver.Listener, error) {
	var list []realserver.Listener
	for _, s := range sockets {
		lines, err := table(s.file)
		if err != nil {
			return nil, err
		}
		for _, f := range lines {
			if len(f) < 4 || f[3] != s.state || !strings.HasSuffix(f[2], ":0000") {
				continue
			}
			addr, ok := socketAddr(f[1])
			if !ok {
				continue
			}
			// Whether a socket on :: takes IPv4 too is its own choice, which
			// nothing here tells; most do.
			list = append(list, realserver.Listener{UDP: s.udp, Addr: addr, Both: addr.Addr() == netip.IPv6Unspecified()})
		}
	}
	return list, nil
}

// socketAddr reads "0100007F:0050": words of 32 bits in the machine's order.
func socketAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if !ok || err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	n, err := strconv.ParseUint(port, 16, 16)
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), err == nil
}

// table reads a file of columns, without its first line.
func table(name string) (lines [][]string, err error) {
	f, err := os.Open(proc + name)
	if os.IsNotExist(err) {
		return nil, nil // a kernel without IPv6
	}
	if err != nil {
		return nil, fmt.Errorf("list sockets: %w", err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		lines = append(lines, strings.Fields(in.Text()))
	}
	if len(lines) > 0 {
		lines = lines[1:]
	}
	return lines, in.Err()
}

// Lost reads the counters of packets that came to nothing.
func Lost() (l realserver.Lost, err error) {
	for _, c := range []struct {
		file, group, name string
		to                *uint64
	}{
		{"netstat", "TcpExt:", "IPReversePathFilter", &l.ReversePath},
		{"snmp", "Ip:", "InUnknownProtos", &l.UnknownProtocol},
	} {
		text, err := os.ReadFile(proc + c.file)
		if err != nil {
			return l, fmt.Errorf("read counters: %w", err)
		}
		*c.to = counter(string(text), c.group, c.name)
	}
	return l, nil
}

// counter finds a number in pairs of lines: names, then values.
func counter(text, group, name string) uint64 {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != group {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		for i, n := range names {
			if n == name && i < len(f) {
				v, _ := strconv.ParseUint(f[i], 10, 64)
				return v
			}
		}
	}
	return 0
}
