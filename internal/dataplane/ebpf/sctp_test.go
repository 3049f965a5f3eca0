package ebpf

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weir-lb/weir/internal/lvs"
)

// sctpInit is an SCTP packet with one INIT chunk of n bytes more than its head.
func sctpInit(from, to netip.AddrPort, n int) []byte { return sctpChunk(from, to, 1, n) }

func sctpChunk(from, to netip.AddrPort, kind byte, n int) []byte {
	body := append([]byte{kind, 0, byte((4 + n) >> 8), byte(4 + n)}, bytes.Repeat([]byte("weir"), n/4+1)[:n]...)
	head := make([]byte, 12)
	binary.BigEndian.PutUint16(head, from.Port())
	binary.BigEndian.PutUint16(head[2:], to.Port())
	l4 := append(head, body...)
	binary.LittleEndian.PutUint32(l4[8:], sctpSum(l4))
	return raw(from, to, layers.IPProtocolSCTP, l4)
}

func raw(from, to netip.AddrPort, proto layers.IPProtocol, l4 []byte) []byte {
	eth := &layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv4}
	var ip gopacket.SerializableLayer = &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	if from.Addr().Is6() {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, gopacket.Payload(l4)); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func sctpSum(l4 []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Update(0, table, l4[:8]), table, make([]byte, 4))
	return crc32.Update(sum, table, l4[12:])
}

// The checksum is right after a change of port, for every length, and one that
// is left to the device (zero) stays so.
func TestSCTPChecksum(t *testing.T) {
	for _, family := range []struct {
		svc  lvs.Service
		from netip.AddrPort
		head int
	}{{tcpService(lvs.RR, lvs.Masquerade, 1), client, 34}, {tcpService6(lvs.RR, lvs.Masquerade, 1), client6, 54}} {
		family.svc.Key.Protocol = lvs.SCTP
		for _, door := range []string{progIngress, progXDP} {
			r := newRig(t)
			r.reach(9000, false, family.svc)
			r.put(family.svc)
			for _, n := range []int{0, 1, 2, 3, 4, 60, 255, 1023, 1400} {
				packet := sctpInit(family.from, family.svc.Key.Addr, n)
				f := r.through(door, packet)
				if f.verdict != "forwarded" {
					t.Fatalf("%s: %q", door, f.verdict)
				}
				l4 := f.out[family.head : family.head+16+n]
				if port := binary.BigEndian.Uint16(l4[2:]); port != 8080 {
					t.Errorf("%s: to port %d", door, port)
				}
				if have, want := binary.LittleEndian.Uint32(l4[8:]), sctpSum(l4); have != want {
					t.Errorf("%s, %d bytes: checksum %#x, want %#x", door, n, have, want)
				}
				clear(packet[family.head+8 : family.head+12])
				if out := r.through(door, packet).out[family.head:]; !bytes.Equal(out[8:12], make([]byte, 4)) {
					t.Errorf("%s: a checksum left to the device became %x", door, out[8:12])
				}
			}
		}
	}
}
