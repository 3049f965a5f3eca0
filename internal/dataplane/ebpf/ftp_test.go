package ebpf

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// An ftpSession is an established control connection.
type ftpSession struct {
	*rig
	client, vip, real netip.AddrPort
}

func newFTP(t *testing.T, vip, real string) *ftpSession {
	r := newRig(t)
	s := &ftpSession{rig: r, client: client, vip: netip.MustParseAddrPort(vip), real: netip.MustParseAddrPort(real)}
	if s.vip.Addr().Is6() {
		s.client = client6
	}
	svc := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: s.vip}, Scheduler: lvs.RR,
		Destinations: []lvs.Destination{{Addr: s.real, Forward: lvs.Masquerade, Weight: 1}}}
	r.reach(1500, false, svc)
	r.put(svc)
	r.ingress(segment(s.client, s.vip, "S"))
	r.ingress(segment(s.real, s.client, "SA"))
	r.ingress(segment(s.client, s.vip, "A"))
	return s
}

func line(from, to netip.AddrPort, text string) []byte {
	tcp := &layers.TCP{SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()), Seq: 1, Window: 1000, ACK: true, PSH: true}
	return build(from, to, layers.IPProtocolTCP, tcp, []byte(text))
}

// says lets the client say something and returns what the server hears.
func (s *ftpSession) says(text string) string {
	s.Helper()
	f := s.ingress(line(s.client, s.vip, text))
	if f.verdict != "forwarded" && f.verdict != "local" {
		s.Fatalf("%q: %s", text, f.verdict)
	}
	return s.text(f.out)
}

func (s *ftpSession) text(frame []byte) string {
	s.Helper()
	s.sums(frame)
	return string(s.look(frame).pkt.ApplicationLayer().Payload())
}

// answers lets the server answer and returns what the client hears.
func (s *ftpSession) answers(text string) string {
	s.Helper()
	// The way back is not the point here: the director answers itself.
	f := s.egress(line(s.real, s.client, text))
	if f.verdict != "replied-local" {
		s.Fatalf("%q: %s", text, f.verdict)
	}
	return s.text(f.out)
}

func (s *ftpSession) listening() (out []string) {
	for _, c := range s.conns() {
		if c.State == lvs.StateListen {
			out = append(out, fmt.Sprintf("%s %s %s", c.Client, c.Virtual, c.Destination))
		}
	}
	return out
}

func TestFTPPassive(t *testing.T) {
	for _, c := range []struct{ vip, real, was, is string }{
		{"192.0.2.1:21", "10.1.1.50:2121", "227 Entering Passive Mode (10,1,1,50,200,10).\r\n", "227 Entering Passive Mode (192,0,2,1,200,10).\r\n"},
		{"203.0.113.171:21", "10.1.1.50:2121", "227 Entering Passive Mode (10,1,1,50,200,10).\r\n", "227 Entering Passive M(203,0,113,171,200,10).\r\n"},
		{"10.2.3.4:21", "192.168.111.150:2121", "227 Entering Passive Mode (192,168,111,150,200,10).\r\n", "227 Entering Passive Mode        (10,2,3,4,200,10).\r\n"},
		{"203.0.113.171:21", "10.1.1.50:2121", "227 ok (10,1,1,50,200,10)\r\n", "227 ok (10,1,1,50,200,10)\r\n"}, // no room
	} {
		t.Run(c.is, func(t *testing.T) {
			s := newFTP(t, c.vip, c.real)
			s.local()
			if got := s.says("pasv\r\n"); got != "pasv\r\n" {
				t.Errorf("the server hears %q", got)
			}
			got := s.answers(c.was)
			if len(got) != len(c.was) {
				t.Errorf("%d bytes became %d", len(c.was), len(got))
			}
			if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(c.is), " ") {
				t.Errorf("the client hears %q, want %q", got, c.is)
			}
			data := netip.AddrPortFrom(s.vip.Addr(), 200<<8|10)
			if l := s.listening(); len(l) != 1 || l[0] != fmt.Sprintf("%s %s %s", netip.AddrPortFrom(s.client.Addr(), 0), data, netip.AddrPortFrom(s.real.Addr(), data.Port())) {
				t.Fatalf("listening: %v", l)
			}
			s.ingress(segment(netip.AddrPortFrom(s.client.Addr(), 3333), data, "S"))
			if len(s.listening()) != 0 || len(s.conns()) != 2 {
				t.Errorf("after the data connection's SYN: %v", s.conns())
			}
		})
	}
}

// local makes the real server the director itself.
func (s *ftpSession) local() {
	for _, d := range s.plane.table.dests.all() {
		d.written.Flags |= destLocal
		labtest.Must(s.T, s.plane.write("dests", d.id, d.written))
	}
}

func TestFTPWords(t *testing.T) {
	for _, c := range []struct {
		vip, real, say, answer string
		want                   string
	}{
		{"192.0.2.1:21", "10.1.1.50:2121", "PORT 10,0,0,9,8,100\r\n", "", "10.0.0.9:2148 192.0.2.1:20 10.1.1.50:2120"},
		{"192.0.2.1:21", "10.1.1.50:2121", "port 10,0,0,9,8,100\r\n", "", "10.0.0.9:2148 192.0.2.1:20 10.1.1.50:2120"},
		{"192.0.2.1:21", "10.1.1.50:2121", "PORT 10,0,0,8,8,100\r\n", "", ""}, // another's address
		{"192.0.2.1:21", "10.1.1.50:2121", "PORT 10,0,0,9,8\r\n", "", ""},
		{"192.0.2.1:21", "10.1.1.50:2121", "PORT 10,0,0,9,8,256\r\n", "", ""},
		{"192.0.2.1:21", "10.1.1.50:2121", "PORT 10,0,0,9,0008,1\r\n", "", ""},
		{"192.0.2.1:21", "10.1.1.50:2121", "EPRT |1|10.0.0.9|2148|\r\n", "", "10.0.0.9:2148 192.0.2.1:20 10.1.1.50:2120"},
		{"192.0.2.1:21", "10.1.1.50:2121", "EPRT |1|10.0.0.9|65536|\r\n", "", ""},
		{"192.0.2.1:21", "10.1.1.50:2121", "EPRT |1|10.0.0.9|21x|\r\n", "", ""},
		{"192.0.2.1:21", "10.1.1.50:2121", "EPSV\r\n", "229 Entering Extended Passive Mode (|||51333|)\r\n", "10.0.0.9:0 192.0.2.1:51333 10.1.1.50:51333"},
		{"192.0.2.1:21", "10.1.1.50:2121", "NOOP\r\n", "229 Entering Extended Passive Mode (|||51333|)\r\n", ""}, // nobody asked
		{"192.0.2.1:21", "10.1.1.50:2121", "PASV\r\n", "500 no\r\n", ""},
		{"[2001:db8:1::1]:21", "[2001:db8:2::50]:2121", "EPRT |2|2001:db8::9|2148|\r\n", "", "[2001:db8::9]:2148 [2001:db8:1::1]:20 [2001:db8:2::50]:2120"},
		{"[2001:db8:1::1]:21", "[2001:db8:2::50]:2121", "EPSV 2\r\n", "229 Extended (|||51333|)\r\n", "[2001:db8::9]:0 [2001:db8:1::1]:51333 [2001:db8:2::50]:51333"},
		{"[2001:db8:1::1]:21", "[2001:db8:2::50]:2121", "PASV\r\n", "227 Entering Passive Mode (10,1,1,50,200,10).\r\n", ""},
	} {
		t.Run(c.say+c.answer, func(t *testing.T) {
			s := newFTP(t, c.vip, c.real)
			s.local()
			if got := s.says(c.say); got != c.say {
				t.Errorf("the server hears %q", got)
			}
			if c.answer != "" {
				if got := s.answers(c.answer); got != c.answer {
					t.Errorf("the client hears %q", got)
				}
			}
			if got := strings.Join(s.listening(), "; "); got != c.want {
				t.Errorf("listening: %q, want %q", got, c.want)
			}
		})
	}
}

// TestFTPOutlivesItsData: a control connection does not end before the data
// connections it brought about.
func TestFTPOutlivesItsData(t *testing.T) {
	s := newFTP(t, "192.0.2.1:21", "10.1.1.50:2121")
	s.local()
	s.says("PORT 10,0,0,9,8,100\r\n")
	past := uint64(ticksNow()-1) << 32
	outliveIn(s.rig, "wides", func(b *engineWideBucket) {
		for i := range b.Conn {
			if host16(b.Conn[i].Vport) == 21 {
				b.Conn[i].Ctl = b.Conn[i].Ctl&0xffffffff | past
			}
		}
	})
	s.sweepAll()
	if n := len(s.conns()); n != 2 {
		t.Errorf("%d connections", n)
	}
	s.outlive() // the data connection first
	s.sweepAll()
	s.outlive()
	s.sweepAll()
	if left := s.conns(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestVsftpd lets curl fetch a file from a real FTP server in every mode.
func TestVsftpd(t *testing.T) {
	eachDoor(t, func(s *stage) {
		s.tellPaths(nil)
		file := make([]byte, 20<<20)
		rand.Read(file) // never fails (crypto/rand)
		dir := t.TempDir()
		labtest.Must(t, os.WriteFile(filepath.Join(dir, "file"), file, 0o644))
		labtest.Must(t, os.Chmod(dir, 0o555))
		labtest.Must(t, os.Chmod(filepath.Dir(dir), 0o755))
		for _, v6 := range []bool{false, true} {
			svc := service(lvs.TCP, v6, lvs.Masquerade, 21)
			for i := range svc.Destinations {
				svc.Destinations[i].Addr = netip.AddrPortFrom(svc.Destinations[i].Addr.Addr(), 21)
			}
			s.put(svc)
		}
		for _, real := range s.Real {
			vsftpd(s, real, dir)
		}
		for _, mode := range [][]string{
			{"-4", "--disable-epsv"}, {"-4"}, {"-4", "--ftp-port", "-"}, {"-4", "--ftp-port", "-", "--disable-eprt"},
			{"-6"}, {"-6", "--ftp-port", "-"},
		} {
			host := lab.VirtualAddr.String()
			if mode[0] == "-6" {
				host = "[" + lab.VirtualAddr6.String() + "]"
			}
			args := append(mode, "-sS", "--max-time", "30", "ftp://"+host+"/file")
			got, err := s.Client.Command(t.Context(), "curl", args...).Output()
			if err != nil || !bytes.Equal(got, file) {
				t.Errorf("%v: %d of %d bytes, %v", mode, len(got), len(file), err)
			}
		}
	})
}

func vsftpd(s *stage, h *lab.Host, dir string) {
	s.t.Helper()
	conf := filepath.Join(s.t.TempDir(), "vsftpd.conf")
	labtest.Must(s.t, os.WriteFile(conf, nil, 0o644))
	ctx, stop := context.WithCancel(context.Background())
	cmd := h.Command(ctx, "vsftpd", "-obackground=NO", "-olisten=NO", "-olisten_ipv6=YES", "-oanonymous_enable=YES",
		"-oanon_root="+dir, "-oseccomp_sandbox=NO", "-oconnect_from_port_20=YES", "-osecure_chroot_dir="+s.t.TempDir(), conf)
	done := make(chan error, 1)
	go func() { done <- cmd.Run() }()
	s.t.Cleanup(func() { stop(); <-done })
	for range 50 {
		c, err := h.Dial(ctx, "tcp", "[::1]:21")
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatal("vsftpd does not listen")
}
