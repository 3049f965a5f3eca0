package sched

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

// The sizes of the tables, as Linux builds them.
const (
	hashSize   = 256  // sh, dh
	maglevSize = 4093 // mh with IP_VS_MH_TAB_INDEX 12, the default
)

// Table is the table of a scheduler that hashes: for each place the position
// of a destination in the list. Other schedulers, and empty lists, have none.
// Last is each destination's last weight that was not zero; only mh looks at
// it, so that draining a server moves nobody else.
func Table(s lvs.Scheduler, dests []lvs.Destination, last []uint32) []int {
	if len(dests) == 0 {
		return nil
	}
	switch s {
	case lvs.SH:
		return sourceTable(dests)
	case lvs.DH:
		return destinationTable(dests)
	case lvs.MH:
		return maglevTable(dests, last)
	}
	return nil
}

// sourceTable gives each destination as many places in a row as it weighs, at
// least one, round and round (ip_vs_sh_reassign).
func sourceTable(dests []lvs.Destination) []int {
	table := make([]int, 0, hashSize)
	for i := 0; len(table) < hashSize; i = (i + 1) % len(dests) {
		for range max(1, dests[i].Weight) {
			if len(table) == hashSize {
				break
			}
			table = append(table, i)
		}
	}
	return table
}

// destinationTable deals the places out one by one (ip_vs_dh_reassign).
func destinationTable(dests []lvs.Destination) []int {
	table := make([]int, hashSize)
	for i := range table {
		table[i] = i % len(dests)
	}
	return table
}

// A claimant is a destination that takes places of a Maglev table.
type claimant struct {
	next, skip uint64
	turns      int // places it takes each time it is its turn
}

// maglevTable is ip_vs_mh_populate: everybody takes the next free place of a
// sequence of its own, in turn, until all are taken.
func maglevTable(dests []lvs.Destination, last []uint32) []int {
	claimants := claim(dests, last)
	if claimants == nil {
		return nil
	}
	table := make([]int, maglevSize)
	for i := range table {
		table[i] = -1
	}
	for taken := 0; ; {
		for i := range claimants {
			c := &claimants[i]
			for range c.turns {
				for table[c.next] >= 0 {
					c.next = (c.next + c.skip) % maglevSize
				}
				table[c.next] = i
				if taken++; taken == maglevSize {
					return table
				}
			}
		}
	}
}

// claim works out everybody's sequence and turns; nil if nobody has a weight.
func claim(dests []lvs.Destination, last []uint32) []claimant {
	var g, most uint32
	for _, w := range last {
		g, most = gcd(g, w), max(most, w)
	}
	if most == 0 {
		return nil
	}
	shift := max(bits.Len32(most/g)-6, 0)
	claimants := make([]claimant, len(dests))
	for i, d := range dests {
		x := fold(d.Addr.Addr()) + uint32(d.Addr.Port())
		turns := int(last[i] / g >> shift)
		if turns == 0 && last[i] > 0 {
			turns = 1
		}
		claimants[i] = claimant{uint64(hash(x, 2654435761)) % maglevSize, uint64(hash(x, 2654446892))%(maglevSize-1) + 1, turns}
	}
	return claimants
}

func gcd(a, b uint32) uint32 {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// fold is an address as one number of the host: its 32-bit words, exclusive or.
func fold(a netip.Addr) uint32 {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return binary.BigEndian.Uint32(b[:])
	}
	b := a.As16()
	var x uint32
	for i := 0; i < len(b); i += 4 {
		x ^= binary.BigEndian.Uint32(b[i:])
	}
	return x
}

// hash is SipHash-1-3 over one 32-bit word with both halves of the key alike,
// folded to 32 bits (hsiphash_1u32 on 64-bit machines).
func hash(x uint32, key uint64) uint32 {
	v := [4]uint64{0x736f6d6570736575 ^ key, 0x646f72616e646f6d ^ key, 0x6c7967656e657261 ^ key, 0x7465646279746573 ^ key}
	word := 4<<56 | uint64(x)
	v[3] ^= word
	sipRound(&v)
	v[0] ^= word
	v[2] ^= 0xff
	for range 3 {
		sipRound(&v)
	}
	return uint32(v[0] ^ v[1] ^ v[2] ^ v[3])
}

func sipRound(v *[4]uint64) {
	v[0] += v[1]
	v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
	v[0] = bits.RotateLeft64(v[0], 32)
	v[2] += v[3]
	v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
	v[0] += v[3]
	v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
	v[2] += v[1]
	v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
	v[2] = bits.RotateLeft64(v[2], 32)
}
